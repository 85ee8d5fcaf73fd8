//! What the encoder and the decoder are made of. Activations are `(tokens, d_model)`, the rows
//! of a batch one after the other; what belongs to which row is known to attention only.

use candle_core::{DType, Device, Tensor};

use super::kernels::{elementary, fused};
use crate::NnError;
use crate::cpu::dense::DenseMatrix;
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

    fn zeros(&self, width: usize) -> Result<Tensor, NnError> {
        Ok(Tensor::zeros(width, DType::F32, self.device)?)
    }
}

/// `x · wᵀ + b`.
pub(super) enum Linear {
    /// On a processor, laid out for it.
    Processor { matrix: DenseMatrix, bias: Vec<f32> },
    /// On any other device, `(inputs, outputs)`.
    Device { weight: Tensor, bias: Tensor },
}

impl Linear {
    pub(super) fn load(
        weights: &Weights<'_>,
        inputs: usize,
        outputs: usize,
    ) -> Result<Self, NnError> {
        Self::join(&[(weights.clone(), true)], inputs, outputs, 1.0)
    }

    /// Several layers over the same input as one, their outputs side by side. Whether each has
    /// a bias is told with it. The outputs of the first are multiplied by `first_scale`.
    pub(super) fn join(
        parts: &[(Weights<'_>, bool)],
        inputs: usize,
        outputs: usize,
        first_scale: f64,
    ) -> Result<Self, NnError> {
        let mut matrices = Vec::with_capacity(parts.len());
        let mut biases = Vec::with_capacity(parts.len());
        for (n, (weights, has_bias)) in parts.iter().enumerate() {
            let scale = if n == 0 { first_scale } else { 1.0 };
            let matrix = weights.tensor("weight", &[outputs, inputs])?;
            let bias = if *has_bias {
                weights.tensor("bias", &[outputs])?
            } else {
                weights.zeros(outputs)?
            };
            matrices.push((matrix.t()? * scale)?);
            biases.push((bias * scale)?);
        }
        let weight = Tensor::cat(&matrices, 1)?.contiguous()?;
        Self::new(&weight, Some(Tensor::cat(&biases, 0)?))
    }

    /// A product with a matrix that is already `(inputs, outputs)`, contiguous.
    pub(super) fn new(weight: &Tensor, bias: Option<Tensor>) -> Result<Self, NnError> {
        let (inputs, outputs) = weight.dims2()?;
        let bias = match bias {
            Some(bias) => bias,
            None => Tensor::zeros(outputs, weight.dtype(), weight.device())?,
        };
        if !weight.device().is_cpu() {
            let weight = weight.clone();
            return Ok(Self::Device { weight, bias });
        }
        Ok(Self::Processor {
            matrix: fused::lend([weight], |[weight]| {
                DenseMatrix::new(inputs, outputs, weight)
            })?,
            bias: bias.to_vec1()?,
        })
    }

    pub(super) fn outputs(&self) -> usize {
        match self {
            Self::Processor { bias, .. } => bias.len(),
            Self::Device { bias, .. } => bias.elem_count(),
        }
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, NnError> {
        match self {
            Self::Processor { matrix, bias } => fused::product(
                x,
                matrix,
                #[inline(always)]
                |_, column, out| {
                    elementary::add(out, &bias[column..]);
                },
            ),
            Self::Device { weight, bias } => Ok(x.matmul(weight)?.broadcast_add(bias)?),
        }
    }

    /// `gelu(x · wᵀ + b)`, the exact GELU: Whisper was not trained with the approximation.
    pub(super) fn forward_gelu(&self, x: &Tensor) -> Result<Tensor, NnError> {
        match self {
            Self::Processor { matrix, bias } => fused::product(
                x,
                matrix,
                #[inline(always)]
                |_, column, out| {
                    elementary::add_gelu(out, &bias[column..]);
                },
            ),
            Self::Device { weight, bias } => {
                Ok(x.matmul(weight)?.broadcast_add(bias)?.gelu_erf()?)
            }
        }
    }

    /// `x · wᵀ + b + residual`.
    pub(super) fn forward_onto(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor, NnError> {
        match self {
            Self::Processor { matrix, bias } => fused::lend([residual], |[residual]| {
                let width = bias.len();
                fused::product(
                    x,
                    matrix,
                    #[inline(always)]
                    |row, column, out| {
                        elementary::add(out, &bias[column..]);
                        elementary::add(out, &residual[row * width + column..]);
                    },
                )
            })?,
            Self::Device { weight, bias } => {
                Ok((x.matmul(weight)?.broadcast_add(bias)? + residual)?)
            }
        }
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
        fused::layer_norm(x, &self.weight, &self.bias, NORM_EPSILON)
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
            widen: Linear::load(&weights.under("fc1"), width, inner)?,
            narrow: Linear::load(&weights.under("fc2"), inner, width)?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, NnError> {
        let inner = self.widen.forward_gelu(&self.norm.forward(x)?)?;
        self.narrow.forward_onto(&inner, x)
    }
}

/// Self-attention's projections. It keeps no state; who calls it keeps keys and values.
pub(super) struct SelfAttention {
    joined: Linear,
    pub(super) out: Linear,
    width: usize,
}

/// Queries, already scaled, keys and values: `(tokens, d_model)` each, not contiguous.
pub(super) struct Projected {
    pub(super) queries: Tensor,
    pub(super) keys: Tensor,
    pub(super) values: Tensor,
}

impl SelfAttention {
    pub(super) fn load(weights: &Weights<'_>, width: usize, heads: usize) -> Result<Self, NnError> {
        let parts = [
            (weights.under("q_proj"), true),
            (weights.under("k_proj"), false),
            (weights.under("v_proj"), true),
        ];
        Ok(Self {
            joined: Linear::join(&parts, width, width, query_scale(width, heads))?,
            out: Linear::load(&weights.under("out_proj"), width, width)?,
            width,
        })
    }

    /// All of them side by side, `(tokens, 3 · d_model)`.
    pub(super) fn project_joined(&self, x: &Tensor) -> Result<Tensor, NnError> {
        self.joined.forward(x)
    }

    pub(super) fn project(&self, x: &Tensor) -> Result<Projected, NnError> {
        self.split(&self.project_joined(x)?)
    }

    /// What [`Self::project_joined`] gave, in parts.
    pub(super) fn split(&self, all: &Tensor) -> Result<Projected, NnError> {
        let part = |n: usize| all.narrow(1, n * self.width, self.width);
        Ok(Projected {
            queries: part(0)?,
            keys: part(1)?,
            values: part(2)?,
        })
    }
}

/// Cross-attention's projections: queries of the text, keys and values of the audio.
pub(super) struct CrossAttention {
    query: Linear,
    joined: Linear,
    pub(super) out: Linear,
    width: usize,
}

impl CrossAttention {
    pub(super) fn load(weights: &Weights<'_>, width: usize, heads: usize) -> Result<Self, NnError> {
        let query = [(weights.under("q_proj"), true)];
        let heard = [
            (weights.under("k_proj"), false),
            (weights.under("v_proj"), true),
        ];
        Ok(Self {
            query: Linear::join(&query, width, width, query_scale(width, heads))?,
            joined: Linear::join(&heard, width, width, 1.0)?,
            out: Linear::load(&weights.under("out_proj"), width, width)?,
            width,
        })
    }

    /// Queries, already scaled.
    pub(super) fn queries(&self, x: &Tensor) -> Result<Tensor, NnError> {
        self.query.forward(x)
    }

    /// Keys and values of what the encoder gave, contiguous.
    pub(super) fn keys_values(&self, encoded: &Tensor) -> Result<(Tensor, Tensor), NnError> {
        let both = self.joined.forward(encoded)?;
        let keys = both.narrow(1, 0, self.width)?.contiguous()?;
        let values = both.narrow(1, self.width, self.width)?.contiguous()?;
        Ok((keys, values))
    }
}

fn query_scale(width: usize, heads: usize) -> f64 {
    ((width / heads) as f64).powf(-0.5)
}
