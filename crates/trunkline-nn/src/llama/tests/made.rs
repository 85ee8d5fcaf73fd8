//! Small models of true shapes with random weights, written as real files.

use std::collections::HashMap;
use std::path::Path;

use candle_core::Tensor;
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use serde_json::json;

use super::*;

pub(super) const VOCABULARY: usize = 260;

/// The shape of a made model.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) model_type: &'static str,
    pub(super) width: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_width: usize,
    pub(super) inner: usize,
    pub(super) bias: bool,
    pub(super) tied: bool,
    /// Llama 3's stretching of the context.
    pub(super) stretched: bool,
    /// Norms of queries and keys.
    pub(super) head_norms: bool,
    /// A sliding window.
    pub(super) window: Option<usize>,
}

pub(super) const LAYERS: usize = 2;

pub(super) const LLAMA: Shape = Shape {
    model_type: "llama",
    width: 64,
    heads: 4,
    kv_heads: 2,
    head_width: 16,
    inner: 96,
    bias: false,
    tied: true,
    stretched: false,
    head_norms: false,
    window: None,
};

pub(super) const LLAMA_3: Shape = Shape {
    tied: false,
    stretched: true,
    ..LLAMA
};

pub(super) const QWEN_2: Shape = Shape {
    model_type: "qwen2",
    bias: true,
    ..LLAMA
};

/// Heads wider together than the network, and normed.
pub(super) const QWEN_3: Shape = Shape {
    model_type: "qwen3",
    head_width: 32,
    head_norms: true,
    ..LLAMA
};

/// Heads wider together than the network.
pub(super) const MISTRAL: Shape = Shape {
    model_type: "mistral",
    head_width: 32,
    kv_heads: 1,
    tied: false,
    ..LLAMA
};

/// Weights by the names of Hugging Face, the same for the same shape.
pub(super) fn weights(shape: Shape) -> HashMap<String, Tensor> {
    let queries = shape.heads * shape.head_width;
    let keys = shape.kv_heads * shape.head_width;
    let mut shapes = vec![
        (
            "model.embed_tokens.weight".to_owned(),
            vec![VOCABULARY, shape.width],
        ),
        ("model.norm.weight".to_owned(), vec![shape.width]),
    ];
    if !shape.tied {
        shapes.push(("lm_head.weight".to_owned(), vec![VOCABULARY, shape.width]));
    }
    for layer in 0..LAYERS {
        let mut add = |part: &str, dims: Vec<usize>| {
            shapes.push((format!("model.layers.{layer}.{part}"), dims));
        };
        add("input_layernorm.weight", vec![shape.width]);
        add("post_attention_layernorm.weight", vec![shape.width]);
        for (part, outputs) in [("q", queries), ("k", keys), ("v", keys)] {
            add(
                &format!("self_attn.{part}_proj.weight"),
                vec![outputs, shape.width],
            );
            if shape.bias {
                add(&format!("self_attn.{part}_proj.bias"), vec![outputs]);
            }
        }
        if shape.head_norms {
            add("self_attn.q_norm.weight", vec![shape.head_width]);
            add("self_attn.k_norm.weight", vec![shape.head_width]);
        }
        add("self_attn.o_proj.weight", vec![shape.width, queries]);
        add("mlp.gate_proj.weight", vec![shape.inner, shape.width]);
        add("mlp.up_proj.weight", vec![shape.inner, shape.width]);
        add("mlp.down_proj.weight", vec![shape.width, shape.inner]);
    }
    let mut seed = 1u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    shapes
        .into_iter()
        .map(|(name, dims)| {
            let count = dims.iter().product();
            let norm = name.contains("norm");
            let values: Vec<f32> = (0..count)
                .map(|_| {
                    if norm {
                        1.0 + 0.2 * random()
                    } else {
                        0.25 * random()
                    }
                })
                .collect();
            (name, Tensor::from_vec(values, dims, &Device::Cpu).unwrap())
        })
        .collect()
}

/// Writes a folder as Hugging Face would.
pub(super) fn write_folder(folder: &Path, shape: Shape) {
    candle_core::safetensors::save(&weights(shape), folder.join("model.safetensors")).unwrap();
    let mut config = json!({
        "model_type": shape.model_type,
        "hidden_size": shape.width,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_width,
        "intermediate_size": shape.inner,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "eos_token_id": 257,
    });
    if let Some(window) = shape.window {
        config["sliding_window"] = json!(window);
    }
    if shape.stretched {
        config["rope_scaling"] = json!({
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 64
        });
    }
    write_json(&folder.join("config.json"), &config);
    let (tokens, kinds) = vocabulary();
    let ids: HashMap<&str, usize> = tokens.iter().map(String::as_str).zip(0..).collect();
    let added: Vec<_> = (0..VOCABULARY)
        .filter(|id| kinds[*id] == 3)
        .map(|id| {
            json!({
                "id": id, "content": tokens[id], "special": true, "single_word": false,
                "lstrip": false, "rstrip": false, "normalized": false
            })
        })
        .collect();
    let bytes = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true
    });
    let tokenizer = json!({
        "version": "1.0", "added_tokens": added, "pre_tokenizer": bytes, "decoder": bytes,
        "model": { "type": "BPE", "vocab": ids, "merges": [] }
    });
    write_json(&folder.join("tokenizer.json"), &tokenizer);
}

