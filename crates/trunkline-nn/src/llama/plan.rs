//! How to hold weights so that they multiply fast.
//!
//! What decides on a processor is which of candle's quantized products has a tiled kernel.
//! Measured per core on a shared x86-64 with AVX-512 VNNI (candle 0.11, one row of
//! activations): Q4_1, the format of many small GGUF files, 2 GFLOP/s; plain Q8_0, 10 to 14;
//! f32, 10; tiled Q8_0, Q6_K and Q4_K, 50 to 100. Many rows: f32 45, the tiled ones 70 to 130.
//! The tiled kernels want rows of a multiple of 256 weights, which SmolLM2's 576 are not, so
//! rows are padded with zeros.

use candle_core::Device;
use candle_core::quantized::GgmlDType;

/// How weights are held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComputePlan {
    /// Floating point throughout: f32 on a processor, bf16 on a card. Exact, and the reference
    /// that the others are compared with.
    Dense,
    /// Repacked at load into what has a fast kernel on this processor.
    Packed,
    /// As the file has them, whatever candle makes of it. For comparison.
    AsStored,
}

/// Up to so many weights stay in floating point: there is nothing to gain.
const TINY: usize = 4_000_000;

impl ComputePlan {
    /// The fastest plan for a model of so many weights.
    pub fn for_model(parameters: usize, device: &Device) -> Self {
        if !device.is_cpu() || parameters <= TINY {
            Self::Dense
        } else {
            Self::Packed
        }
    }
}

/// What a matrix of the file's format, `None` for floating point, is packed into.
///
/// Q4_0 and Q4_1 have, like Q4_K, sixteen levels in blocks of 32, so that next to nothing is
/// lost. Everything else gets eight bits where the processor multiplies bytes (VNNI), and six
/// where it does not and candle's product of eight bits is the slow one.
pub(super) fn packed_as(stored: Option<GgmlDType>) -> GgmlDType {
    match stored {
        Some(GgmlDType::Q4_0 | GgmlDType::Q4_1) => GgmlDType::Q4K,
        _ if multiplies_bytes() => GgmlDType::Q8_0,
        _ => GgmlDType::Q6K,
    }
}

/// Whether a format is fast as it is.
pub(super) fn is_fast(dtype: GgmlDType) -> bool {
    matches!(dtype, GgmlDType::Q4K | GgmlDType::Q5K | GgmlDType::Q6K)
}

#[cfg(target_arch = "x86_64")]
fn multiplies_bytes() -> bool {
    let wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni");
    wide || is_x86_feature_detected!("avxvnni")
}

#[cfg(not(target_arch = "x86_64"))]
fn multiplies_bytes() -> bool {
    true
}
