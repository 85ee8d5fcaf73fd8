//! Products with weights, held as the [`ComputePlan`] says.

use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{DType, Device, Module, Tensor};
use rayon::prelude::*;

use super::config::Config;
use super::plan::{ComputePlan, is_fast, packed_as};
use super::source::{Matrix, Source, select_rows};
use crate::NnError;

/// candle's tiled products want rows of a multiple of this many weights.
const TILE_ROW: usize = 256;
/// Its plain product of eight bits wants a multiple of this.
const PLAIN_ROW: usize = 32;
/// From so many rows of activations on, f32 is faster than plain eight bits.
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
    /// Rows split between the threads. The input is padded with zeros to `padded`.
    Quantized {
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
        if to.plan == ComputePlan::Doubled {
            let all = concatenate(matrices)?;
            return Ok(Self::Quantized {
                padded: inputs.next_multiple_of(PLAIN_ROW),
                parts: pack(&all, PLAIN_ROW, GgmlDType::Q8_0)?,
                dense: Some(all.t()?),
            });
        }
        if let Some(tensors) = kept(to.plan, matrices) {
            let parts = tensors
                .into_iter()
                .map(split)
                .collect::<Result<Vec<_>, _>>()?;
            return Ok(Self::Quantized {
                padded: inputs,
                parts: parts.into_iter().flatten().collect(),
                dense: None,
            });
        }
        Self::packed(inputs, matrices)
    }

    /// Packs several matrices into one, in the best format that any of them asks for.
    fn packed(inputs: usize, matrices: &[Matrix]) -> Result<Self, NnError> {
        let format = matrices
            .iter()
            .map(|matrix| packed_as(matrix.format()))
            .max_by_key(|format| format.type_size() * TILE_ROW / format.block_size());
        let format = format.unwrap_or(packed_as(None));
        Ok(Self::Quantized {
            padded: inputs.next_multiple_of(TILE_ROW),
            parts: pack(&concatenate(matrices)?, TILE_ROW, format)?,
            dense: None,
        })
    }
}

/// Quantizes a matrix, its rows padded to a multiple of `row`, in parts.
fn pack(matrix: &Tensor, row: usize, format: GgmlDType) -> Result<Vec<QMatMul>, NnError> {
    let (outputs, inputs) = matrix.dims2()?;
    let padded = inputs.next_multiple_of(row);
    part_ranges(outputs, inputs)
        .into_par_iter()
        .map(|(start, rows)| {
            // Quantizing reads a tensor's memory from its beginning, a view's too.
            let part = matrix.narrow(0, start, rows)?.force_contiguous()?;
            let part = part.pad_with_zeros(1, 0, padded - inputs)?;
            Ok(QMatMul::from_qtensor(QTensor::quantize(&part, format)?)?)
        })
        .collect()
}

/// The matrices themselves, when they are to be multiplied in the format that they came in.
fn kept(plan: ComputePlan, matrices: &[Matrix]) -> Option<Vec<&QTensor>> {
    matrices
        .iter()
        .map(|matrix| match matrix {
            Matrix::Quantized(tensor)
                if plan == ComputePlan::AsStored || is_fast(tensor.dtype()) =>
            {
                Some(tensor)
            }
            _ => None,
        })
        .collect()
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

/// Splits a matrix between the threads as it is.
fn split(matrix: &QTensor) -> Result<Vec<QMatMul>, NnError> {
    let (outputs, inputs) = matrix.shape().dims2()?;
    part_ranges(outputs, inputs)
        .into_iter()
        .map(|(start, rows)| {
            let rows: Vec<u32> = (start as u32..(start + rows) as u32).collect();
            Ok(QMatMul::from_qtensor(select_rows(matrix, &rows)?)?)
        })
        .collect()
}

/// First row and number of rows of each part of a matrix.
fn part_ranges(outputs: usize, inputs: usize) -> Vec<(usize, usize)> {
    let threads = rayon::current_num_threads();
    let wanted = (outputs * inputs / PART_WEIGHTS).clamp(1, threads);
    let rows = outputs.div_ceil(wanted).next_multiple_of(PART_ROWS);
    (0..outputs)
        .step_by(rows)
        .map(|start| (start, rows.min(outputs - start)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The product of a matrix held in parts, and the exact one.
    fn products(weights: &Weights, exact: &Tensor) -> (Vec<f32>, Vec<f32>) {
        let inputs = exact.dim(1).unwrap();
        let linear = |weights| Linear {
            inputs,
            weights,
            bias: None,
        };
        let x = Tensor::randn(0f32, 1.0, (3, inputs), &Device::Cpu).unwrap();
        let flat = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1().unwrap();
        let Weights::Quantized { padded, parts, .. } = weights else {
            panic!("the weights are not quantized");
        };
        assert!(parts.len() > 1 || rayon::current_num_threads() == 1);
        let held = Weights::Quantized {
            padded: *padded,
            parts: parts.clone(),
            dense: None,
        };
        let dense = Weights::Dense(exact.t().unwrap());
        (
            flat(linear(held).forward(&x).unwrap()),
            flat(linear(dense).forward(&x).unwrap()),
        )
    }

    fn assert_near(weights: &Weights, exact: &Tensor) {
        let (found, exact) = products(weights, exact);
        let scale = exact.iter().fold(0f32, |top, value| top.max(value.abs()));
        for (found, exact) in found.iter().zip(&exact) {
            assert!((found - exact).abs() < 0.03 * scale, "{found}, {exact}");
        }
    }

    fn matrix() -> Tensor {
        Tensor::randn(0f32, 0.05, (1_616, 448), &Device::Cpu).unwrap()
    }

    #[test]
    fn a_packed_matrix_in_parts_is_the_whole_matrix() {
        let exact = matrix();
        let matrices = [
            Matrix::Dense(exact.narrow(0, 0, 1_000).unwrap()),
            Matrix::Dense(exact.narrow(0, 1_000, 616).unwrap()),
        ];
        let weights = Weights::packed(448, &matrices).unwrap();
        assert_near(&weights, &exact);
    }

    #[test]
    fn four_bits_become_four_bits_and_next_to_nothing_is_lost() {
        let stored = QTensor::quantize(&matrix(), GgmlDType::Q4_1).unwrap();
        let exact = stored.dequantize(&Device::Cpu).unwrap();
        let weights = Weights::packed(448, &[Matrix::Quantized(stored)]).unwrap();
        assert_near(&weights, &exact);
    }

    #[test]
    fn a_matrix_kept_as_it_is_in_parts_is_the_whole_matrix() {
        let stored = QTensor::quantize(&matrix(), GgmlDType::Q8_0).unwrap();
        let exact = stored.dequantize(&Device::Cpu).unwrap();
        let weights = Weights::Quantized {
            padded: 448,
            parts: split(&stored).unwrap(),
            dense: None,
        };
        assert_near(&weights, &exact);
    }
}