pub(super) fn write_json(file: &Path, json: &serde_json::Value) {
    std::fs::write(file, json.to_string()).unwrap();
}

/// One token per byte, and the markers of ChatML.
fn vocabulary() -> (Vec<String>, Vec<i32>) {
    // GPT-2's letters for bytes: printable ones stand for themselves, the others follow 255.
    let mut next = 256;
    let letters = (0..256u32).map(|byte| {
        let printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let letter = if printable { byte } else { next };
        next += u32::from(!printable);
        char::from_u32(letter).unwrap().to_string()
    });
    let markers = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|pad|>"];
    let tokens: Vec<String> = letters.chain(markers.map(str::to_owned)).collect();
    let kinds = (0..tokens.len()).map(|id| if id < 256 { 1 } else { 3 });
    let kinds = kinds.collect();
    (tokens, kinds)
}

/// Writes a GGUF file with the same weights, as `dtype`.
pub(super) fn write_gguf(file: &Path, shape: Shape, dtype: GgmlDType) {
    let architecture = match shape.model_type {
        "mistral" => "llama",
        own => own,
    };
    let (tokens, kinds) = vocabulary();
    let texts = |all: Vec<String>| Value::Array(all.into_iter().map(Value::String).collect());
    let mut metadata: Vec<(String, Value)> = vec![
        (
            "general.architecture".into(),
            Value::String(architecture.into()),
        ),
        ("tokenizer.ggml.model".into(), Value::String("gpt2".into())),
        ("tokenizer.ggml.pre".into(), Value::String("gpt-2".into())),
        ("tokenizer.ggml.tokens".into(), texts(tokens)),
        (
            "tokenizer.ggml.token_type".into(),
            Value::Array(kinds.into_iter().map(Value::I32).collect()),
        ),
        ("tokenizer.ggml.merges".into(), texts(vec!["t h".into()])),
        ("tokenizer.ggml.eos_token_id".into(), Value::U32(257)),
    ];
    // A list may not be empty in candle's writer; the pair it names has to exist.
    if let Some((_, Value::Array(tokens))) = metadata.get_mut(3) {
        tokens[VOCABULARY - 1] = Value::String("th".into());
    }
    if let Some((_, Value::Array(kinds))) = metadata.get_mut(4) {
        kinds[VOCABULARY - 1] = Value::I32(1);
    }
    for (name, number) in [
        ("block_count", LAYERS),
        ("embedding_length", shape.width),
        ("attention.head_count", shape.heads),
        ("attention.head_count_kv", shape.kv_heads),
        ("attention.key_length", shape.head_width),
        ("feed_forward_length", shape.inner),
        ("context_length", 512),
    ] {
        metadata.push((format!("{architecture}.{name}"), Value::U32(number as u32)));
    }
    for (name, number) in [
        ("attention.layer_norm_rms_epsilon", 1e-5),
        ("rope.freq_base", 10_000.0),
    ] {
        metadata.push((format!("{architecture}.{name}"), Value::F32(number)));
    }
    let head_width = if architecture == "llama" {
        shape.head_width
    } else {
        0
    };
    let tensors: Vec<_> = weights(shape)
        .into_iter()
        .map(|(name, tensor)| to_gguf(&name, tensor, head_width, dtype))
        .collect();
    write_gguf_file(file, &metadata, &tensors);
}

/// A weight under its name in GGUF. `head_width` is that of the heads whose rows GGUF orders
/// otherwise, 0 where it does not.
pub(super) fn to_gguf(
    name: &str,
    mut tensor: Tensor,
    head_width: usize,
    dtype: GgmlDType,
) -> (String, QTensor) {
    let renamed = [
        ("model.layers.", "blk."),
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("self_attn.q_norm", "attn_q_norm"),
        ("self_attn.k_norm", "attn_k_norm"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ]
    .iter()
    .fold(name.to_owned(), |name, (from, to)| name.replace(from, to));
    let ordered = name.contains("q_proj") || name.contains("k_proj");
    if ordered && head_width > 0 {
        let (rows, columns) = tensor.dims2().unwrap();
        let split = tensor.reshape((rows / head_width, 2, head_width / 2, columns));
        let swapped = split.unwrap().transpose(1, 2).unwrap();
        tensor = swapped
            .contiguous()
            .unwrap()
            .reshape((rows, columns))
            .unwrap();
    }
    let dtype = if tensor.rank() == 1 {
        GgmlDType::F32
    } else {
        dtype
    };
    (renamed, QTensor::quantize(&tensor, dtype).unwrap())
}

pub(super) fn write_gguf_file(
    file: &Path,
    metadata: &[(String, Value)],
    tensors: &[(String, QTensor)],
) {
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(k, v)| (k.as_str(), v)).collect();
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(k, v)| (k.as_str(), v)).collect();
    let mut file = std::fs::File::create(file).unwrap();
    gguf_file::write(&mut file, &metadata, &tensors).unwrap();
}

/// A made model from a folder, held as told.
pub(super) fn load(shape: Shape, plan: ComputePlan) -> Llama {
    let folder = tempfile::tempdir().unwrap();
    write_folder(folder.path(), shape);
    Llama::load_as(folder.path(), &Device::Cpu, plan).unwrap()
}
