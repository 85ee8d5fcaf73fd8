//! Attention over slots, on tensors.

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::{CudaDevice, CudaStorage};
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use half::bf16;

use super::function::{Kind, Value, in_order, launch, pointer};
use crate::slots;

/// What each query finds among the first positions of its slot: `(queries, heads * width)`.
/// `keys` and `values` are `(slots, positions, heads * width)`; the queries are scaled already.
/// `asks` has for each query its slot, and how many positions count, at least one.
///
/// # Errors
/// A message of candle.
pub fn attend_slots(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    asks: &[(usize, usize)],
    heads: usize,
) -> Result<Tensor> {
    queries.apply_op3_no_bwd(keys, values, &AttendSlots { asks, heads })
}

struct AttendSlots<'a> {
    asks: &'a [(usize, usize)],
    heads: usize,
}

impl AttendSlots<'_> {
    fn run<T: Kind>(
        &self,
        device: &CudaDevice,
        (queries, queries_layout): (&CudaStorage, &Layout),
        (keys, keys_layout): (&CudaStorage, &Layout),
        (values, values_layout): (&CudaStorage, &Layout),
    ) -> Result<(CudaStorage, Shape)> {
        let (count, line) = queries_layout.shape().dims2()?;
        let (slots, positions, _) = keys_layout.shape().dims3()?;
        let (queries_start, _) = in_order(queries_layout)?;
        let (keys_start, key_count) = in_order(keys_layout)?;
        let (values_start, value_count) = in_order(values_layout)?;
        let outside =
            |(slot, length): &(usize, usize)| *slot >= slots || *length == 0 || *length > positions;
        let wanted = slots * positions * line;
        if count != self.asks.len()
            || key_count != wanted
            || value_count != wanted
            || self.asks.iter().any(outside)
        {
            bail!("{count} queries do not fit {slots} slots of {positions} positions");
        }
        let asks: Vec<u32> = (self.asks.iter())
            .flat_map(|(slot, length)| [*slot as u32, *length as u32])
            .collect();
        let asks = device.clone_htod(&asks)?;
        let width = line / self.heads;
        let run = slots::attend(T::NUMBER, count, self.heads, width);
        let run = run.map_err(candle_core::Error::wrap)?;
        // SAFETY: the kernel writes every number.
        let out = unsafe { device.alloc::<T>(count * line) }?;
        let arguments = [
            pointer(device, &out, 0),
            pointer(device, queries.as_cuda_slice::<T>()?, queries_start),
            pointer(device, keys.as_cuda_slice::<T>()?, keys_start),
            pointer(device, values.as_cuda_slice::<T>()?, values_start),
            pointer(device, &asks, 0),
            Value::Number(self.heads as u32),
            Value::Number(width as u32),
            Value::Number(positions as u32),
        ];
        // SAFETY: the kernel's arguments in its order; the lengths are checked above.
        unsafe { launch(device, &run, &arguments) }?;
        let storage = T::wrap_cuda_slice(out, device.clone());
        Ok((storage, Shape::from((count, line))))
    }
}

impl CustomOp3 for AttendSlots<'_> {
    fn name(&self) -> &'static str {
        "attend-slots"
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
        bail!("attend-slots is for cards")
    }

    fn cuda_fwd(
        &self,
        queries: &CudaStorage,
        queries_layout: &Layout,
        keys: &CudaStorage,
        keys_layout: &Layout,
        values: &CudaStorage,
        values_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let device = queries.device();
        let queries = (queries, queries_layout);
        let (keys, values) = ((keys, keys_layout), (values, values_layout));
        match queries.0.dtype() {
            DType::F32 => self.run::<f32>(device, queries, keys, values),
            DType::BF16 => self.run::<bf16>(device, queries, keys, values),
            other => bail!("attend-slots of {other:?}"),
        }
    }
}
