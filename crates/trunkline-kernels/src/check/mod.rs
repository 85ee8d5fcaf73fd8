//! Whether a machine's kernels give what their references give: random inputs from a seed,
//! shapes at the edges, and results that are poisoned beforehand, so that a number which was not
//! written, or was written where it does not belong, is seen.

mod compare;
mod paged;
mod random;
mod rows;
mod slots;

pub use self::compare::Outcome;

use crate::{KernelError, Machine, Number};

/// How much to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The edges, in sizes that an emulator bears.
    Small,
    /// Sizes of real networks as well.
    Full,
}

/// A group of checks: its name, and how it is run.
pub type Check<M> = (
    &'static str,
    fn(&mut M, Number, Extent) -> Result<Vec<Outcome>, KernelError>,
);

/// Every group of checks.
pub fn checks<M: Machine>() -> [Check<M>; 4]
where
    M::Buffer: 'static,
{
    [
        ("add_rms_norm", rows::add_rms_norm),
        ("swiglu", rows::swiglu),
        ("paged", paged::paged),
        ("slots", slots::slots),
    ]
}
