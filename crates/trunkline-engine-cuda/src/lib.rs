//! What the program for NVIDIA cards needs besides a card: checkpoints with random weights, and
//! the comparison of networks on two devices. Tested on the processor.
#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod parity;
