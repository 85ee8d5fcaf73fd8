//! What the card can do at all: move bytes, and multiply.

use anyhow::Result;
use candle_core::{DType, Device, Tensor};

use super::{quantile, times};

/// Several times what any cache holds.
const COPIED: usize = 4 << 30;
const MATRIX: usize = 8192;

/// The two ceilings, measured by candle's own operations.
pub(super) struct Ceilings {
    /// Read and written together.
    pub(super) bytes_per_s: f64,
    pub(super) flop_per_s: f64,
}

impl Ceilings {
    pub(super) fn measure(device: &Device) -> Result<Self> {
        let from = Tensor::zeros(COPIED, DType::U8, device)?;
        let copying = times(2, 8, |_| {
            from.copy()?;
            Ok(device.synchronize()?)
        })?;
        let random = || Tensor::randn(0f32, 1.0, (MATRIX, MATRIX), device)?.to_dtype(DType::BF16);
        let (a, b) = (random()?, random()?);
        let multiplying = times(3, 10, |_| {
            a.matmul(&b)?;
            Ok(device.synchronize()?)
        })?;
        Ok(Self {
            bytes_per_s: 2.0 * COPIED as f64 / quantile(&copying, 0.5),
            flop_per_s: 2.0 * (MATRIX as f64).powi(3) / quantile(&multiplying, 0.5),
        })
    }
}
