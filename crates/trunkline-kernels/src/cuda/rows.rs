//! The operations on rows, on tensors.

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::{CudaDevice, CudaStorage};
use candle_core::{CpuStorage, CustomOp1, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use half::bf16;

use super::function::{Kind, Value, in_order, launch, pointer};
use crate::rows;

/// `x + delta`, and its norm: `(rows, width)` each.
///
/// # Errors
/// A message of candle.
pub fn add_rms_norm(
    x: &Tensor,
    delta: &Tensor,
    weight: &Tensor,
    epsilon: f32,
) -> Result<(Tensor, Tensor)> {
    let both = x.apply_op3_no_bwd(delta, weight, &AddRmsNorm { epsilon })?;
    Ok((both.get(0)?, both.get(1)?))
}

/// The gated unit of `(rows, gate and what it lets through)`.
///
/// # Errors
/// A message of candle.
pub fn swiglu(x: &Tensor) -> Result<Tensor> {
    x.apply_op1_no_bwd(&Swiglu)
}

struct AddRmsNorm {
    epsilon: f32,
}

impl AddRmsNorm {
    fn run<T: Kind>(
        &self,
        device: &CudaDevice,
        (x, x_layout): (&CudaStorage, &Layout),
        (delta, delta_layout): (&CudaStorage, &Layout),
        (weight, weight_layout): (&CudaStorage, &Layout),
    ) -> Result<(CudaStorage, Shape)> {
        let (rows, width) = x_layout.shape().dims2()?;
        let (x_start, count) = in_order(x_layout)?;
        let (delta_start, deltas) = in_order(delta_layout)?;
        let (weight_start, weights) = in_order(weight_layout)?;
        if deltas != count || weights != width {
            bail!("a sum of {count} and {deltas} numbers, weighed by {weights} of {width}");
        }
        // SAFETY: the kernel writes every number.
        let out = unsafe { device.alloc::<T>(2 * count) }?;
        let values = [
            pointer(device, &out, 0),
            pointer(device, x.as_cuda_slice::<T>()?, x_start),
            pointer(device, delta.as_cuda_slice::<T>()?, delta_start),
            pointer(device, weight.as_cuda_slice::<T>()?, weight_start),
            Value::Number(rows as u32),
            Value::Number(width as u32),
            Value::Float(self.epsilon),
        ];
        // SAFETY: the kernel's arguments in its order; the lengths are checked above.
        unsafe { launch(device, &rows::add_rms_norm(T::NUMBER, rows, width), &values) }?;
        let storage = T::wrap_cuda_slice(out, device.clone());
        Ok((storage, Shape::from((2, rows, width))))
    }
}

impl CustomOp3 for AddRmsNorm {
    fn name(&self) -> &'static str {
        "add-rms-norm"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        bail!("add-rms-norm is for cards")
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        delta: &CudaStorage,
        delta_layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let device = x.device();
        let (x, delta) = ((x, x_layout), (delta, delta_layout));
        let weight = (weight, weight_layout);
        match x.0.dtype() {
            DType::F32 => self.run::<f32>(device, x, delta, weight),
            DType::BF16 => self.run::<bf16>(device, x, delta, weight),
            other => bail!("add-rms-norm of {other:?}"),
        }
    }
}

struct Swiglu;

impl Swiglu {
    fn run<T: Kind>(
        device: &CudaDevice,
        x: &CudaStorage,
        layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (rows, columns) = layout.shape().dims2()?;
        let width = columns / 2;
        let (start, _) = in_order(layout)?;
        // SAFETY: the kernel writes every number.
        let out = unsafe { device.alloc::<T>(rows * width) }?;
        let values = [
            pointer(device, &out, 0),
            pointer(device, x.as_cuda_slice::<T>()?, start),
            Value::Number(width as u32),
        ];
        // SAFETY: the kernel's arguments in its order, of the lengths of the layout.
        unsafe { launch(device, &rows::swiglu(T::NUMBER, rows, width), &values) }?;
        let storage = T::wrap_cuda_slice(out, device.clone());
        Ok((storage, Shape::from((rows, width))))
    }
}

impl CustomOp1 for Swiglu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("this swiglu is for cards")
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        match x.dtype() {
            DType::F32 => Self::run::<f32>(x.device(), x, layout),
            DType::BF16 => Self::run::<bf16>(x.device(), x, layout),
            other => bail!("swiglu of {other:?}"),
        }
    }
}
