//! Whether what CUDA needs at run time is on this machine.

use libloading::Library;

use super::CUDA_MAJOR;
use crate::KernelError;

/// The oldest driver that runs programs of this CUDA version.
pub(super) const DRIVER: &str = if CUDA_MAJOR.as_bytes()[1] == b'3' {
    "580"
} else {
    "525"
};

/// Loads the driver and the libraries that the engine calls, to see that they are there. They
/// stay loaded.
///
/// # Errors
/// [`KernelError::NoDriver`] or [`KernelError::NoLibrary`].
pub fn probe() -> Result<(), KernelError> {
    load("libcuda.so.1").map_err(|reason| KernelError::NoDriver {
        reason,
        needed: DRIVER,
    })?;
    // In this order: the second looks for the first.
    for name in ["cublasLt", "cublas", "curand"] {
        let version = if name == "curand" { "10" } else { CUDA_MAJOR };
        let library = format!("lib{name}.so.{version}");
        load(&library).map_err(|reason| KernelError::NoLibrary {
            library: library.clone(),
            reason,
            version: CUDA_MAJOR,
        })?;
    }
    Ok(())
}

fn load(name: &str) -> Result<(), String> {
    // SAFETY: loading runs the library's initialisers, which are NVIDIA's own; the engine is
    // about to call into it anyway.
    match unsafe { Library::new(name) } {
        Ok(library) => {
            std::mem::forget(library);
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    }
}
