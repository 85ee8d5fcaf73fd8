//! Products with weights, held as the [`ComputePlan`] says.

use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Shape, Tensor, bail};

use super::config::Config;
use super::plan::ComputePlan;
use super::source::{Matrix, Source};
use crate::NnError;
use crate::cpu::affine::{AffineMatrix, Blocks};
use crate::cpu::gate;

/// Where and how a network's weights go.
pub(super) struct Placement<'a> {
    pub(super) source: &'a Source,
    pub(super) config: &'a Config,
    pub(super) plan: ComputePlan,
    pub(super) device: &'a Device,
    /// Of activations, and of weights under [`ComputePlan::Dense`].
    pub(super) dtype: DType,
}

/// One or several matrices that take the same input; their outputs follow one another.
pub(super) struct Linear {
    weights: Weights,
    bias: Option<Tensor>,
}

enum Weights {
    /// Transposed.
    Dense(Tensor),
    Packed(AffineMatrix),
}

impl Linear {
    /// Loads `matrices`, each a name without `.weight` and its number of outputs.
    pub(super) fn load(
        to: &Placement<'_>,
        inputs: usize,
        matrices: &[(String, usize)],
    ) -> Result<Self, NnError> {
        let mut loaded = Vec::new();
        let mut biases = Vec::new();
        for (name, outputs) in matrices {
            let weight = format!("{name}.weight");
            loaded.push(to.source.matrix(&weight, *outputs, inputs, to.config)?);
            let bias = format!("{name}.bias");
            if to.source.contains(&bias) {
                let bias = to.source.vector(&bias, *outputs, to.config)?;
                biases.push(bias.to_dtype(to.dtype)?.to_device(to.device)?);
            }
        }
        let bias = match biases.len() {
            0 => None,
            n if n == matrices.len() => Some(Tensor::cat(&biases, 0)?),
            _ => {
                let names: Vec<&str> = matrices.iter().map(|(name, _)| name.as_str()).collect();
                let reason = format!("some of {} have a bias, some not", names.join(", "));
                return Err(NnError::unsupported(to.source.file(), reason));
            }
        };
        Ok(Self {
            weights: Weights::new(to, inputs, &loaded)?,
            bias,
        })
    }

    /// `(rows, inputs)` to `(rows, outputs)`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, NnError> {
        let product = match &self.weights {
            Weights::Dense(transposed) => x.matmul(transposed)?,
            Weights::Packed(matrix) => x.apply_op1_no_bwd(&Product(matrix))?,
        };
        Ok(match &self.bias {
            Some(bias) => product.broadcast_add(bias)?,
            None => product,
        })
    }
}

impl Weights {
    fn new(to: &Placement<'_>, inputs: usize, matrices: &[Matrix]) -> Result<Self, NnError> {
        if to.plan == ComputePlan::Packed {
            let mut all: Option<Blocks> = None;
            for matrix in matrices {
                let blocks = match matrix {
                    Matrix::Dense(floats) => Blocks::of_floats(floats)?,
                    Matrix::Quantized(stored) => Blocks::of_file(stored)?,
                };
                all = Some(match all {
                    Some(before) => before.followed_by(blocks),
                    None => blocks,
                });
            }
            if let Some(blocks) = all {
                return Ok(Self::Packed(AffineMatrix::new(inputs, &blocks)));
            }
        }
        let dense: Vec<Tensor> = matrices
            .iter()
            .map(Matrix::dense)
            .collect::<Result<_, _>>()?;
        let all = Tensor::cat(&dense, 0)?;
        let all = all.to_dtype(to.dtype)?.to_device(to.device)?;
        Ok(Self::Dense(all.t()?))
    }
}

/// The gated unit of `(rows, gate and what it lets through)`.
pub(super) fn swiglu(x: &Tensor) -> Result<Tensor, NnError> {
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return Ok(trunkline_kernels::cuda::swiglu(x)?);
    }
    if x.device().is_cpu() && x.dtype() == DType::F32 {
        Ok(x.apply_op1_no_bwd(&Gate)?)
    } else {
        Ok(candle_nn::ops::swiglu(x)?)
    }
}

struct Gate;

impl CustomOp1 for Gate {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (rows, columns) = layout.shape().dims2()?;
        let out = gate::swiglu(floats(x, layout)?, columns / 2);
        Ok((CpuStorage::F32(out), Shape::from((rows, columns / 2))))
    }
}

/// The numbers of a tensor that lies in order.
fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("the input does not lie in order"),
    }
}

struct Product<'a>(&'a AffineMatrix);

impl CustomOp1 for Product<'_> {
    fn name(&self) -> &'static str {
        "affine-product"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let Self(matrix) = self;
        let (rows, inputs) = layout.shape().dims2()?;
        if inputs != matrix.inputs() {
            bail!("a product of {} inputs got {inputs}", matrix.inputs());
        }
        let out = matrix.forward(floats(x, layout)?);
        Ok((CpuStorage::F32(out), Shape::from((rows, matrix.outputs()))))
    }
}
