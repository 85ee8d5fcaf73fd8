//! The kernels applied to tensors. On a CPU they change a tensor in place, which is sound only
//! because each of these functions owns the tensor that it changes; on any other device they
//! are candle's own operations.

use candle_core::{CpuStorage, CustomOp3, InplaceOp1, Layout, Shape, Storage, Tensor};
use rayon::prelude::*;

use super::elementary;
use crate::NnError;
use crate::cpu::dense::DenseMatrix;

/// Elements that one task works on at least; below, threads cost more than they bring.
const TASK: usize = 65_536;

/// A product on the processor; `finish` as in [`DenseMatrix::forward`].
pub(in super::super) fn product(
    x: &Tensor,
    matrix: &DenseMatrix,
    finish: impl Fn(usize, usize, &mut [f32]) + Sync,
) -> Result<Tensor, NnError> {
    let rows = x.dim(0)?;
    let out = lend([x], |[x]| matrix.forward(x, finish))?;
    Ok(Tensor::from_vec(out, (rows, matrix.outputs()), x.device())?)
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

/// Lends the elements of contiguous tensors on the CPU.
pub(in super::super) fn lend<const N: usize, T>(
    tensors: [&Tensor; N],
    f: impl FnOnce([&[f32]; N]) -> T,
) -> Result<T, NnError> {
    let guards = tensors.map(Tensor::storage_and_layout);
    let mut slices: [&[f32]; N] = [&[]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&guards) {
        let storage: &CpuStorage = match &**storage {
            Storage::Cpu(storage) => storage,
            _ => return Err(candle_core::Error::Msg("not on the CPU".to_owned()).into()),
        };
        *slice = elements(storage, layout)?;
    }
    Ok(f(slices))
}

/// The elements of a contiguous tensor.
fn elements<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
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
