//! The networks on candle: Whisper for speech to text, the Llama family for text, and BERT for
//! vectors of texts.
//!
//! Every size and member of a family runs on one code path. This crate loads files, computes
//! and returns; it owns no threads, no queues and no downloads. What runs when, and for whom,
//! is decided by the engine.
#![forbid(unsafe_code)]

pub mod bert;
mod cpu;
mod error;
mod files;
pub mod llama;
pub mod whisper;

pub use candle_core::Device;
pub use error::NnError;
pub use llama::Llama;
pub use whisper::{
    Dictionary, Ended, Guards, Passage, PassageSegment, RowId, Rows, Segment, Transcription,
    Whisper, WhisperOptions, Window, Word,
};

/// Variables that a process which computes on the CPU should start with.
///
/// candle's quantized products hand work to a pool of their own whose threads spin at a barrier
/// twice per product. As soon as anything else wants a core, each product then costs
/// milliseconds instead of microseconds. With one thread there is no barrier, and
/// [`llama`] spreads its products over rayon's pool instead.
pub const ENVIRONMENT: &[(&str, &str)] = &[("CANDLE_NUM_THREADS", "1")];

/// Whether this process was started with every variable of [`ENVIRONMENT`], whatever its value.
pub fn environment_is_set() -> bool {
    ENVIRONMENT
        .iter()
        .all(|(name, _)| std::env::var_os(name).is_some())
}

/// The processor of this machine.
pub fn cpu() -> Device {
    Device::Cpu
}
