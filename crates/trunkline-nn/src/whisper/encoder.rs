//! The encoder: log-mel frames in, one vector per 20 ms out.

use candle_core::{Device, Tensor};

use super::config::Config;
use super::layers::{Attention, FeedForward, Norm, Weights};
use crate::NnError;
use crate::files::Safetensors;

pub(super) struct Encoder {
    mels: usize,
    first: Convolution,
    second: Convolution,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
    device: Device,
}

impl Encoder {
    pub(super) fn load(
        file: &Safetensors,
        config: &Config,
        device: &Device,
    ) -> Result<Self, NnError> {
        let weights = Weights::root(file, "model.encoder", device);
        let width = config.d_model;
        let blocks = (0..config.encoder_layers)
            .map(|n| Block::load(&weights.under("layers").under(n), config))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            mels: config.num_mel_bins,
            first: Convolution::load(&weights.under("conv1"), config.num_mel_bins, width, 1)?,
            second: Convolution::load(&weights.under("conv2"), width, width, 2)?,
            positions: weights.tensor(
                "embed_positions.weight",
                &[config.max_source_positions, width],
            )?,
            blocks,
            norm: Norm::load(&weights.under("layer_norm"), width)?,
            device: device.clone(),
        })
    }

    /// `features` are `mels` rows of `frames` values, `frames` even. Positions count from the
    /// start of the audio, so that a window shorter than the longest one takes the first rows
    /// of the position table. Returns `(1, frames / 2, d_model)`.
    pub(super) fn forward(&self, features: Vec<f32>, frames: usize) -> Result<Tensor, NnError> {
        let features = Tensor::from_vec(features, (1, self.mels, frames), &self.device)?;
        let x = self.first.forward(&features)?.gelu_erf()?;
        let x = self.second.forward(&x)?.gelu_erf()?;
        let x = x.transpose(1, 2)?.contiguous()?;
        let mut x = x.broadcast_add(&self.positions.narrow(0, 0, x.dim(1)?)?)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        self.norm.forward(&x)
    }
}

/// A convolution over time, three frames wide.
struct Convolution {
    weight: Tensor,
    bias: Tensor,
    stride: usize,
}

impl Convolution {
    fn load(
        weights: &Weights<'_>,
        inputs: usize,
        outputs: usize,
        stride: usize,
    ) -> Result<Self, NnError> {
        Ok(Self {
            weight: weights.tensor("weight", &[outputs, inputs, 3])?,
            bias: weights
                .tensor("bias", &[outputs])?
                .reshape((1, outputs, 1))?,
            stride,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, NnError> {
        let x = x.conv1d(&self.weight, 1, self.stride, 1, 1)?;
        Ok(x.broadcast_add(&self.bias)?)
    }
}

struct Block {
    attention_norm: Norm,
    attention: Attention,
    feed_forward: FeedForward,
}

impl Block {
    fn load(weights: &Weights<'_>, config: &Config) -> Result<Self, NnError> {
        let width = config.d_model;
        Ok(Self {
            attention_norm: Norm::load(&weights.under("self_attn_layer_norm"), width)?,
            attention: Attention::load(
                &weights.under("self_attn"),
                width,
                config.encoder_attention_heads,
            )?,
            feed_forward: FeedForward::load(weights, width, config.encoder_ffn_dim)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, NnError> {
        let normed = self.attention_norm.forward(x)?;
        let own = self.attention.keys_values(&normed)?;
        let found = self
            .attention
            .attend(&normed, &own.keys, &own.values, None)?;
        self.feed_forward.forward(&(x + found)?)
    }
}
