//! The encoder: log-mel windows in, one vector per 20 ms out, many windows of one length at
//! once.

use candle_core::{D, Device, Tensor};

use super::config::Config;
use super::kernels::{Windows, attend_windows, fused};
use super::layers::{FeedForward, Linear, Norm, SelfAttention, Weights};
use crate::NnError;
use crate::files::Safetensors;

/// Scores that attention by tensors holds at once: those of a long window are many.
const SCORES: usize = 2 * 1024 * 1024;

pub(super) struct Encoder {
    mels: usize,
    first: Convolution,
    second: Convolution,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
    heads: usize,
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
            first: Convolution::load(&weights.under("conv1"), config.num_mel_bins, width)?,
            second: Convolution::load(&weights.under("conv2"), width, width)?,
            positions: weights.tensor(
                "embed_positions.weight",
                &[config.max_source_positions, width],
            )?,
            blocks,
            norm: Norm::load(&weights.under("layer_norm"), width)?,
            heads: config.encoder_attention_heads,
            device: device.clone(),
        })
    }

    /// `features` are windows of `mels` rows of `frames` values each, `frames` even. Positions
    /// count from the start of the window, so that one shorter than the longest takes the first
    /// rows of the position table. Returns `(windows, frames / 2, d_model)`.
    pub(super) fn forward(&self, features: &[&[f32]], frames: usize) -> Result<Tensor, NnError> {
        let windows = features.len();
        let features = Tensor::from_vec(
            features.concat(),
            (windows, self.mels, frames),
            &self.device,
        )?;
        let x = features.transpose(1, 2)?.contiguous()?;
        let x = self.first.forward(&x)?;
        let x = self.second.forward_halving(&x)?;
        let (_, time, width) = x.dims3()?;
        let x = x.broadcast_add(&self.positions.narrow(0, 0, time)?)?;
        let mut x = x.reshape((windows * time, width))?;
        for block in &self.blocks {
            x = block.forward(&x, windows, self.heads)?;
        }
        Ok(self.norm.forward(&x)?.reshape((windows, time, width))?)
    }
}

/// A convolution over time, three frames wide, as one matrix product: `(windows, time, inputs)`
/// in, `(windows, time, outputs)` out, with the exact GELU after it.
struct Convolution {
    /// `(3 · inputs, outputs)`.
    taps: Linear,
}

impl Convolution {
    fn load(weights: &Weights<'_>, inputs: usize, outputs: usize) -> Result<Self, NnError> {
        let kernel = weights.tensor("weight", &[outputs, inputs, 3])?;
        let kernel = kernel.permute((2, 1, 0))?.contiguous()?;
        Ok(Self {
            taps: Linear::new(
                &kernel.reshape((3 * inputs, outputs))?,
                Some(weights.tensor("bias", &[outputs])?),
            )?,
        })
    }

    /// One frame out for each frame in.
    fn forward(&self, x: &Tensor) -> Result<Tensor, NnError> {
        let time = x.dim(1)?;
        let padded = x.pad_with_zeros(1, 1, 1)?;
        let taps = [0, 1, 2].map(|tap| padded.narrow(1, tap, time));
        let [before, here, after] = taps;
        self.multiply(&Tensor::cat(&[before?, here?, after?], D::Minus1)?)
    }

    /// One frame out for two frames in.
    fn forward_halving(&self, x: &Tensor) -> Result<Tensor, NnError> {
        let (windows, time, width) = x.dims3()?;
        // Each output sees the second frame of the pair before it, and its own pair.
        let pairs = x.reshape((windows, time / 2, 2 * width))?;
        let before = pairs
            .narrow(2, width, width)?
            .pad_with_zeros(1, 1, 0)?
            .narrow(1, 0, time / 2)?;
        self.multiply(&Tensor::cat(&[before, pairs], D::Minus1)?)
    }

    fn multiply(&self, taps: &Tensor) -> Result<Tensor, NnError> {
        let (windows, time, width) = taps.dims3()?;
        let out = self
            .taps
            .forward_gelu(&taps.reshape((windows * time, width))?)?;
        let outputs = out.dim(1)?;
        Ok(out.reshape((windows, time, outputs))?)
    }
}

struct Block {
    attention_norm: Norm,
    attention: SelfAttention,
    feed_forward: FeedForward,
}

impl Block {
    fn load(weights: &Weights<'_>, config: &Config) -> Result<Self, NnError> {
        let width = config.d_model;
        Ok(Self {
            attention_norm: Norm::load(&weights.under("self_attn_layer_norm"), width)?,
            attention: SelfAttention::load(
                &weights.under("self_attn"),
                width,
                config.encoder_attention_heads,
            )?,
            feed_forward: FeedForward::load(weights, width, config.encoder_ffn_dim)?,
        })
    }

    /// `x` is `(windows · time, d_model)`.
    fn forward(&self, x: &Tensor, windows: usize, heads: usize) -> Result<Tensor, NnError> {
        let projected = self
            .attention
            .project_joined(&self.attention_norm.forward(x)?)?;
        let (tokens, width) = x.dims2()?;
        let time = tokens / windows;
        let found = if x.device().is_cpu() {
            let windows = Windows { time, width, heads };
            let found = fused::lend([&projected], |[projected]| {
                attend_windows(windows, projected)
            })?;
            Tensor::from_vec(found, (tokens, width), x.device())?
        } else {
            self.attend_by_tensors(&projected, windows, heads)?
        };
        let x = self.attention.out.forward_onto(&found, x)?;
        self.feed_forward.forward(&x)
    }

    /// Attention by candle's operations, on any device.
    fn attend_by_tensors(
        &self,
        projected: &Tensor,
        windows: usize,
        heads: usize,
    ) -> Result<Tensor, NnError> {
        let projected = self.attention.split(projected)?;
        let (tokens, width) = projected.queries.dims2()?;
        let split = |x: &Tensor| {
            x.reshape((windows, tokens / windows, heads, width / heads))?
                .permute((0, 2, 1, 3))?
                .contiguous()
        };
        let queries = split(&projected.queries)?;
        let keys = split(&projected.keys)?.transpose(2, 3)?;
        let values = split(&projected.values)?;
        let found = (0..windows)
            .map(|n| attend(&queries.get(n)?, &keys.get(n)?, &values.get(n)?))
            .collect::<Result<Vec<_>, NnError>>()?;
        Ok(Tensor::cat(&found, 0)?)
    }
}

/// Attention of one window: `(heads, time, head width)`, the keys transposed. Returns
/// `(time, d_model)`. Some queries at a time, so that not all scores are held.
fn attend(queries: &Tensor, keys: &Tensor, values: &Tensor) -> Result<Tensor, NnError> {
    let (heads, time, head_width) = queries.dims3()?;
    let at_once = (SCORES / (heads * time)).clamp(1, time);
    let mut found = Vec::with_capacity(time.div_ceil(at_once));
    for first in (0..time).step_by(at_once) {
        let count = at_once.min(time - first);
        let some = queries.narrow(1, first, count)?;
        let weights = fused::softmax(some.matmul(keys)?)?;
        let part = weights.matmul(values)?.transpose(0, 1)?;
        found.push(part.reshape((count, heads * head_width))?);
    }
    Ok(Tensor::cat(&found, 0)?)
}
