//! Every family against Hugging Face's implementation: checkpoints with random weights, and what
//! the reference made of them. `tests/fixtures/families/make.py` wrote both.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::*;

const FAMILIES: [&str; 6] = ["llama2", "llama3", "smollm2", "qwen2", "qwen3", "mistral"];

#[derive(Deserialize)]
struct Golden {
    prompt: Vec<u32>,
    /// Greedy.
    reply: Vec<u32>,
    /// Logits that gave the first token of the reply, and the last one.
    after_prompt: Vec<f32>,
    after_reply: Vec<f32>,
}

fn folder(family: &str) -> PathBuf {
    Path::new("tests/fixtures/families").join(family)
}

fn golden(family: &str) -> Golden {
    let text = std::fs::read_to_string(folder(family).join("golden.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A checkpoint with a tokenizer, which has no part in the comparison.
fn load(family: &str, plan: ComputePlan) -> Llama {
    let place = tempfile::tempdir().unwrap();
    made::write_folder(place.path(), made::LLAMA);
    for stale in ["model.safetensors", "config.json"] {
        std::fs::remove_file(place.path().join(stale)).unwrap();
    }
    for entry in std::fs::read_dir(folder(family)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), place.path().join(entry.file_name())).unwrap();
    }
    Llama::load_as(place.path(), &Device::Cpu, plan).unwrap()
}

#[test]
fn logits_and_greedy_replies_are_those_of_the_reference() {
    for family in FAMILIES {
        let golden = golden(family);
        eprintln!("{family}");
        assert_eq!(golden.reply.len(), 64);
        let model = load(family, ComputePlan::Dense);
        let mut sequence = Sequence::new(&model.network);
        let mut logits = sequence.extend(&golden.prompt).pop().unwrap();
        assert_close(&logits, &golden.after_prompt, 1e-4);
        let mut reply = vec![likeliest(&logits)];
        while reply.len() < golden.reply.len() {
            logits = sequence.extend(&reply[reply.len() - 1..]).pop().unwrap();
            reply.push(likeliest(&logits));
        }
        assert_close(&logits, &golden.after_reply, 1e-4);
        assert_eq!(reply, golden.reply, "{family}");
    }
}

#[test]
fn packed_weights_stay_near_the_reference() {
    for family in FAMILIES {
        let golden = golden(family);
        let model = load(family, ComputePlan::Packed);
        let mut sequence = Sequence::new(&model.network);
        let logits = sequence.extend(&golden.prompt).pop().unwrap();
        let range = golden
            .after_prompt
            .iter()
            .fold(0f32, |top, x| top.max(x.abs()));
        assert_close(&logits, &golden.after_prompt, 0.05 * range);
    }
}
