//! Products with weights, held as the [`ComputePlan`] says.

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{DType, Device, Module, Tensor};
use rayon::prelude::*;

use super::config::Config;
use super::plan::ComputePlan;
use super::source::{Matrix, Source, is_fast, select_rows};
use crate::NnError;

/// candle's tiled products want rows of a multiple of this many weights.
const TILE_ROW: usize = 256;
/// From so many rows of activations on, f32 beats plain eight bits.
const MANY_ROWS: usize = 4;
/// A part is not worth a thread of its own below so many weights.
const PART_WEIGHTS: usize = 300_000;
/// Parts hold a multiple of this many rows, as the tiles do.
const PART_ROWS: usize = 16;

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
    inputs: usize,
    weights: Weights,
    bias: Option<Tensor>,
}

enum Weights {
    /// Transposed.
    Dense(Tensor),
    Quantized {
        /// Input length of the parts; zeros are appended to the input.
        padded: usize,
        parts: Vec<QMatMul>,
        /// Transposed, for many rows.
        dense: Option<Tensor>,
    },
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
            inputs,
            weights: Weights::new(to, inputs, &loaded)?,
            bias,
        })
    }

    /// `(rows, inputs)` to `(rows, outputs)`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, NnError> {
        let product = match &self.weights {
            Weights::Dense(transposed) => x.matmul(transposed)?,
            Weights::Quantized {
                dense: Some(transposed),
                ..
            } if x.dim(0)? >= MANY_ROWS => x.matmul(transposed)?,
            Weights::Quantized { padded, parts, .. } => self.by_parts(x, *padded, parts)?,
        };
        Ok(match &self.bias {
            Some(bias) => product.broadcast_add(bias)?,
            None => product,
        })
    }

    fn by_parts(&self, x: &Tensor, padded: usize, parts: &[QMatMul]) -> Result<Tensor, NnError> {
        let x = if padded > self.inputs {
            x.pad_with_zeros(1, 0, padded - self.inputs)?
        } else {
            x.contiguous()?
        };
        if let [only] = parts {
            return Ok(only.forward(&x)?);
        }
        let products: Result<Vec<Tensor>, _> =
            parts.par_iter().map(|part| part.forward(&x)).collect();
        Ok(Tensor::cat(&products?, 1)?)
    }
}

impl Weights {
    fn new(to: &Placement<'_>, inputs: usize, matrices: &[Matrix]) -> Result<Self, NnError> {
        if to.plan == ComputePlan::Dense {
            let all = concatenate(matrices)?;
            let all = all.to_dtype(to.dtype)?.to_device(to.device)?;
            return Ok(Self::Dense(all.t()?));
        }
        let dense = match to.plan {
            ComputePlan::Doubled => Some(concatenate(matrices)?.t()?),
            _ => None,
        };
        let kept = matrices.iter().all(|matrix| match matrix {
            Matrix::Quantized(tensor) => is_fast(tensor.dtype()),
            Matrix::Dense(_) => false,
        });
        let mut parts = Vec::new();
        let mut padded = inputs;
        if kept {
            for matrix in matrices {
                if let Matrix::Quantized(tensor) = matrix {
                    push_parts(&mut parts, tensor)?;
                }
            }
        } else {
            padded = inputs.next_multiple_of(match to.plan {
                ComputePlan::Tiled => TILE_ROW,
                _ => GgmlDType::Q8_0.block_size(),
            });
            let all = concatenate(matrices)?.pad_with_zeros(1, 0, padded - inputs)?;
            push_parts(&mut parts, &QTensor::quantize(&all, GgmlDType::Q8_0)?)?;
        }
        Ok(Self::Quantized {
            padded,
            parts,
            dense,
        })
    }
}

fn concatenate(matrices: &[Matrix]) -> Result<Tensor, NnError> {
    let dense: Vec<Tensor> = matrices
        .iter()
        .map(Matrix::dense)
        .collect::<Result<_, _>>()?;
    match dense.as_slice() {
        [only] => Ok(only.clone()),
        several => Ok(Tensor::cat(several, 0)?),
    }
}

/// Splits the rows of a matrix between the threads.
fn push_parts(parts: &mut Vec<QMatMul>, matrix: &QTensor) -> Result<(), NnError> {
    let (outputs, inputs) = matrix.shape().dims2()?;
    let threads = rayon::current_num_threads();
    let wanted = (outputs * inputs / PART_WEIGHTS).clamp(1, threads);
    let rows = outputs.div_ceil(wanted).next_multiple_of(PART_ROWS);
    let order: Vec<u32> = (0..outputs as u32).collect();
    for part in order.chunks(rows) {
        parts.push(QMatMul::from_arc(Arc::new(select_rows(matrix, part)?))?);
    }
    Ok(())
}
