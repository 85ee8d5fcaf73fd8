//! How to hold weights so that they multiply fast on this machine.
//!
//! Measured on two cores (x86-64 with AVX-512 VNNI, candle 0.11, SmolLM2-135M): candle's Q4_1
//! product runs at 2 GFLOP/s per core, its plain Q8_0 product at 10 to 14, its tiled VNNI Q8_0
//! product at 50 to 110, and f32 at 10 for one row and 45 for many. The tiled product wants
//! rows of a multiple of 256 weights, which SmolLM2's 576 are not, so rows are padded.

use candle_core::Device;

/// How weights are held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComputePlan {
    /// Floating point throughout: f32 on a processor, bf16 on a card. Exact, and the reference
    /// that the others are compared with.
    Dense,
    /// Eight bits in tiles, for processors with a dot product of bytes (VNNI). Fast for one
    /// row and for many.
    Tiled,
    /// Eight bits for one row at a time, and a second copy in f32 for many rows. For processors
    /// without VNNI, where candle's quantized products gain nothing from many rows.
    Doubled,
    /// Eight bits only: where a second copy would take too much memory.
    Bytes,
}

/// Up to so many weights stay in floating point: there is nothing to gain.
const TINY: usize = 4_000_000;
/// Up to so many weights a second copy in f32 (1.6 GB) is affordable.
const DOUBLED_UP_TO: usize = 400_000_000;

impl ComputePlan {
    /// The fastest plan that fits a model of so many weights.
    pub fn for_model(parameters: usize, device: &Device) -> Self {
        if !device.is_cpu() || parameters <= TINY {
            Self::Dense
        } else if has_byte_dot_product() {
            Self::Tiled
        } else if parameters <= DOUBLED_UP_TO {
            Self::Doubled
        } else {
            Self::Bytes
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_byte_dot_product() -> bool {
    let wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni");
    wide || is_x86_feature_detected!("avxvnni")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_byte_dot_product() -> bool {
    false
}
