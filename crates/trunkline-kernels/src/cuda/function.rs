//! Our kernels on a card: found by name, loaded once, and launched on candle's stream.

use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg,
};
use candle_core::cuda_backend::{CudaDType, CudaDevice, WrapErr};
use candle_core::{Layout, Result, bail};
use half::bf16;

use crate::{Launch, Number};

include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// Numbers that our kernels are built for.
pub(super) trait Kind: CudaDType + DeviceRepr {
    const NUMBER: Number;
}

impl Kind for f32 {
    const NUMBER: Number = Number::F32;
}

impl Kind for bf16 {
    const NUMBER: Number = Number::BF16;
}

/// The names of the kernels in a PTX text.
pub(super) fn entries(ptx: &str) -> impl Iterator<Item = &str> {
    ptx.lines().filter_map(|line| {
        let (_, name) = line.split_once(".entry ")?;
        Some(name.trim_end_matches(['(', ')', ' ']))
    })
}

/// Loads all of our kernels.
pub(super) fn preload(device: &CudaDevice) -> Result<()> {
    for (module, ptx) in MODULES {
        for name in entries(ptx) {
            device.get_or_load_custom_func(name, module, ptx)?;
        }
    }
    Ok(())
}

/// One argument as the driver takes it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Pointer(u64),
    Number(u32),
    Float(f32),
}

/// Where the numbers of a slice lie on the card, from `offset` on.
pub(super) fn pointer<T: DeviceRepr>(
    device: &CudaDevice,
    slice: &CudaSlice<T>,
    offset: usize,
) -> Value {
    let stream = device.cuda_stream();
    // All work is on one stream, in order, so nothing has to be waited for.
    let (start, _record) = slice.device_ptr(&stream);
    Value::Pointer(start + (offset * size_of::<T>()) as u64)
}

/// The first number of a tensor that lies in order, and how many it has.
pub(super) fn in_order(layout: &Layout) -> Result<(usize, usize)> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok((start, end - start)),
        None => bail!("a kernel wants its input in order"),
    }
}

/// Launches a kernel on the device's stream and does not wait for it.
///
/// # Safety
/// The arguments are those of the kernel, in its order, and what they point to is as large as
/// the kernel's shape says and lives until the stream has come so far; memory that is freed on
/// the same stream does.
pub(super) unsafe fn launch(device: &CudaDevice, launch: &Launch, values: &[Value]) -> Result<()> {
    let [x, y, z] = launch.grid;
    if x == 0 || y == 0 || z == 0 {
        return Ok(());
    }
    let Some((module, ptx)) = MODULES.iter().find(|(name, _)| *name == launch.module) else {
        bail!("there is no module {}", launch.module);
    };
    let function = device.get_or_load_custom_func(&launch.kernel, module, ptx)?;
    let mut builder = function.builder();
    for value in values {
        match value {
            Value::Pointer(x) => builder.arg(x),
            Value::Number(x) => builder.arg(x),
            Value::Float(x) => builder.arg(x),
        };
    }
    let config = LaunchConfig {
        grid_dim: (x, y, z),
        block_dim: (launch.threads, 1, 1),
        shared_mem_bytes: launch.shared_bytes,
    };
    // SAFETY: the caller's promise.
    unsafe { builder.launch(config) }.w()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_has_kernels_and_names_are_read() {
        for (module, ptx) in MODULES {
            assert!(entries(ptx).count() > 0, "{module}");
        }
        let ptx = ".visible .entry one(\n.visible .entry two()\n// nothing\n";
        assert_eq!(entries(ptx).collect::<Vec<_>>(), ["one", "two"]);
    }
}
