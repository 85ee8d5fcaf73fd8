//! Attention over blocks, on tensors.

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::cuda_backend::cudarc::driver::sys::CUdevice_attribute as Attribute;
use candle_core::cuda_backend::{CudaDevice, CudaStorage, WrapErr};
use candle_core::{
    CpuStorage, CustomOp3, DType, Device, InplaceOp1, InplaceOp3, Layout, Result, Shape as Dims,
    Storage, Tensor, bail,
};
use half::bf16;

use super::function::{Kind, Value, in_order, launch, pointer};
use crate::paged::{self, Shape};

/// What all layers of one step share, on the card: copied there once.
#[derive(Debug)]
pub struct Step {
    device: CudaDevice,
    shape: Shape,
    tokens: usize,
    splits: usize,
    turns: CudaSlice<f32>,
    slots: CudaSlice<u32>,
    asks: CudaSlice<u32>,
    tables: CudaSlice<u32>,
    /// Of several splits, used again by every layer.
    parts: CudaSlice<f32>,
}

/// Weights of the norms of queries and keys, f32, `(width)` each.
#[derive(Debug, Clone)]
pub struct HeadNorms {
    /// Of queries.
    pub queries: Tensor,
    /// Of keys.
    pub keys: Tensor,
}

impl Step {
    /// Of the new tokens: `turns` are the cosines and sines of each, `slots` where its keys and
    /// values go (block times tokens of a block, and the place there), `queries` its position and
    /// where its sequence's blocks begin in `tables`.
    ///
    /// # Errors
    /// A message of candle, also when the shape has no kernel or the lengths differ.
    pub fn new(
        device: &Device,
        shape: Shape,
        turns: &[f32],
        slots: &[u32],
        queries: &[(usize, usize)],
        tables: &[u32],
    ) -> Result<Self> {
        shape.check().map_err(candle_core::Error::wrap)?;
        let tokens = queries.len();
        let reaches = |(position, table): &(usize, usize)| table + position / shape.block_tokens;
        let beyond = queries.iter().any(|query| reaches(query) >= tables.len());
        if slots.len() != tokens || turns.len() != tokens * shape.width || beyond {
            bail!("a step of {tokens} tokens whose tables do not fit");
        }
        let device = device.as_cuda_device()?.clone();
        let positions: Vec<usize> = queries.iter().map(|(position, _)| *position).collect();
        let stream = device.cuda_stream();
        let multiprocessors = stream
            .context()
            .attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)
            .w()?;
        let splits = shape.splits(&positions, multiprocessors as usize);
        let parts = if splits > 1 {
            shape.parts(tokens, splits)
        } else {
            1
        };
        Ok(Self {
            turns: device.clone_htod(turns)?,
            slots: device.clone_htod(slots)?,
            asks: device.clone_htod(&shape.asks(queries, splits))?,
            tables: device.clone_htod(tables)?,
            // SAFETY: the kernel writes what is read of it.
            parts: unsafe { device.alloc::<f32>(parts) }?,
            device,
            shape,
            tokens,
            splits,
        })
    }

    /// Stores the keys and values of `(tokens, queries, keys and values)` in a layer's pool, and
    /// gives what the queries find: `(tokens, heads * width)`.
    ///
    /// The slots must be blocks of the pool; whoever fills them in checks that.
    ///
    /// # Errors
    /// A message of candle.
    pub fn forward(
        &self,
        projected: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        norms: Option<&HeadNorms>,
    ) -> Result<Tensor> {
        keys.inplace_op3(values, projected, &Store(self, norms))?;
        projected.apply_op3_no_bwd(keys, values, &Attend(self, norms))
    }

    fn shape_values(&self) -> [Value; 7] {
        let number = |x: usize| Value::Number(x as u32);
        let shape = &self.shape;
        [
            number(shape.heads),
            number(shape.kv_heads),
            number(shape.width),
            number(shape.padded),
            number(shape.block_tokens),
            number(shape.window.unwrap_or(0)),
            Value::Float(shape.epsilon),
        ]
    }

    /// The first number of what is projected, checked for its length.
    fn projected_start(&self, layout: &Layout) -> Result<usize> {
        let (start, count) = in_order(layout)?;
        if count != self.tokens * self.shape.columns() {
            bail!("{count} numbers are projected for {} tokens", self.tokens);
        }
        Ok(start)
    }

    fn norm(&self, norm: Option<&Tensor>) -> Result<Value> {
        let Some(norm) = norm else {
            return Ok(Value::Pointer(0));
        };
        let (storage, layout) = norm.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else {
            bail!("a norm is not on the card");
        };
        let (start, count) = in_order(layout)?;
        if count != self.shape.width {
            bail!(
                "a norm of {count} columns for heads of {}",
                self.shape.width
            );
        }
        let slice = storage.as_cuda_slice::<f32>()?;
        Ok(pointer(&self.device, slice, start))
    }
}

