//! How to hold weights so that they multiply fast.
//!
//! On a processor one row of activations is bound by how many bytes of weights are read, and
//! many rows by how fast the products are. Packed weights are smaller and their products are
//! whole numbers, so that they win both ways; f32 is left where models are so small that the
//! caches hold them anyhow.

use candle_core::Device;

/// How weights are held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComputePlan {
    /// Floating point throughout: f32 on a processor, bf16 on a card. Exact, and the reference
    /// that the other is compared with.
    Dense,
    /// f32 throughout, on a card as well: what [`ComputePlan::Dense`] on one processor and one
    /// card can be compared by.
    Exact,
    /// Four or eight bits with a scale and an offset for each block of 32 weights, as near to
    /// the file as eight bits allow; activations of sixteen bits. On a processor only.
    Packed,
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
