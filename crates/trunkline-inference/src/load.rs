//! How busy a model is, as its worker counts.

use serde::{Deserialize, Serialize};

/// What a model has in hand at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ModelLoad {
    /// Sequences that somebody waits for: replies, and the prompts and options of choices.
    pub rows: usize,
    /// Steps computed since the worker began.
    pub steps: u64,
    /// Blocks of keys and values that sequences hold.
    pub blocks_used: usize,
    /// Blocks of keys and values that there are.
    pub blocks: usize,
}
