//! Launches of attention over slots of fixed length (`kernels/slots.cu`).

use crate::{KernelError, Launch, Number};

const WARP: usize = 32;
/// Warps that share the keys of one query.
const WARPS: usize = 4;

/// What so many queries find. Arguments: out, queries, keys, values, asks, heads, columns of a
/// head, positions of a slot.
///
/// # Errors
/// [`KernelError::UnsupportedShape`] for heads of more than 128 columns.
pub fn attend(
    number: Number,
    queries: usize,
    heads: usize,
    width: usize,
) -> Result<Launch, KernelError> {
    let columns = match width {
        1..=64 => 2,
        65..=128 => 4,
        _ => {
            return Err(KernelError::UnsupportedShape {
                what: "a head",
                number: width,
            });
        }
    };
    let row = WARP * columns;
    let floats = row + WARPS * (2 + row);
    Ok(Launch {
        module: "slots",
        kernel: format!("attend_slots_{}_c{columns}", number.name()),
        grid: [queries as u32, heads as u32, 1],
        threads: (WARPS * WARP) as u32,
        shared_bytes: (floats * size_of::<f32>()) as u32,
    })
}
