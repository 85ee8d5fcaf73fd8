//! Text to tokens and back: `tokenizer.json`, or the vocabulary inside a GGUF file.
//!
//! GGUF holds a vocabulary and the name of the rule by which text is cut before pairs are
//! merged; the rules are written out here, and a name that is not known is refused rather
//! than guessed, because a wrong rule gives wrong answers and no error.

use serde_json::{Value, json};
use tokenizers::Tokenizer;

use super::gguf::Gguf;
use crate::NnError;

/// GPT-2's rule is built into the byte-level step. These are the others.
const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN_2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// GGUF's kinds of tokens.
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

/// The tokenizer of a GGUF file.
pub(super) fn from_gguf(gguf: &Gguf) -> Result<Tokenizer, NnError> {
    let vocabulary = gguf.texts("tokenizer.ggml.tokens")?;
    let kinds = gguf
        .integers("tokenizer.ggml.token_type")
        .unwrap_or_default();
    let json = match gguf.text("tokenizer.ggml.model")? {
        "gpt2" => byte_level(gguf, &vocabulary, &kinds)?,
        "llama" => sentence_piece(gguf, &vocabulary, &kinds)?,
        other => {
            let reason = format!("its tokenizer is {other}");
            return Err(NnError::unsupported(gguf.file(), reason));
        }
    };
    let bytes = serde_json::to_vec(&json).map_err(|error| NnError::damaged(gguf.file(), error))?;
    Tokenizer::from_bytes(bytes).map_err(|error| NnError::damaged(gguf.file(), error))
}

/// Byte pairs over the bytes of UTF-8, as GPT-2 does it.
fn byte_level(gguf: &Gguf, vocabulary: &[&str], kinds: &[i32]) -> Result<Value, NnError> {
    let split = |pattern: &str| {
        json!({
            "type": "Split", "pattern": { "Regex": pattern },
            "behavior": "Isolated", "invert": false
        })
    };
    let bytes = |use_regex: bool| {
        json!({
            "type": "ByteLevel", "add_prefix_space": false,
            "trim_offsets": true, "use_regex": use_regex
        })
    };
    let digits = json!({ "type": "Digits", "individual_digits": true });
    let rule = gguf.text("tokenizer.ggml.pre").unwrap_or("gpt-2");
    let (normalizer, steps, whole_words) = match rule {
        "gpt-2" | "default" => (Value::Null, vec![bytes(true)], false),
        "smollm" => (Value::Null, vec![digits, bytes(true)], false),
        "llama-bpe" | "llama3" => (Value::Null, vec![split(LLAMA_3), bytes(false)], true),
        "qwen2" => (
            json!({ "type": "NFC" }),
            vec![split(QWEN_2), bytes(false)],
            false,
        ),
        other => {
            let reason = format!("its tokenizer cuts text by the rule {other}");
            return Err(NnError::unsupported(gguf.file(), reason));
        }
    };
    let merges = gguf.texts("tokenizer.ggml.merges")?;
    Ok(json!({
        "version": "1.0",
        "added_tokens": added(vocabulary, kinds),
        "normalizer": normalizer,
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": steps },
        "decoder": {
            "type": "ByteLevel", "add_prefix_space": false,
            "trim_offsets": true, "use_regex": true
        },
        "model": {
            "type": "BPE", "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": whole_words, "vocab": ids(vocabulary), "merges": merges
        }
    }))
}

/// SentencePiece's byte pairs. GGUF keeps their scores, of which the order of merges follows.
fn sentence_piece(gguf: &Gguf, vocabulary: &[&str], kinds: &[i32]) -> Result<Value, NnError> {
    let scores = gguf.floats("tokenizer.ggml.scores")?;
    let unknown = kinds.iter().position(|kind| *kind == UNKNOWN).unwrap_or(0);
    let prefix = gguf
        .flag("tokenizer.ggml.add_space_prefix")
        .unwrap_or(true)
        .then(|| json!({ "type": "Prepend", "prepend": "▁" }));
    let space = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" });
    let normalizers: Vec<Value> = prefix.iter().cloned().chain([space]).collect();
    let mut decoders = vec![
        json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if prefix.is_some() {
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    Ok(json!({
        "version": "1.0",
        "added_tokens": added(vocabulary, kinds),
        "normalizer": { "type": "Sequence", "normalizers": normalizers },
        "decoder": { "type": "Sequence", "decoders": decoders },
        "model": {
            "type": "BPE", "unk_token": vocabulary.get(unknown), "fuse_unk": true,
            "byte_fallback": true, "vocab": ids(vocabulary),
            "merges": merges_by_score(vocabulary, &scores)
        }
    }))
}

fn ids(vocabulary: &[&str]) -> Value {
    let ids = vocabulary.iter().enumerate();
    ids.map(|(id, token)| ((*token).to_owned(), json!(id)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Tokens that are found in text before it is cut: markers, and words a user added.
fn added(vocabulary: &[&str], kinds: &[i32]) -> Vec<Value> {
    let tokens = vocabulary.iter().zip(kinds).enumerate();
    tokens
        .filter(|(_, (_, kind))| [UNKNOWN, CONTROL, USER_DEFINED].contains(kind))
        .map(|(id, (token, kind))| {
            json!({
                "id": id, "content": token, "special": *kind != USER_DEFINED,
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false
            })
        })
        .collect()
}

/// Every way to make a token of two others, the best-scored token first.
fn merges_by_score(vocabulary: &[&str], scores: &[f32]) -> Vec<[String; 2]> {
    let score: std::collections::HashMap<&str, f32> = vocabulary
        .iter()
        .copied()
        .zip(scores.iter().copied())
        .collect();
    let mut merges = Vec::new();
    for (token, own) in vocabulary.iter().zip(scores) {
        for (cut, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(cut);
            if score.contains_key(left) && score.contains_key(right) {
                merges.push((*own, [left.to_owned(), right.to_owned()]));
            }
        }
    }
    // Stable: between equals the order of the vocabulary decides, and within a token the
    // shorter left part, as in SentencePiece's leftmost-first search.
    merges.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    merges.into_iter().map(|(_, pair)| pair).collect()
}