/// Writes into both pools. candle lends one of its arguments for writing; the other is written
/// through its address, which is sound since all work is on one stream and in order.
struct Store<'a>(&'a Step, Option<&'a HeadNorms>);

impl Store<'_> {
    fn run<T: Kind>(
        &self,
        (keys, keys_layout): (&CudaStorage, &Layout),
        (values, values_layout): (&CudaStorage, &Layout),
        (projected, projected_layout): (&CudaStorage, &Layout),
    ) -> Result<()> {
        let Self(step, norms) = self;
        let (keys_start, _) = in_order(keys_layout)?;
        let (values_start, _) = in_order(values_layout)?;
        let device = &step.device;
        let mut arguments = vec![
            pointer(device, keys.as_cuda_slice::<T>()?, keys_start),
            pointer(device, values.as_cuda_slice::<T>()?, values_start),
            pointer(
                device,
                projected.as_cuda_slice::<T>()?,
                step.projected_start(projected_layout)?,
            ),
            pointer(device, &step.turns, 0),
            step.norm(norms.map(|norms| &norms.keys))?,
            pointer(device, &step.slots, 0),
        ];
        arguments.extend(step.shape_values());
        let run = step.shape.store(T::NUMBER, step.tokens);
        // SAFETY: the kernel's arguments in its order; lengths are checked here and in `new`.
        unsafe { launch(device, &run, &arguments) }
    }
}

impl InplaceOp3 for Store<'_> {
    fn name(&self) -> &'static str {
        "store"
    }

    fn cpu_fwd(
        &self,
        _: &mut CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<()> {
        bail!("this store is for cards")
    }

    fn cuda_fwd(
        &self,
        keys: &mut CudaStorage,
        keys_layout: &Layout,
        values: &CudaStorage,
        values_layout: &Layout,
        projected: &CudaStorage,
        projected_layout: &Layout,
    ) -> Result<()> {
        let (keys, values) = ((&*keys, keys_layout), (values, values_layout));
        let projected = (projected, projected_layout);
        match projected.0.dtype() {
            DType::F32 => self.run::<f32>(keys, values, projected),
            DType::BF16 => self.run::<bf16>(keys, values, projected),
            other => bail!("keys and values of {other:?}"),
        }
    }
}

struct Attend<'a>(&'a Step, Option<&'a HeadNorms>);

