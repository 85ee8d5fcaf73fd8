//! What the encoder and the decoder are made of. Activations are `(1, time, d_model)`.

use candle_core::{DType, Device, Tensor};
use candle_nn::ops;

use crate::NnError;
use crate::files::Safetensors;

const NORM_EPSILON: f32 = 1e-5;

/// Where weights come from: the file, a prefix of names, and how to hold them.
#[derive(Clone)]
pub(super) struct Weights<'a> {
    file: &'a Safetensors,
    prefix: String,
    device: &'a Device,
}

impl<'a> Weights<'a> {
    pub(super) fn root(file: &'a Safetensors, prefix: &str, device: &'a Device) -> Self {
        Self {
            file,
            prefix: prefix.to_owned(),
            device,
        }
    }

    pub(super) fn under(&self, name: impl std::fmt::Display) -> Self {
        Self {
            prefix: format!("{}.{name}", self.prefix),
            ..self.clone()
        }
    }

    pub(super) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, NnError> {
        let name = format!("{}.{name}", self.prefix);
        self.file.tensor(&name, shape, DType::F32, self.device)
    }
}

/// `x · wᵀ + b`.
pub(super) struct Linear {
    transposed: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    pub(super) fn load(
        weights: &Weights<'_>,
        inputs: usize,
        outputs: usize,
        bias: bool,
    ) -> Result<Self, NnError> {
        let transposed = weights.tensor("weight", &[outputs, inputs])?.t()?;
        let bias = bias
            .then(|| weights.tensor("bias", &[outputs]))
            .transpose()?;
        Ok(Self { transposed, bias })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, NnError> {
        // The batch is always one, and a plain matrix product has the least overhead.
        let product = x.squeeze(0)?.matmul(&self.transposed)?.unsqueeze(0)?;
        Ok(match &self.bias {
            Some(bias) => product.broadcast_add(bias)?,
            None => product,
        })
    }
}

/// Layer normalisation.
pub(super) struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Norm {
    pub(super) fn load(weights: &Weights<'_>, width: usize) -> Result<Self, NnError> {
        Ok(Self {
            weight: weights.tensor("weight", &[width])?,
            bias: weights.tensor("bias", &[width])?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, NnError> {
        Ok(ops::layer_norm(x, &self.weight, &self.bias, NORM_EPSILON)?)
    }
}

/// The two-layer network of each block, with its norm and its residual.
pub(super) struct FeedForward {
    norm: Norm,
    widen: Linear,
    narrow: Linear,
}

impl FeedForward {
    pub(super) fn load(weights: &Weights<'_>, width: usize, inner: usize) -> Result<Self, NnError> {
        Ok(Self {
            norm: Norm::load(&weights.under("final_layer_norm"), width)?,
            widen: Linear::load(&weights.under("fc1"), width, inner, true)?,
            narrow: Linear::load(&weights.under("fc2"), inner, width, true)?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, NnError> {
        // Whisper was trained with the exact GELU, not the tanh approximation.
        let inner = self.widen.forward(&self.norm.forward(x)?)?.gelu_erf()?;
        Ok((x + self.narrow.forward(&inner)?)?)
    }
}

/// Keys and values ready for [`Attention::attend`]: `(heads, time, width / heads)` each.
pub(super) struct KeysValues {
    pub(super) keys: Tensor,
    pub(super) values: Tensor,
}

/// Attention with several heads. It keeps no state; who calls it keeps the keys and values.
pub(super) struct Attention {
    heads: usize,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
}

impl Attention {
    pub(super) fn load(weights: &Weights<'_>, width: usize, heads: usize) -> Result<Self, NnError> {
        let linear = |name: &str, bias| Linear::load(&weights.under(name), width, width, bias);
        Ok(Self {
            heads,
            query: linear("q_proj", true)?,
            key: linear("k_proj", false)?,
            value: linear("v_proj", true)?,
            out: linear("out_proj", true)?,
        })
    }

    /// Keys and values of what `x` holds.
    pub(super) fn keys_values(&self, x: &Tensor) -> Result<KeysValues, NnError> {
        Ok(KeysValues {
            keys: self.split(&self.key.forward(x)?)?,
            values: self.split(&self.value.forward(x)?)?,
        })
    }

    /// What `x` finds among keys and values. `mask` is added to the scores, `(queries, keys)`.
    pub(super) fn attend(
        &self,
        x: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        mask: Option<&Tensor>,
    ) -> Result<Tensor, NnError> {
        let queries = self.query.forward(x)?;
        let (_, time, width) = queries.dims3()?;
        let scale = ((width / self.heads) as f64).powf(-0.5);
        let queries = self.split(&(queries * scale)?)?;
        let mut scores = queries.matmul(&keys.t()?)?;
        if let Some(mask) = mask {
            scores = scores.broadcast_add(mask)?;
        }
        let found = ops::softmax_last_dim(&scores)?.matmul(values)?;
        let found = found.transpose(0, 1)?.reshape((1, time, width))?;
        self.out.forward(&found)
    }

    /// `(1, time, width)` to `(heads, time, width / heads)`.
    fn split(&self, x: &Tensor) -> Result<Tensor, NnError> {
        let (_, time, width) = x.dims3()?;
        let split = x.reshape((time, self.heads, width / self.heads))?;
        Ok(split.transpose(0, 1)?.contiguous()?)
    }
}
