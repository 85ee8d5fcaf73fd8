//! Every kind of architecture against what the reference implementation computes with the same
//! random weights; see `tests/fixtures/whisper/make.py`.

use std::collections::HashMap;

use candle_core::Tensor;
use serde::Deserialize;

use super::*;
use crate::whisper::decoder::Feed;

const KINDS: [&str; 3] = ["tiny", "turbo", "english"];

#[derive(Deserialize)]
struct Golden {
    mels: usize,
    windows: Vec<GoldenWindow>,
}

#[derive(Deserialize)]
struct GoldenWindow {
    frames: usize,
    prompt: Vec<u32>,
    tokens: Vec<u32>,
}

struct Kind {
    name: &'static str,
    model: Whisper,
    golden: Golden,
    tensors: HashMap<String, Tensor>,
}

fn kinds() -> impl Iterator<Item = Kind> {
    KINDS.into_iter().map(|name| {
        let folder = fixture(name);
        let tensors = std::fs::read(folder.join("expected.safetensors.bin")).unwrap();
        let golden = std::fs::read(folder.join("expected.json")).unwrap();
        Kind {
            name,
            model: Whisper::load(&folder, &Device::Cpu).unwrap(),
            golden: serde_json::from_slice(&golden).unwrap(),
            tensors: candle_core::safetensors::load_buffer(&tensors, &Device::Cpu).unwrap(),
        }
    })
}

impl Kind {
    fn expected(&self, name: &str, frames: usize) -> Vec<f32> {
        let tensor = &self.tensors[&format!("{name}_{frames}")];
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn window(&self, golden: &GoldenWindow) -> Window {
        window(self.golden.mels, golden.frames, golden.frames as u32)
    }

    fn encode(&self, window: &Window) -> Tensor {
        let encoder = &self.model.encoder;
        encoder.forward(&[&window.features], window.frames).unwrap()
    }
}

fn furthest(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f32::max)
}

#[test]
fn the_encoder_equals_the_reference_in_every_family() {
    for kind in kinds() {
        for golden in &kind.golden.windows {
            let encoded = kind.encode(&kind.window(golden));
            let found = encoded.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let off = furthest(&found, &kind.expected("encoder", golden.frames));
            println!("{} {}: encoder off by {off:e}", kind.name, golden.frames);
            assert!(off <= 1e-4, "{} {}: {off}", kind.name, golden.frames);
        }
    }
}

#[test]
fn logits_equal_the_reference_step_by_step_and_at_once() {
    for kind in kinds() {
        for golden in &kind.golden.windows {
            let mut slots = kind.model.decoder.slots(2).unwrap();
            let encoded = kind.encode(&kind.window(golden));
            let twice = Tensor::cat(&[&encoded, &encoded], 0).unwrap();
            kind.model
                .decoder
                .listen(&mut slots, &twice, &[0, 1])
                .unwrap();
            let mut expected = kind.expected("start", golden.frames);
            expected.extend(kind.expected("logits", golden.frames));
            let start = golden.prompt.len();
            let (last, said) = golden.tokens.split_last().unwrap();
            assert_ne!(*last, kind.model.vocabulary.end);

            let all = [golden.prompt.as_slice(), said].concat();
            let wanted: Vec<usize> = std::iter::once(0).chain(start - 1..all.len()).collect();
            let at_once = Feed {
                slot: 0,
                tokens: &all,
                wanted: &wanted,
            };
            let logits = kind.model.decoder.step(&mut slots, &[at_once]).unwrap();
            let at_once: Vec<f32> = logits.into_rows().flatten().collect();
            let off = furthest(&at_once, &expected);
            println!("{} {}: logits off by {off:e}", kind.name, golden.frames);
            assert!(off <= 1e-4, "{} {}: {off}", kind.name, golden.frames);

            let mut stepwise = Vec::new();
            for (tokens, wanted) in std::iter::once((&all[..start], vec![0, start - 1]))
                .chain(all[start..].chunks(1).map(|token| (token, vec![0])))
            {
                let feed = Feed {
                    slot: 1,
                    tokens,
                    wanted: &wanted,
                };
                let logits = kind.model.decoder.step(&mut slots, &[feed]).unwrap();
                stepwise.extend(logits.into_rows().flatten());
            }
            assert!(furthest(&stepwise, &expected) <= 1e-4);
        }
    }
}

#[test]
fn the_same_tokens_are_chosen_as_by_the_reference() {
    for kind in kinds() {
        for golden in &kind.golden.windows {
            let options = WhisperOptions {
                language: Some("de".to_owned()),
                exact_tokens: Some(golden.tokens.len()),
                guards: Guards::once(),
                ..WhisperOptions::default()
            };
            let passage = alone(&kind.model, &kind.window(golden), &options);
            assert_eq!(passage.tokens, golden.tokens, "{}", kind.name);
            let language = (kind.name != "english").then(|| "de".to_owned());
            assert_eq!(passage.language, language);
        }
    }
}

#[test]
fn heads_look_where_the_reference_looks() {
    for kind in kinds() {
        for golden in &kind.golden.windows {
            let mut slots = kind.model.decoder.slots(1).unwrap();
            let encoded = kind.encode(&kind.window(golden));
            kind.model
                .decoder
                .listen(&mut slots, &encoded, &[0])
                .unwrap();
            let tokens = [golden.prompt.as_slice(), &golden.tokens].concat();
            let heads = kind.model.alignment_heads.clone();
            let attention = kind
                .model
                .decoder
                .align(&mut slots, 0, &tokens, heads)
                .unwrap();
            let expected = kind.expected("attention", golden.frames);
            let off = furthest(attention.weights.last().unwrap(), &expected);
            assert!(off <= 1e-5, "{} {}: {off}", kind.name, golden.frames);
        }
    }
}

#[test]
fn gathered_attention_equals_the_kernel() {
    use crate::whisper::kernels::Query;
    for kind in kinds() {
        let golden = &kind.golden.windows[0];
        let mut slots = kind.model.decoder.slots(3).unwrap();
        let encoded = kind.encode(&kind.window(golden));
        let decoder = &kind.model.decoder;
        decoder.listen(&mut slots, &encoded, &[2]).unwrap();
        let other = kind.encode(&window(kind.golden.mels, 160, 9));
        decoder.listen(&mut slots, &other, &[0]).unwrap();
        let asks = [(2, 100), (0, 80), (2, 7)].map(|(slot, length)| Query { slot, length });
        let width = encoded.dim(2).unwrap();
        let queries = Tensor::from_vec(noise(3 * width, 5), (3, width), &Device::Cpu).unwrap();
        let pool = &slots.blocks[0].heard;
        let flat = |x: Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let kernel = flat(decoder.attend(pool, &asks, &queries).unwrap());
        let gathered = flat(decoder.attend_by_tensors(pool, &asks, &queries).unwrap());
        assert!(furthest(&kernel, &gathered) <= 1e-5);
    }
}
