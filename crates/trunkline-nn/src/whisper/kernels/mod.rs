//! Arithmetic on slices that candle's general operations do too slowly on a CPU: whole passes
//! joined, nothing allocated, and vector instructions chosen when the program runs.
//!
//! Each function has its plain definition as a test beside it. No tensors here, except in
//! [`fused`], which applies them to tensors and falls back to candle's own operations on
//! every other device.

mod attention;
pub(super) mod elementary;
pub(super) mod fused;
mod window;

pub(super) use attention::{Heard, Query, attend};
pub(super) use elementary::{Summary, summarize};
pub(super) use window::{Windows, attend_windows};
