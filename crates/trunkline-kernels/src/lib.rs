//! The kernels of `kernels/` (CUDA C++): what each takes, what it must give, and the way to the
//! card.
//!
//! A kernel has three sides here. Its *launch* ([`rows`], [`paged`], [`slots`]) says how many
//! threads work on which shape. Its *reference* ([`mod@reference`]) is the same calculation in
//! 64-bit floats, written for reading. Its *check* ([`check`]) runs the kernel on random shapes,
//! the edges among them, with poisoned results, and compares. A check runs on any [`Machine`]:
//! on a card, or on the emulator that compiles the same source for the processor, which is how
//! the kernels are tested where there is no card.
//!
//! With the feature `cuda`, `cuda` finds the card and offers the kernels as operations on
//! candle's tensors. Deliberately not here: the networks, and any choice of what runs when.

pub mod check;
#[cfg(feature = "cuda")]
pub mod cuda;
mod error;
mod launch;
pub mod paged;
pub mod reference;
pub mod rows;
pub mod slots;

pub use error::KernelError;
pub use launch::{Argument, Launch, Machine, Number};