impl Attend<'_> {
    fn run<T: Kind>(
        &self,
        (projected, projected_layout): (&CudaStorage, &Layout),
        (keys, keys_layout): (&CudaStorage, &Layout),
        (values, values_layout): (&CudaStorage, &Layout),
    ) -> Result<(CudaStorage, Dims)> {
        let Self(step, norms) = self;
        let (device, shape) = (&step.device, &step.shape);
        let columns = shape.heads * shape.width;
        let (keys_start, _) = in_order(keys_layout)?;
        let (values_start, _) = in_order(values_layout)?;
        // SAFETY: the kernels write every number.
        let out = unsafe { device.alloc::<T>(step.tokens * columns) }?;
        let mut arguments = vec![
            pointer(device, &out, 0),
            pointer(device, &step.parts, 0),
            pointer(
                device,
                projected.as_cuda_slice::<T>()?,
                step.projected_start(projected_layout)?,
            ),
            pointer(device, keys.as_cuda_slice::<T>()?, keys_start),
            pointer(device, values.as_cuda_slice::<T>()?, values_start),
            pointer(device, &step.turns, 0),
            step.norm(norms.map(|norms| &norms.queries))?,
            pointer(device, &step.asks, 0),
            pointer(device, &step.tables, 0),
        ];
        arguments.extend(step.shape_values());
        let run = shape.attend(T::NUMBER, step.tokens, step.splits);
        // SAFETY: the kernel's arguments in its order; lengths are checked here and in `new`.
        unsafe { launch(device, &run, &arguments) }?;
        if step.splits > 1 {
            let mut arguments = vec![
                pointer(device, &out, 0),
                pointer(device, &step.parts, 0),
                Value::Number(step.splits as u32),
            ];
            arguments.extend(step.shape_values());
            let run = shape.combine(T::NUMBER, step.tokens);
            // SAFETY: as above.
            unsafe { launch(device, &run, &arguments) }?;
        }
        let storage = T::wrap_cuda_slice(out, device.clone());
        Ok((storage, Dims::from((step.tokens, columns))))
    }
}

impl CustomOp3 for Attend<'_> {
    fn name(&self) -> &'static str {
        "attend"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Dims)> {
        bail!("this attention is for cards")
    }

    fn cuda_fwd(
        &self,
        projected: &CudaStorage,
        projected_layout: &Layout,
        keys: &CudaStorage,
        keys_layout: &Layout,
        values: &CudaStorage,
        values_layout: &Layout,
    ) -> Result<(CudaStorage, Dims)> {
        let projected = (projected, projected_layout);
        let (keys, values) = ((keys, keys_layout), (values, values_layout));
        match projected.0.dtype() {
            DType::F32 => self.run::<f32>(projected, keys, values),
            DType::BF16 => self.run::<bf16>(projected, keys, values),
            other => bail!("attention of {other:?}"),
        }
    }
}

/// Copies a block of `numbers` numbers onto another one of the same pool.
///
/// # Errors
/// A message of candle.
pub fn copy_block(pool: &Tensor, numbers: usize, from: u32, to: u32) -> Result<()> {
    pool.inplace_op1(&CopyBlock { numbers, from, to })
}

struct CopyBlock {
    numbers: usize,
    from: u32,
    to: u32,
}

impl CopyBlock {
    fn run<T: Kind>(&self, pool: &CudaStorage, layout: &Layout) -> Result<()> {
        let (start, count) = in_order(layout)?;
        let last = self.from.max(self.to) as usize;
        if (last + 1) * self.numbers > count {
            bail!("block {last} is outside of the pool");
        }
        let device = pool.device();
        let arguments = [
            pointer(device, pool.as_cuda_slice::<T>()?, start),
            Value::Number(self.from),
            Value::Number(self.to),
            Value::Number(self.numbers as u32),
        ];
        let run = paged::copy_block(T::NUMBER, self.numbers);
        // SAFETY: the kernel's arguments in its order; both blocks are in the pool.
        unsafe { launch(device, &run, &arguments) }
    }
}

impl InplaceOp1 for CopyBlock {
    fn name(&self) -> &'static str {
        "copy-block"
    }

    fn cpu_fwd(&self, _: &mut CpuStorage, _: &Layout) -> Result<()> {
        bail!("this copy is for cards")
    }

    fn cuda_fwd(&self, pool: &mut CudaStorage, layout: &Layout) -> Result<()> {
        match pool.dtype() {
            DType::F32 => self.run::<f32>(pool, layout),
            DType::BF16 => self.run::<bf16>(pool, layout),
            other => bail!("a pool of {other:?}"),
        }
    }
}
