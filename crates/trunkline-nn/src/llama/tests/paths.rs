//! However a sequence is computed, it comes out the same.

use candle_core::quantized::GgmlDType;

use super::made::{LLAMA, MISTRAL, QWEN_2};
use super::network::Pass;
use super::*;

const TOLERANCE: f32 = 2e-5;

fn tokens(count: u32) -> Vec<u32> {
    (0..count).map(|n| (n * 53 + 7) % 256).collect()
}

/// The logits after each token when the sequence is computed in pieces.
fn in_pieces(network: &Network, tokens: &[u32], piece: usize) -> Vec<Vec<f32>> {
    let mut cache = network.new_cache().unwrap();
    let mut all = Vec::new();
    for piece in tokens.chunks(piece) {
        let hidden = network.advance(&mut cache, piece, piece.len()).unwrap();
        let logits = network.logits(&hidden).unwrap();
        all.extend(logits.to_vec2::<f32>().unwrap());
    }
    all
}

#[test]
fn in_chunks_at_once_and_token_by_token_are_the_same() {
    // More tokens than the cache first has room for.
    let tokens = tokens(300);
    // Eight bits round activations, so that a difference in the last bit may become one step.
    for (plan, tolerance) in [(ComputePlan::Dense, TOLERANCE), (ComputePlan::Packed, 0.2)] {
        let model = made::load(LLAMA, plan);
        let whole = logits_of(&model.network, &tokens);
        for piece in [1, 7, 64] {
            let found = in_pieces(&model.network, &tokens, piece);
            for (found, expected) in found.iter().zip(&whole) {
                assert_close(found, expected, tolerance);
            }
        }
    }
}

#[test]
fn rolling_back_and_going_on_equals_going_there_directly() {
    let network = made::load(MISTRAL, ComputePlan::Dense).network;
    let (common, wrong, right) = (tokens(40), [9, 8, 7, 6], [1, 2, 3]);
    let mut cache = network.new_cache().unwrap();
    network.advance(&mut cache, &common, 1).unwrap();
    network.advance(&mut cache, &wrong, 1).unwrap();
    cache.truncate(common.len());
    let hidden = network.advance(&mut cache, &right, right.len()).unwrap();
    let found = network.logits(&hidden).unwrap().to_vec2::<f32>().unwrap();
    let direct = logits_of(&network, &[&common[..], &right[..]].concat());
    for (found, expected) in found.iter().zip(&direct[common.len()..]) {
        assert_close(found, expected, TOLERANCE);
    }
}

#[test]
fn a_fork_and_its_origin_do_not_disturb_one_another() {
    let network = made::load(LLAMA, ComputePlan::Dense).network;
    let common = tokens(20);
    let mut origin = network.new_cache().unwrap();
    network.advance(&mut origin, &common, 1).unwrap();
    let mut fork = origin.fork(common.len()).unwrap();
    network.advance(&mut fork, &[5, 6], 1).unwrap();
    let hidden = network.advance(&mut origin, &[7], 1).unwrap();
    let found = network.logits(&hidden).unwrap().to_vec2::<f32>().unwrap();
    let direct = logits_of(&network, &[&common[..], &[7]].concat());
    assert_close(&found[0], &direct[common.len()], TOLERANCE);
}

#[test]
fn continuations_side_by_side_do_not_see_one_another() {
    let network = made::load(QWEN_2, ComputePlan::Dense).network;
    let common = tokens(12);
    let mut cache = network.new_cache().unwrap();
    network.advance(&mut cache, &common, 1).unwrap();
    let owner = [0, 0, 1, 1, 1];
    let pass = Pass {
        tokens: &[3, 4, 5, 6, 7],
        positions: &[12, 13, 12, 13, 14],
        sees: &|query, key| key <= query && owner[query] == owner[key],
    };
    let hidden = network.run(&mut cache, &pass).unwrap();
    let found = network.logits(&hidden).unwrap().to_vec2::<f32>().unwrap();
    for (rows, continuation) in [(0..2, vec![3, 4]), (2..5, vec![5, 6, 7])] {
        let direct = logits_of(&network, &[common.clone(), continuation].concat());
        for (found, expected) in found[rows].iter().zip(&direct[common.len()..]) {
            assert_close(found, expected, TOLERANCE);
        }
    }
}

#[test]
fn gguf_and_safetensors_give_the_same() {
    for shape in [LLAMA, QWEN_2, MISTRAL] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.gguf");
        made::write_gguf(&file, shape, GgmlDType::F32);
        let gguf = Llama::load_as(&file, &Device::Cpu, ComputePlan::Dense).unwrap();
        let safetensors = made::load(shape, ComputePlan::Dense);
        let found = logits_of(&gguf.network, &tokens(30));
        let expected = logits_of(&safetensors.network, &tokens(30));
        for (found, expected) in found.iter().zip(&expected) {
            assert_close(found, expected, TOLERANCE);
        }
    }
}

#[test]
fn a_quantized_file_loads_under_every_plan() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.gguf");
    made::write_gguf(&file, LLAMA, GgmlDType::Q8_0);
    let load = |plan| Llama::load_as(&file, &Device::Cpu, plan).unwrap();
    let expected = logits_of(&load(ComputePlan::Dense).network, &tokens(9));
    for plan in [
        ComputePlan::Doubled,
        ComputePlan::Packed,
        ComputePlan::AsStored,
    ] {
        let found = logits_of(&load(plan).network, &tokens(9));
        for (found, expected) in found.iter().zip(&expected) {
            assert_close(found, expected, 0.3);
        }
    }
}
