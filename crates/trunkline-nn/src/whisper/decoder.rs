//! The decoder: one step per token, each token's keys and values computed once.

use candle_core::{DType, Device, Tensor};

use super::config::Config;
use super::layers::{Attention, FeedForward, KeysValues, Norm, Weights};
use crate::NnError;
use crate::files::Safetensors;

pub(super) struct Decoder {
    embedding: Tensor,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
    heads: usize,
    device: Device,
}

/// What a decoding has heard and said so far. It belongs to one utterance.
pub(super) struct Memory {
    blocks: Vec<BlockMemory>,
    length: usize,
}

struct BlockMemory {
    heard: KeysValues,
    /// Room for every position: `(heads, positions, width / heads)`.
    said: KeysValues,
}

impl Decoder {
    pub(super) fn load(
        file: &Safetensors,
        config: &Config,
        device: &Device,
    ) -> Result<Self, NnError> {
        let weights = Weights::root(file, "model.decoder", device);
        let width = config.d_model;
        let blocks = (0..config.decoder_layers)
            .map(|n| Block::load(&weights.under("layers").under(n), config))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            embedding: weights.tensor("embed_tokens.weight", &[config.vocab_size, width])?,
            positions: weights.tensor(
                "embed_positions.weight",
                &[config.max_target_positions, width],
            )?,
            blocks,
            norm: Norm::load(&weights.under("layer_norm"), width)?,
            heads: config.decoder_attention_heads,
            device: device.clone(),
        })
    }

    /// Listens to what the encoder gave, `(1, positions, d_model)`.
    pub(super) fn listen(&self, encoded: &Tensor) -> Result<Memory, NnError> {
        let (positions, width) = self.positions.dims2()?;
        let room = (self.heads, positions, width / self.heads);
        let blocks = self
            .blocks
            .iter()
            .map(|block| {
                Ok(BlockMemory {
                    heard: block.cross.keys_values(encoded)?,
                    said: KeysValues {
                        keys: Tensor::zeros(room, DType::F32, &self.device)?,
                        values: Tensor::zeros(room, DType::F32, &self.device)?,
                    },
                })
            })
            .collect::<Result<_, NnError>>()?;
        Ok(Memory { blocks, length: 0 })
    }

    /// Says `tokens` and returns the logits of what follows the last of them.
    pub(super) fn step(&self, memory: &mut Memory, tokens: &[u32]) -> Result<Vec<f32>, NnError> {
        let ids = Tensor::new(tokens, &self.device)?;
        let positions = self.positions.narrow(0, memory.length, tokens.len())?;
        let mut x = (self.embedding.index_select(&ids, 0)? + positions)?.unsqueeze(0)?;
        let mask = causal_mask(tokens.len(), memory.length, &self.device)?;
        for (block, said) in self.blocks.iter().zip(&memory.blocks) {
            x = block.step(&x, said, memory.length, mask.as_ref())?;
        }
        memory.length += tokens.len();
        let last = x.narrow(1, tokens.len() - 1, 1)?.contiguous()?;
        let last = self.norm.forward(&last)?.squeeze(0)?;
        // Input and output embedding are one in every Whisper.
        let logits = last.matmul(&self.embedding.t()?)?.squeeze(0)?;
        Ok(logits.to_vec1()?)
    }
}

/// Nothing sees what comes after it. One new token sees all there is, and needs no mask.
fn causal_mask(new: usize, before: usize, device: &Device) -> Result<Option<Tensor>, NnError> {
    if new == 1 {
        return Ok(None);
    }
    let mask: Vec<f32> = (0..new)
        .flat_map(|query| {
            (0..before + new).map(move |key| {
                if key <= before + query {
                    0.0
                } else {
                    f32::NEG_INFINITY
                }
            })
        })
        .collect();
    Ok(Some(Tensor::from_vec(mask, (new, before + new), device)?))
}

struct Block {
    own_norm: Norm,
    own: Attention,
    cross_norm: Norm,
    cross: Attention,
    feed_forward: FeedForward,
}

impl Block {
    fn load(weights: &Weights<'_>, config: &Config) -> Result<Self, NnError> {
        let width = config.d_model;
        let heads = config.decoder_attention_heads;
        Ok(Self {
            own_norm: Norm::load(&weights.under("self_attn_layer_norm"), width)?,
            own: Attention::load(&weights.under("self_attn"), width, heads)?,
            cross_norm: Norm::load(&weights.under("encoder_attn_layer_norm"), width)?,
            cross: Attention::load(&weights.under("encoder_attn"), width, heads)?,
            feed_forward: FeedForward::load(weights, width, config.decoder_ffn_dim)?,
        })
    }

    fn step(
        &self,
        x: &Tensor,
        memory: &BlockMemory,
        before: usize,
        mask: Option<&Tensor>,
    ) -> Result<Tensor, NnError> {
        let normed = self.own_norm.forward(x)?;
        let new = self.own.keys_values(&normed)?;
        let said = &memory.said;
        said.keys.slice_set(&new.keys, 1, before)?;
        said.values.slice_set(&new.values, 1, before)?;
        let length = before + x.dim(1)?;
        let keys = said.keys.narrow(1, 0, length)?;
        let values = said.values.narrow(1, 0, length)?;
        let x = (x + self.own.attend(&normed, &keys, &values, mask)?)?;
        let normed = self.cross_norm.forward(&x)?;
        let heard = &memory.heard;
        let found = self
            .cross
            .attend(&normed, &heard.keys, &heard.values, None)?;
        self.feed_forward.forward(&(x + found)?)
    }
}
