//! The way to a card: is there a driver, which cards are there, may this build run on the
//! chosen one, and our kernels as operations on candle's tensors.
//!
//! Nothing of cudarc or candle is touched before [`probe`] found what they load: they take a
//! missing library for a bug.

mod card;
mod function;
mod libraries;
mod machine;
mod paged;
mod rows;
mod slots;

pub use card::{Card, cards, choose, open};
pub use libraries::probe;
pub use machine::Gpu;
pub use paged::{HeadNorms, Step, copy_block};
pub use rows::{add_rms_norm, swiglu};
pub use slots::attend_slots;

/// The compute capability that this program is built for, as in 90.
pub const COMPUTE_CAPABILITY: &str = env!("TRUNKLINE_COMPUTE_CAP");

/// The major version of CUDA that this program is built for.
pub const CUDA_MAJOR: &str = env!("TRUNKLINE_CUDA_MAJOR");
