//! However a sequence is computed, it comes out the same.

use candle_core::quantized::GgmlDType;

use super::made::{LLAMA, MISTRAL, QWEN_2, QWEN_3};
use super::*;

const TOLERANCE: f32 = 2e-5;

fn tokens(count: u32) -> Vec<u32> {
    (0..count).map(|n| (n * 53 + 7) % 256).collect()
}

/// The logits after each token when the sequence is computed in pieces.
fn in_pieces(network: &Network, tokens: &[u32], piece: usize) -> Vec<Vec<f32>> {
    let mut sequence = Sequence::new(network);
    tokens
        .chunks(piece)
        .flat_map(|piece| sequence.extend(piece))
        .collect()
}

#[test]
fn in_chunks_at_once_and_token_by_token_are_the_same() {
    // Several blocks.
    let tokens = tokens(300);
    for (plan, tolerance) in [(ComputePlan::Dense, TOLERANCE), (ComputePlan::Packed, 0.0)] {
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
    let mut sequence = Sequence::new(&network);
    sequence.extend(&common);
    sequence.extend(&wrong);
    sequence.known = common.len();
    let found = sequence.extend(&right);
    let direct = logits_of(&network, &[&common[..], &right[..]].concat());
    for (found, expected) in found.iter().zip(&direct[common.len()..]) {
        assert_close(found, expected, TOLERANCE);
    }
}

#[test]
fn gguf_and_safetensors_give_the_same() {
    for shape in [LLAMA, QWEN_2, QWEN_3, MISTRAL] {
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
    let found = logits_of(&load(ComputePlan::Packed).network, &tokens(9));
    for (found, expected) in found.iter().zip(&expected) {
        assert_close(found, expected, 1e-3);
    }
}
