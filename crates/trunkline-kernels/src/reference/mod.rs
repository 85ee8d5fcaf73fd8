//! What each kernel must give, in 64-bit floats and in the order in which one would explain it.
//!
//! Nothing here is fast, and nothing of it serves calls.

mod attention;
mod rows;

pub use attention::{Sequence, attend_slots, attend_tokens, turned};
pub use rows::{add, rms_norm, swiglu};
