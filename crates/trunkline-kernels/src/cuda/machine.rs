//! A card as the [`Machine`] of the checks: every run is waited for.

use candle_core::Device;
use candle_core::cuda_backend::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::CudaSlice;

use super::function::{Value, launch, pointer};
use crate::{Argument, KernelError, Launch, Machine};

/// A card that checks run on.
#[derive(Debug)]
pub struct Gpu(CudaDevice);

impl Gpu {
    /// The card of a device.
    ///
    /// # Errors
    /// [`KernelError::Launch`] when the device is none of CUDA's.
    pub fn new(device: &Device) -> Result<Self, KernelError> {
        match device {
            Device::Cuda(device) => Ok(Self(device.clone())),
            _ => Err(failed("start", "the device is not a card".to_owned())),
        }
    }
}

fn failed(kernel: &str, reason: String) -> KernelError {
    KernelError::Launch {
        kernel: kernel.to_owned(),
        reason,
    }
}

impl Machine for Gpu {
    type Buffer = CudaSlice<u8>;

    fn upload(&mut self, bytes: &[u8]) -> Result<Self::Buffer, KernelError> {
        let slice = self.0.clone_htod(bytes);
        slice.map_err(|error| failed("upload", error.to_string()))
    }

    fn run(
        &mut self,
        run: &Launch,
        arguments: &[Argument<'_, Self::Buffer>],
    ) -> Result<(), KernelError> {
        let value = |argument: &Argument<'_, Self::Buffer>| match argument {
            Argument::Number(x) => Value::Number(*x),
            Argument::Float(x) => Value::Float(*x),
            Argument::Buffer(buffer) => pointer(&self.0, buffer, 0),
            Argument::Nothing => Value::Pointer(0),
        };
        let values: Vec<Value> = arguments.iter().map(value).collect();
        // SAFETY: the checks hand over what the kernel takes, and the buffers outlive the wait.
        let launched = unsafe { launch(&self.0, run, &values) };
        launched.map_err(|error| failed(&run.kernel, error.to_string()))?;
        let waited = self.0.cuda_stream().synchronize();
        waited.map_err(|error| failed(&run.kernel, error.to_string()))
    }

    fn download(&mut self, buffer: &Self::Buffer) -> Result<Vec<u8>, KernelError> {
        let bytes = self.0.clone_dtoh(buffer);
        bytes.map_err(|error| failed("download", error.to_string()))
    }
}
