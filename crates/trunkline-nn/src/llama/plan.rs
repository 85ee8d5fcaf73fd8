//! How to hold weights so that they multiply fast.
//!
//! On a processor one row of activations is bound by how many bytes of weights are read, and
//! many rows by how fast the products are. Measured on two shared cores (x86-64 with AVX-512
//! VNNI, candle 0.11, SmolLM2-135M from a Q4_1 file), tokens per second for many rows and for
//! one: as stored 11 and 8; f32 444 and 25; plain Q8_0 130 and 47; tiled Q4_K 360 and 45.
//! How far the log-probability of a sentence strays from that of f32, root mean square: plain
//! Q8_0 0.6, tiled formats 1.0 to 1.7, because they round activations in blocks of 256.
//! Scores of options are compared with one another, so that this matters.

use candle_core::Device;
use candle_core::quantized::GgmlDType;

/// How weights are held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComputePlan {
    /// Floating point throughout: f32 on a processor, bf16 on a card. Exact, and the reference
    /// that the others are compared with.
    Dense,
    /// Eight bits for a few rows, and a second copy in f32 for many. Scores and prompts are
    /// exact; replies are drawn from logits of eight bits.
    Doubled,
    /// Repacked at load into what has a tiled kernel on this processor, where a second copy
    /// would take too much memory.
    Packed,
    /// As the file has them, whatever candle makes of it. For comparison.
    AsStored,
}

/// Up to so many weights stay in floating point: there is nothing to gain.
const TINY: usize = 4_000_000;
/// Up to so many weights a second copy in f32 (1.6 GB) is affordable.
const DOUBLED_UP_TO: usize = 400_000_000;

impl ComputePlan {
    /// The fastest plan for a model of so many weights.
    pub fn for_model(parameters: usize, device: &Device) -> Self {
        if !device.is_cpu() || parameters <= TINY {
            Self::Dense
        } else if parameters <= DOUBLED_UP_TO {
            Self::Doubled
        } else {
            Self::Packed
        }
    }
}

/// What a matrix of the file's format, `None` for floating point, is packed into. The tiled
/// kernels want rows of a multiple of 256 weights, so rows are padded with zeros.
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
