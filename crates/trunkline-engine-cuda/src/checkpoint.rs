//! Checkpoints with random weights, written as Hugging Face would: what a network costs does not
//! depend on what it learned.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context, Result};
use half::bf16;
use serde_json::{Map, Value, json};

/// The shape of a member of the Llama family.
#[derive(Debug, Clone, Copy)]
pub struct LlamaShape {
    /// What it is called.
    pub name: &'static str,
    /// As `config.json` names the family.
    pub model_type: &'static str,
    /// Columns of the activations.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Columns of a head.
    pub head_width: usize,
    /// Columns of the gated unit.
    pub inner: usize,
    /// Tokens that there are.
    pub vocabulary: usize,
    /// The output matrix is the embedding.
    pub tied: bool,
    /// Biases of queries, keys and values.
    pub bias: bool,
    /// Norms of queries and keys.
    pub head_norms: bool,
    /// Tokens that a query sees; all when `None`.
    pub window: Option<usize>,
}

/// The shape of a Whisper.
#[derive(Debug, Clone, Copy)]
pub struct WhisperShape {
    /// What it is called.
    pub name: &'static str,
    /// Columns of the activations.
    pub width: usize,
    /// Heads, in encoder and decoder.
    pub heads: usize,
    /// Blocks of the encoder.
    pub encoder_layers: usize,
    /// Blocks of the decoder.
    pub decoder_layers: usize,
    /// Columns inside the feed-forward parts.
    pub inner: usize,
    /// Bands of the spectrum.
    pub mels: usize,
    /// Tokens that there are.
    pub vocabulary: usize,
}

/// Name, dimensions, and whether it is a norm's weight, a bias, or a matrix.
type Tensors = Vec<(String, Vec<usize>, Kind)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Matrix,
    Norm,
    Bias,
}

impl LlamaShape {
    /// Weights, the embedding aside, that a token is multiplied with.
    pub fn multiplied(&self) -> usize {
        let attention = self.width * self.head_width * 2 * (self.heads + self.kv_heads);
        let layer = attention + 3 * self.width * self.inner;
        self.layers * layer + self.vocabulary * self.width
    }

    /// Bytes of keys and values that a token keeps, in bf16.
    pub fn kept_bytes(&self) -> usize {
        self.layers * 2 * self.kv_heads * self.head_width * 2
    }

    fn tensors(&self) -> Tensors {
        let queries = self.heads * self.head_width;
        let keys = self.kv_heads * self.head_width;
        let mut all = vec![
            (
                "model.embed_tokens.weight".to_owned(),
                vec![self.vocabulary, self.width],
                Kind::Matrix,
            ),
            ("model.norm.weight".to_owned(), vec![self.width], Kind::Norm),
        ];
        if !self.tied {
            let head = vec![self.vocabulary, self.width];
            all.push(("lm_head.weight".to_owned(), head, Kind::Matrix));
        }
        for layer in 0..self.layers {
            let mut add = |part: &str, dims: &[usize], kind| {
                all.push((format!("model.layers.{layer}.{part}"), dims.to_vec(), kind));
            };
            add("input_layernorm.weight", &[self.width], Kind::Norm);
            add("post_attention_layernorm.weight", &[self.width], Kind::Norm);
            for (part, outputs) in [("q", queries), ("k", keys), ("v", keys)] {
                let name = format!("self_attn.{part}_proj");
                add(
                    &format!("{name}.weight"),
                    &[outputs, self.width],
                    Kind::Matrix,
                );
                if self.bias {
                    add(&format!("{name}.bias"), &[outputs], Kind::Bias);
                }
            }
            if self.head_norms {
                add("self_attn.q_norm.weight", &[self.head_width], Kind::Norm);
                add("self_attn.k_norm.weight", &[self.head_width], Kind::Norm);
            }
            add(
                "self_attn.o_proj.weight",
                &[self.width, queries],
                Kind::Matrix,
            );
            for part in ["gate", "up"] {
                let name = format!("mlp.{part}_proj.weight");
                add(&name, &[self.inner, self.width], Kind::Matrix);
            }
            add(
                "mlp.down_proj.weight",
                &[self.width, self.inner],
                Kind::Matrix,
            );
        }
        all
    }

    /// Writes a folder as Hugging Face would.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let mut config = json!({
            "model_type": self.model_type,
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_width,
            "intermediate_size": self.inner,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": 8192,
            "rms_norm_eps": 1e-5,
            "rope_theta": 500_000.0,
            "eos_token_id": 256,
        });
        if let Some(window) = self.window {
            config["sliding_window"] = json!(window);
        }
        write_json(&folder.join("config.json"), &config)?;
        write_json(&folder.join("tokenizer.json"), &tokenizer(&["<end>"]))?;
        write_weights(&folder.join("model.safetensors"), &self.tensors())
    }
}

