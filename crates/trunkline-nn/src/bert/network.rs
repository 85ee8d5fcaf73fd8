//! The encoder of BERT (Devlin et al. 2018), as published: normalisation after each part.
//! States are `(rows, tokens, width)`.

use candle_core::{DType, Device, Tensor};
use candle_nn::{Embedding, LayerNorm, Linear, Module};

use super::config::BertConfig;
use crate::NnError;
use crate::files::Safetensors;

/// Added to the scores of padding; far below any score, far above what overflows.
const NOT_THERE: f64 = -1e9;

/// Where weights come from.
struct Weights<'a> {
    file: &'a Safetensors,
    /// Some folders put the whole network under a name.
    root: &'static str,
    device: &'a Device,
}

impl Weights<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, NnError> {
        let name = format!("{}{name}", self.root);
        self.file.tensor(&name, shape, DType::F32, self.device)
    }

    fn linear(&self, name: &str, inputs: usize, outputs: usize) -> Result<Linear, NnError> {
        let weight = self.tensor(&format!("{name}.weight"), &[outputs, inputs])?;
        let bias = self.tensor(&format!("{name}.bias"), &[outputs])?;
        Ok(Linear::new(weight, Some(bias)))
    }

    fn norm(&self, name: &str, width: usize, epsilon: f64) -> Result<LayerNorm, NnError> {
        let weight = self.tensor(&format!("{name}.weight"), &[width])?;
        let bias = self.tensor(&format!("{name}.bias"), &[width])?;
        Ok(LayerNorm::new(weight, bias, epsilon))
    }

    fn embedding(&self, name: &str, count: usize, width: usize) -> Result<Embedding, NnError> {
        let table = self.tensor(&format!("embeddings.{name}.weight"), &[count, width])?;
        Ok(Embedding::new(table, width))
    }
}

/// The whole encoder.
pub(super) struct Network {
    words: Embedding,
    positions: Embedding,
    /// The vector of the first type: a text alone has no second part.
    kind: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
    width: usize,
}

impl Network {
    pub(super) fn load(
        config: &BertConfig,
        file: &Safetensors,
        device: &Device,
    ) -> Result<Self, NnError> {
        let is_nested = file.contains("bert.embeddings.word_embeddings.weight");
        let weights = Weights {
            file,
            root: if is_nested { "bert." } else { "" },
            device,
        };
        let width = config.hidden_size;
        let positions = config.max_position_embeddings;
        let kinds = "embeddings.token_type_embeddings.weight";
        let kinds = weights.tensor(kinds, &[config.type_vocab_size, width])?;
        Ok(Self {
            words: weights.embedding("word_embeddings", config.vocab_size, width)?,
            positions: weights.embedding("position_embeddings", positions, width)?,
            kind: kinds.narrow(0, 0, 1)?,
            norm: weights.norm("embeddings.LayerNorm", width, config.layer_norm_eps)?,
            layers: (0..config.num_hidden_layers)
                .map(|index| Layer::load(config, &weights, index))
                .collect::<Result<_, _>>()?,
            width,
        })
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The last states of `ids`, `(rows, tokens)`; `mask` is 1 where there is a token and 0
    /// where there is padding.
    pub(super) fn forward(&self, ids: &Tensor, mask: &Tensor) -> Result<Tensor, NnError> {
        let (rows, tokens) = ids.dims2()?;
        let positions = Tensor::arange(0, u32::try_from(tokens).unwrap_or(u32::MAX), ids.device())?;
        let positions = self.positions.forward(&positions)?;
        let states = self.words.forward(ids)?;
        let states = states
            .broadcast_add(&positions)?
            .broadcast_add(&self.kind)?;
        let mut states = self.norm.forward(&states)?;
        let hidden = ((1.0 - mask)? * NOT_THERE)?.reshape((rows, 1, 1, tokens))?;
        for layer in &self.layers {
            states = layer.forward(&states, &hidden)?;
        }
        Ok(states)
    }
}

/// Attention, then the feed-forward part.
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    output_norm: LayerNorm,
    up: Linear,
    down: Linear,
    down_norm: LayerNorm,
    heads: usize,
}

impl Layer {
    fn load(config: &BertConfig, weights: &Weights<'_>, index: usize) -> Result<Self, NnError> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let epsilon = config.layer_norm_eps;
        let at = |name: &str| format!("encoder.layer.{index}.{name}");
        let square = |name: &str| weights.linear(&at(name), width, width);
        Ok(Self {
            query: square("attention.self.query")?,
            key: square("attention.self.key")?,
            value: square("attention.self.value")?,
            output: square("attention.output.dense")?,
            output_norm: weights.norm(&at("attention.output.LayerNorm"), width, epsilon)?,
            up: weights.linear(&at("intermediate.dense"), width, inner)?,
            down: weights.linear(&at("output.dense"), inner, width)?,
            down_norm: weights.norm(&at("output.LayerNorm"), width, epsilon)?,
            heads: config.num_attention_heads,
        })
    }

    fn forward(&self, states: &Tensor, hidden: &Tensor) -> Result<Tensor, NnError> {
        let attended = self.output.forward(&self.attend(states, hidden)?)?;
        let states = self.output_norm.forward(&(attended + states)?)?;
        let inner = self.up.forward(&states)?.gelu_erf()?;
        let inner = self.down.forward(&inner)?;
        Ok(self.down_norm.forward(&(inner + states)?)?)
    }

    fn attend(&self, states: &Tensor, hidden: &Tensor) -> Result<Tensor, NnError> {
        let (rows, tokens, width) = states.dims3()?;
        let head = width / self.heads;
        let split = |states: Tensor| -> Result<Tensor, NnError> {
            let states = states.reshape((rows, tokens, self.heads, head))?;
            Ok(states.transpose(1, 2)?.contiguous()?)
        };
        let query = split(self.query.forward(states)?)?;
        let key = split(self.key.forward(states)?)?;
        let value = split(self.value.forward(states)?)?;
        let scores = (query.matmul(&key.t()?)? / (head as f64).sqrt())?;
        let scores = candle_nn::ops::softmax_last_dim(&scores.broadcast_add(hidden)?)?;
        let mixed = scores.matmul(&value)?.transpose(1, 2)?;
        Ok(mixed.reshape((rows, tokens, width))?)
    }
}
