//! Launches of the operations on rows of activations (`kernels/rows.cu`).

use crate::{Launch, Number};

const WARP: usize = 32;
/// Threads of a block at most.
const THREADS: usize = 512;

/// The sum of two rows, and its norm: `(2, rows, width)` from `x`, `delta` and `weight`.
pub fn add_rms_norm(number: Number, rows: usize, width: usize) -> Launch {
    let threads = width.clamp(1, THREADS).next_multiple_of(WARP);
    Launch {
        module: "rows",
        kernel: format!("add_rms_norm_{}", number.name()),
        grid: [rows as u32, 1, 1],
        threads: threads as u32,
        shared_bytes: (threads / WARP * size_of::<f32>()) as u32,
    }
}

/// The gated unit: `(rows, width)` from `(rows, 2 * width)`.
pub fn swiglu(number: Number, rows: usize, width: usize) -> Launch {
    let threads = width.clamp(1, THREADS).next_multiple_of(WARP);
    Launch {
        module: "rows",
        kernel: format!("swiglu_{}", number.name()),
        grid: [rows as u32, width.div_ceil(threads).max(1) as u32, 1],
        threads: threads as u32,
        shared_bytes: 0,
    }
}