impl WhisperShape {
    fn tensors(&self) -> Tensors {
        let width = self.width;
        let mut all = Vec::new();
        let mut add = |name: String, dims: &[usize], kind| all.push((name, dims.to_vec(), kind));
        let encoder = "model.encoder";
        for (part, inputs) in [("conv1", self.mels), ("conv2", width)] {
            add(
                format!("{encoder}.{part}.weight"),
                &[width, inputs, 3],
                Kind::Matrix,
            );
            add(format!("{encoder}.{part}.bias"), &[width], Kind::Bias);
        }
        let positions = "embed_positions.weight";
        add(
            format!("{encoder}.{positions}"),
            &[1500, width],
            Kind::Matrix,
        );
        let decoder = "model.decoder";
        add(
            format!("{decoder}.{positions}"),
            &[448, width],
            Kind::Matrix,
        );
        let embedding = format!("{decoder}.embed_tokens.weight");
        add(embedding, &[self.vocabulary, width], Kind::Matrix);
        for (side, layers) in [
            (encoder, self.encoder_layers),
            (decoder, self.decoder_layers),
        ] {
            let mut norms = vec![format!("{side}.layer_norm")];
            let mut matrices = Vec::new();
            for layer in 0..layers {
                let layer = format!("{side}.layers.{layer}");
                let mut attentions = vec!["self_attn"];
                if side == decoder {
                    attentions.push("encoder_attn");
                }
                for attention in attentions {
                    norms.push(format!("{layer}.{attention}_layer_norm"));
                    for part in ["q", "k", "v", "out"] {
                        let name = format!("{layer}.{attention}.{part}_proj");
                        matrices.push((name, width, width, part != "k"));
                    }
                }
                norms.push(format!("{layer}.final_layer_norm"));
                matrices.push((format!("{layer}.fc1"), self.inner, width, true));
                matrices.push((format!("{layer}.fc2"), width, self.inner, true));
            }
            for name in norms {
                add(format!("{name}.weight"), &[width], Kind::Norm);
                add(format!("{name}.bias"), &[width], Kind::Bias);
            }
            for (name, outputs, inputs, has_bias) in matrices {
                add(format!("{name}.weight"), &[outputs, inputs], Kind::Matrix);
                if has_bias {
                    add(format!("{name}.bias"), &[outputs], Kind::Bias);
                }
            }
        }
        all
    }

    /// Writes a folder as Hugging Face would.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let config = json!({
            "model_type": "whisper",
            "vocab_size": self.vocabulary,
            "num_mel_bins": self.mels,
            "d_model": self.width,
            "encoder_layers": self.encoder_layers,
            "encoder_attention_heads": self.heads,
            "encoder_ffn_dim": self.inner,
            "decoder_layers": self.decoder_layers,
            "decoder_attention_heads": self.heads,
            "decoder_ffn_dim": self.inner,
            "max_source_positions": 1500,
            "max_target_positions": 448,
            "decoder_start_token_id": 257,
            "eos_token_id": 256,
        });
        let names = ["<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"];
        write_json(&folder.join("config.json"), &config)?;
        write_json(
            &folder.join("generation_config.json"),
            &json!({ "is_multilingual": false, "no_timestamps_token_id": 258 }),
        )?;
        write_json(&folder.join("tokenizer.json"), &tokenizer(&names))?;
        write_weights(&folder.join("model.safetensors"), &self.tensors())
    }
}

fn write_json(file: &Path, value: &Value) -> Result<()> {
    std::fs::write(file, value.to_string())
        .with_context(|| format!("cannot write {}", file.display()))
}

/// One token a byte, then these.
fn tokenizer(special: &[&str]) -> Value {
    // GPT-2's letters for bytes: printable ones stand for themselves, the others follow 255.
    let mut next = 256u32;
    let mut ids = Map::new();
    for byte in 0..256u32 {
        let printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let letter = if printable { byte } else { next };
        next += u32::from(!printable);
        let letter = char::from_u32(letter).unwrap_or(' ');
        ids.insert(letter.to_string(), json!(byte));
    }
    let added: Vec<Value> = (256u32..)
        .zip(special)
        .map(|(id, name)| {
            json!({
                "id": id, "content": name, "special": true, "single_word": false,
                "lstrip": false, "rstrip": false, "normalized": false
            })
        })
        .collect();
    let bytes = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true
    });
    json!({
        "version": "1.0", "added_tokens": added, "pre_tokenizer": bytes, "decoder": bytes,
        "model": { "type": "BPE", "vocab": ids, "merges": [] }
    })
}

/// The format of safetensors: the length of the header, the header, the numbers; here bf16.
fn write_weights(file: &Path, tensors: &Tensors) -> Result<()> {
    let mut header = Map::new();
    let mut end = 0usize;
    for (name, dims, _) in tensors {
        let start = end;
        end += dims.iter().product::<usize>() * size_of::<bf16>();
        let about = json!({ "dtype": "BF16", "shape": dims, "data_offsets": [start, end] });
        header.insert(name.clone(), about);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let failed = || format!("cannot write {}", file.display());
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file).with_context(failed)?);
    out.write_all(&(header.len() as u64).to_le_bytes())
        .with_context(failed)?;
    out.write_all(&header).with_context(failed)?;
    let mut random = Random(1);
    for (_, dims, kind) in tensors {
        let mut left: usize = dims.iter().product();
        // Outputs have about the size of inputs, as after training.
        let inputs: usize = dims.iter().skip(1).product();
        let (middle, spread) = match kind {
            Kind::Matrix => (0.0, (3.0 / inputs as f32).sqrt()),
            Kind::Norm => (1.0, 0.2),
            Kind::Bias => (0.0, 0.1),
        };
        while left > 0 {
            let bytes = random.four().map(|x| {
                let x = f32::from(x) / 32768.0;
                bf16::from_f32(middle + spread * x).to_le_bytes()
            });
            let some = left.min(4);
            out.write_all(&bytes.as_flattened()[..2 * some])
                .with_context(failed)?;
            left -= some;
        }
    }
    out.flush().with_context(failed)
}

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn four(&mut self) -> [i16; 4] {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        [0, 16, 32, 48].map(|shift| (z >> shift) as u16 as i16)
    }
}
