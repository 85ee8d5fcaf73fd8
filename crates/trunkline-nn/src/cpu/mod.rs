//! What a processor computes without candle: loops over plain slices that candle has no fused
//! operation for. Each says what it computes, not for which model.
//!
//! Vector instructions come by [`pulp`], which asks the processor once what it has; there is no
//! `unsafe` here.

pub(crate) mod affine;
pub(crate) mod dense;
pub(crate) mod gate;
mod parts;
pub(crate) mod softmax;
pub(crate) mod tile;
