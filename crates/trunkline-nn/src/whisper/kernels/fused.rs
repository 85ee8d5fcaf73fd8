//! The kernels applied to tensors. On a CPU they change a tensor in place, which is sound only
//! because each of these functions owns the tensor that it changes; on any other device they
//! are candle's own operations.

use candle_core::{
    CpuStorage, CustomOp3, InplaceOp1, InplaceOp2, InplaceOp3, Layout, Shape, Tensor,
};
use rayon::prelude::*;

use super::elementary;
use crate::NnError;

/// Elements that one task works on at least; below, threads cost more than they bring.
const TASK: usize = 65_536;

/// `x + bias`, row by row.
pub(in super::super) fn add_bias(x: Tensor, bias: &Tensor) -> Result<Tensor, NnError> {
    if !x.device().is_cpu() {
        return Ok(x.broadcast_add(bias)?);
    }
    x.inplace_op2(bias, &AddBias)?;
    Ok(x)
}

/// `gelu(x + bias)`, the exact GELU.
pub(in super::super) fn add_bias_gelu(x: Tensor, bias: &Tensor) -> Result<Tensor, NnError> {
    if !x.device().is_cpu() {
        return Ok(x.broadcast_add(bias)?.gelu_erf()?);
    }
    x.inplace_op2(bias, &AddBiasGelu)?;
    Ok(x)
}

/// `x + bias + residual`.
pub(in super::super) fn add_bias_residual(
    x: Tensor,
    bias: &Tensor,
    residual: &Tensor,
) -> Result<Tensor, NnError> {
    if !x.device().is_cpu() {
        return Ok((x.broadcast_add(bias)? + residual)?);
    }
    x.inplace_op3(bias, residual, &AddBiasResidual)?;
    Ok(x)
}

/// Softmax over the last dimension.
pub(in super::super) fn softmax(scores: Tensor) -> Result<Tensor, NnError> {
    if !scores.device().is_cpu() {
        return Ok(candle_nn::ops::softmax_last_dim(&scores)?);
    }
    scores.inplace_op1(&Softmax)?;
    Ok(scores)
}

/// Layer normalisation over the last dimension.
pub(in super::super) fn layer_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    epsilon: f32,
) -> Result<Tensor, NnError> {
    if !x.device().is_cpu() {
        return Ok(candle_nn::ops::layer_norm(x, weight, bias, epsilon)?);
    }
    Ok(x.apply_op3_no_bwd(weight, bias, &LayerNorm { epsilon })?)
}

/// The elements of a contiguous tensor.
pub(in super::super) fn elements<'a>(
    storage: &'a CpuStorage,
    layout: &Layout,
) -> candle_core::Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("a kernel needs a contiguous tensor");
    };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

fn elements_mut<'a>(
    storage: &'a mut CpuStorage,
    layout: &Layout,
) -> candle_core::Result<&'a mut [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("a kernel needs a contiguous tensor");
    };
    match storage {
        CpuStorage::F32(values) => Ok(&mut values[start..end]),
        _ => candle_core::bail!("a kernel needs 32-bit floats"),
    }
}

/// Calls `f` for whole rows of `width`, several rows at a time, on all threads.
fn rows(values: &mut [f32], width: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    let rows_each = TASK.div_ceil(width);
    values
        .par_chunks_mut(rows_each * width)
        .enumerate()
        .for_each(|(n, chunk)| {
            pulp::Arch::new().dispatch(
                #[inline(always)]
                || {
                    for (row, values) in chunk.chunks_exact_mut(width).enumerate() {
                        f(n * rows_each + row, values);
                    }
                },
            );
        });
}

struct AddBias;

impl InplaceOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<()> {
        let bias = elements(bias, bias_layout)?;
        rows(
            elements_mut(x, x_layout)?,
            bias.len(),
            #[inline(always)]
            |_, row| {
                for (x, bias) in row.iter_mut().zip(bias) {
                    *x += bias;
                }
            },
        );
        Ok(())
    }
}

struct AddBiasGelu;

impl InplaceOp2 for AddBiasGelu {
    fn name(&self) -> &'static str {
        "add-bias-gelu"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<()> {
        let bias = elements(bias, bias_layout)?;
        rows(
            elements_mut(x, x_layout)?,
            bias.len(),
            #[inline(always)]
            |_, row| {
                for (x, bias) in row.iter_mut().zip(bias) {
                    *x = elementary::gelu(*x + bias);
                }
            },
        );
        Ok(())
    }
}

struct AddBiasResidual;

impl InplaceOp3 for AddBiasResidual {
    fn name(&self) -> &'static str {
        "add-bias-residual"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> candle_core::Result<()> {
        let bias = elements(bias, bias_layout)?;
        let residual = elements(residual, residual_layout)?;
        let width = bias.len();
        rows(
            elements_mut(x, x_layout)?,
            width,
            #[inline(always)]
            |n, row| {
                let residual = &residual[n * width..(n + 1) * width];
                for ((x, bias), residual) in row.iter_mut().zip(bias).zip(residual) {
                    *x += bias + residual;
                }
            },
        );
        Ok(())
    }
}

struct Softmax;

impl InplaceOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax-in-place"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let width = layout.dims().last().copied().unwrap_or(1);
        rows(
            elements_mut(x, layout)?,
            width,
            #[inline(always)]
            |_, row| elementary::softmax(row),
        );
        Ok(())
    }
}

struct LayerNorm {
    epsilon: f32,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = elements(x, x_layout)?;
        let weight = elements(weight, weight_layout)?;
        let bias = elements(bias, bias_layout)?;
        let width = weight.len();
        let mut out = vec![0f32; x.len()];
        rows(
            &mut out,
            width,
            #[inline(always)]
            |n, out| {
                let row = &x[n * width..(n + 1) * width];
                elementary::layer_norm(row, weight, bias, self.epsilon, out);
            },
        );
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }
}
