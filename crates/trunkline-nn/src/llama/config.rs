//! The shape of a Llama-family network, read from `config.json` or from GGUF metadata.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::gguf::Gguf;
use crate::NnError;

/// The members of the family, as both kinds of files name them.
const FAMILIES: [&str; 4] = ["llama", "mistral", "qwen2", "qwen3"];

/// The shape of the network.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Config {
    pub(super) width: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_width: usize,
    pub(super) inner: usize,
    pub(super) vocabulary: usize,
    /// Tokens that one sequence may have.
    pub(super) context: usize,
    /// A token sees so many, itself included; all when `None`.
    pub(super) window: Option<usize>,
    pub(super) norm_epsilon: f32,
    pub(super) rotary: Rotary,
}

/// Rotary position embedding.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rotary {
    pub(super) base: f64,
    /// One divisor per frequency, when the model's context was stretched after training.
    pub(super) divisors: Option<Vec<f64>>,
}

impl Rotary {
    /// Radians per token, `head_width / 2` of them.
    pub(super) fn frequencies(&self, head_width: usize) -> Vec<f64> {
        (0..head_width / 2)
            .map(|pair| {
                let frequency = self.base.powf(-(2.0 * pair as f64) / head_width as f64);
                let divisor = self.divisors.as_ref().and_then(|all| all.get(pair));
                frequency / divisor.copied().unwrap_or(1.0)
            })
            .collect()
    }
}

#[derive(Deserialize)]
struct HuggingFace {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_scaling: Option<Scaling>,
    /// The newer place of `rope_theta` and `rope_scaling`.
    rope_parameters: Option<Scaling>,
    sliding_window: Option<usize>,
    use_sliding_window: Option<bool>,
    /// Qwen's count of layers below those with a window.
    max_window_layers: Option<usize>,
}

#[derive(Clone, Deserialize)]
struct Scaling {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
}

impl Config {
    /// From the text of a `config.json`.
    pub(super) fn from_json(file: &Path, json: Value) -> Result<Self, NnError> {
        let read: HuggingFace =
            serde_json::from_value(json).map_err(|error| NnError::damaged(file, error))?;
        if !FAMILIES.contains(&read.model_type.as_str()) {
            let reason = format!("model_type is {}", read.model_type);
            return Err(NnError::unsupported(file, reason));
        }
        let head_width = read
            .head_dim
            .unwrap_or(read.hidden_size / read.num_attention_heads.max(1));
        let scaling = read.rope_scaling.or(read.rope_parameters.clone());
        let base = read
            .rope_theta
            .or(read.rope_parameters.and_then(|scaling| scaling.rope_theta))
            .unwrap_or(10_000.0);
        let window = read.sliding_window.filter(|_| {
            // Qwen names a window that it does not use unless it says so.
            let unless_told = !read.model_type.starts_with("qwen");
            read.use_sliding_window.unwrap_or(unless_told)
        });
        if window.is_some() && read.max_window_layers.is_some_and(|layers| layers > 0) {
            let reason = "only some of its layers have a window".to_owned();
            return Err(NnError::unsupported(file, reason));
        }
        let config = Self {
            width: read.hidden_size,
            layers: read.num_hidden_layers,
            heads: read.num_attention_heads,
            kv_heads: read.num_key_value_heads.unwrap_or(read.num_attention_heads),
            head_width,
            inner: read.intermediate_size,
            vocabulary: read.vocab_size,
            context: read.max_position_embeddings,
            window,
            norm_epsilon: read.rms_norm_eps as f32,
            rotary: Rotary {
                base,
                divisors: scaling
                    .map(|scaling| divisors(file, &scaling, base, head_width))
                    .transpose()?
                    .flatten(),
            },
        };
        config.checked(file)
    }

