//! Parity with the reference on tiny random weights, and what a batch must not change.

use std::path::{Path, PathBuf};

use candle_core::Device;
use serde::Deserialize;

use super::Bert;
use crate::NnError;

#[derive(Deserialize)]
struct Expected {
    text: String,
    tokens: usize,
    vector: Vec<f32>,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/bert")
        .join(name)
}

fn load(name: &str) -> (Bert, Vec<Expected>) {
    let folder = folder(name);
    let expected = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    let bert = Bert::load(&folder, &Device::Cpu).unwrap();
    (bert, serde_json::from_str(&expected).unwrap())
}

fn farthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn vectors_are_those_of_the_reference_whichever_way_they_are_pooled() {
    for name in ["mean", "first"] {
        let (bert, expected) = load(name);
        let texts: Vec<String> = expected.iter().map(|each| each.text.clone()).collect();
        let got = bert.embed(&texts).unwrap();
        for (got, expected) in got.iter().zip(&expected) {
            assert_eq!(got.tokens, expected.tokens, "{name}: {:?}", expected.text);
            let off = farthest(&got.vector, &expected.vector);
            assert!(off < 1e-5, "{name}: {:?} is {off} off", expected.text);
        }
    }
}

#[test]
fn a_text_has_the_same_vector_alone_and_in_company() {
    let (bert, expected) = load("mean");
    let texts: Vec<String> = expected.into_iter().map(|each| each.text).collect();
    let together = bert.embed(&texts).unwrap();
    for (text, together) in texts.iter().zip(together) {
        let alone = bert.embed(std::slice::from_ref(text)).unwrap().remove(0);
        assert!(farthest(&alone.vector, &together.vector) < 1e-6, "{text:?}");
    }
    assert!(bert.embed(&[]).unwrap().is_empty());
}

#[test]
fn a_text_that_is_too_long_is_refused_and_not_cut() {
    let (bert, _) = load("mean");
    assert_eq!((bert.dimensions(), bert.longest()), (24, 18));
    let long = ["book ".repeat(16), "book ".repeat(17)];
    assert_eq!(bert.embed(&long[..1]).unwrap()[0].tokens, 18);
    let refused = bert.embed(&long);
    assert!(matches!(
        refused,
        Err(NnError::PromptTooLong {
            tokens: 19,
            limit: 18
        })
    ));
}

#[test]
fn a_folder_of_another_kind_is_refused_with_the_reason() {
    let copy = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(folder("mean").join(file), copy.path().join(file)).unwrap();
    }
    assert!(Bert::load(copy.path(), &Device::Cpu).is_ok());
    let config = std::fs::read_to_string(copy.path().join("config.json")).unwrap();
    for (from, to) in [
        ("\"gelu\"", "\"relu\""),
        ("\"num_attention_heads\": 4", "\"num_attention_heads\": 5"),
        ("\"hidden_size\": 24", "\"hidden_size\": 28"),
    ] {
        assert!(config.contains(from), "{config}");
        std::fs::write(copy.path().join("config.json"), config.replace(from, to)).unwrap();
        let refused = Bert::load(copy.path(), &Device::Cpu);
        assert!(refused.is_err(), "{to}");
    }
}
