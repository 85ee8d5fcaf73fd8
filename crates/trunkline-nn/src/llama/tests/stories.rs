//! A real model, small enough to be in the repository: stories260K.

use std::path::PathBuf;

use candle_core::quantized::gguf_file::Value;
use candle_core::quantized::{GgmlDType, QTensor};
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Golden {
    prompt: String,
    prompt_ids: Vec<u32>,
    greedy_ids_120: Vec<u32>,
    text: String,
}

fn folder() -> PathBuf {
    PathBuf::from("tests/fixtures/stories260K")
}

fn golden() -> Golden {
    let text = std::fs::read_to_string(folder().join("golden_greedy.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn greedy(model: &Llama, prompt: &[u32], length: usize) -> Vec<u32> {
    let mut sequence = Sequence::new(&model.network);
    let mut tokens = prompt.to_vec();
    let mut next = prompt.to_vec();
    while tokens.len() < length {
        let logits = sequence.extend(&next);
        let token = likeliest(logits.last().unwrap());
        tokens.push(token);
        next = vec![token];
    }
    tokens
}

#[test]
fn the_greedy_story_is_the_published_one() {
    let model = Llama::load(&folder(), &Device::Cpu).unwrap();
    let golden = golden();
    let length = golden.greedy_ids_120.len();
    let found = greedy(&model, &golden.prompt_ids, length);
    assert_eq!(found, golden.greedy_ids_120);
    assert_eq!(model.decode(&found).unwrap(), golden.text);
}

/// The same model as a GGUF file with its SentencePiece vocabulary.
fn write_gguf(file: &std::path::Path) {
    let tokenizer: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder().join("tokenizer.json")).unwrap()).unwrap();
    let mut tokens = vec![String::new(); 512];
    for (token, id) in tokenizer["model"]["vocab"].as_object().unwrap() {
        tokens[id.as_u64().unwrap() as usize] = token.clone();
    }
    let kind = |id: usize| match id {
        0 => 2,
        1 | 2 => 3,
        3..259 => 6,
        _ => 1,
    };
    let list = |values: Vec<Value>| Value::Array(values);
    let key = |name: &str| format!("llama.{name}");
    let mut metadata = vec![
        (
            "general.architecture".to_owned(),
            Value::String("llama".into()),
        ),
        ("tokenizer.ggml.model".into(), Value::String("llama".into())),
        (
            "tokenizer.ggml.tokens".into(),
            list(tokens.into_iter().map(Value::String).collect()),
        ),
        (
            "tokenizer.ggml.token_type".into(),
            list((0..512).map(|id| Value::I32(kind(id))).collect()),
        ),
        (
            "tokenizer.ggml.scores".into(),
            list((0..512).map(|id| Value::F32(-(id as f32))).collect()),
        ),
        (key("attention.layer_norm_rms_epsilon"), Value::F32(1e-5)),
        (key("rope.freq_base"), Value::F32(10_000.0)),
    ];
    for (name, number) in [
        ("block_count", 5),
        ("embedding_length", 64),
        ("attention.head_count", 8),
        ("attention.head_count_kv", 4),
        ("feed_forward_length", 172),
        ("context_length", 512),
    ] {
        metadata.push((key(name), Value::U32(number)));
    }
    let weights = candle_core::safetensors::load(folder().join("model.safetensors"), &Device::Cpu);
    let tensors: Vec<(String, QTensor)> = weights
        .unwrap()
        .into_iter()
        .filter(|(name, _)| name != "lm_head.weight")
        .map(|(name, tensor)| made::to_gguf(&name, tensor, 8, GgmlDType::F32))
        .collect();
    made::write_gguf_file(file, &metadata, &tensors);
}

#[test]
fn the_same_story_comes_from_gguf() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("stories.gguf");
    write_gguf(&file);
    let model = Llama::load(place.path(), &Device::Cpu).unwrap();
    let golden = golden();
    let mut prompt = model.vocabulary.encode(&golden.prompt).unwrap();
    prompt.insert(0, 1);
    assert_eq!(prompt, golden.prompt_ids);
    let found = greedy(&model, &prompt, golden.greedy_ids_120.len());
    assert_eq!(found, golden.greedy_ids_120);
    assert_eq!(model.decode(&found).unwrap(), golden.text);
}

#[test]
fn bytes_outside_the_vocabulary_survive() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("stories.gguf");
    write_gguf(&file);
    let model = Llama::load(&file, &Device::Cpu).unwrap();
    let text = "Grüße, 世界! #7";
    let tokens = model.vocabulary.encode(text).unwrap();
    assert_eq!(model.decode(&tokens).unwrap(), text);
}