    /// From the metadata of a GGUF file.
    pub(super) fn from_gguf(gguf: &Gguf) -> Result<Self, NnError> {
        let architecture = gguf.text("general.architecture")?;
        if !FAMILIES.contains(&architecture) {
            let reason = format!("general.architecture is {architecture}");
            return Err(NnError::unsupported(gguf.file(), reason));
        }
        let key = |name: &str| format!("{architecture}.{name}");
        let number = |name: &str| gguf.number(&key(name));
        let width = number("embedding_length")?;
        let heads = number("attention.head_count")?;
        let head_width = number("attention.key_length").unwrap_or(width / heads.max(1));
        let scaled = gguf.text(&key("rope.scaling.type")).unwrap_or("none");
        let divisors = match scaled {
            "none" => gguf.rotary_divisors()?,
            "linear" => {
                let factor = gguf.float(&key("rope.scaling.factor"))?;
                Some(vec![factor; head_width / 2])
            }
            other => {
                let reason = format!("its context is stretched by {other}");
                return Err(NnError::unsupported(gguf.file(), reason));
            }
        };
        let config = Self {
            width,
            layers: number("block_count")?,
            heads,
            kv_heads: number("attention.head_count_kv").unwrap_or(heads),
            head_width,
            inner: number("feed_forward_length")?,
            vocabulary: gguf.tensor_shape("token_embd.weight")?[0],
            context: number("context_length")?,
            window: number("attention.sliding_window")
                .ok()
                .filter(|window| *window > 0),
            norm_epsilon: gguf.float(&key("attention.layer_norm_rms_epsilon"))? as f32,
            rotary: Rotary {
                base: gguf.float(&key("rope.freq_base")).unwrap_or(10_000.0),
                divisors,
            },
        };
        config.checked(gguf.file())
    }

    /// Refuses shapes that the network cannot have.
    fn checked(self, file: &Path) -> Result<Self, NnError> {
        let sound = self.kv_heads > 0
            && self.heads.is_multiple_of(self.kv_heads)
            && self.head_width > 0
            && self.head_width.is_multiple_of(2)
            && self.width > 0
            && self.vocabulary > 0
            && self.window != Some(0)
            && self.context > 1;
        if sound {
            Ok(self)
        } else {
            Err(NnError::damaged(
                file,
                format!("impossible shape: {self:?}"),
            ))
        }
    }

    /// Weights of the network, biases and norms aside.
    pub(super) fn parameters(&self) -> usize {
        let attention = self.width * self.head_width * 2 * (self.heads + self.kv_heads);
        let block = attention + 3 * self.width * self.inner;
        self.layers * block + self.vocabulary * self.width
    }
}

/// The divisors of a stretched context.
fn divisors(
    file: &Path,
    scaling: &Scaling,
    base: f64,
    head_width: usize,
) -> Result<Option<Vec<f64>>, NnError> {
    let missing = |field: &str| NnError::MissingField {
        file: file.to_owned(),
        field: format!("rope_scaling.{field}"),
    };
    let factor = || scaling.factor.ok_or_else(|| missing("factor"));
    match scaling.rope_type.as_deref().unwrap_or("default") {
        "default" => Ok(None),
        "linear" => Ok(Some(vec![factor()?; head_width / 2])),
        "llama3" => {
            let factor = factor()?;
            let trained = scaling
                .original_max_position_embeddings
                .ok_or_else(|| missing("original_max_position_embeddings"))?;
            let low = scaling
                .low_freq_factor
                .ok_or_else(|| missing("low_freq_factor"))?;
            let high = scaling
                .high_freq_factor
                .ok_or_else(|| missing("high_freq_factor"))?;
            let plain = Rotary {
                base,
                divisors: None,
            };
            // Llama 3.1: frequencies that turn often within the trained context stay, those
            // that turn less than once are stretched, and in between it is blended.
            let divisor = |frequency: f64| {
                let turns = trained * frequency / std::f64::consts::TAU;
                let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                1.0 / (kept + (1.0 - kept) / factor)
            };
            let frequencies = plain.frequencies(head_width);
            Ok(Some(frequencies.into_iter().map(divisor).collect()))
        }
        other => Err(NnError::unsupported(
            file,
            format!("its context is stretched by {other}"),
        )),
    }
}
