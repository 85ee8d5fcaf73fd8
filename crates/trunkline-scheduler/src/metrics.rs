//! What the scheduler counts.
//!
//! Only numbers; names and exporters are elsewhere.

use crate::PerClass;

/// A snapshot. What is named in the past tense counts from the beginning; the rest is now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Rows that wait without blocks: new ones and preempted ones.
    pub waiting_rows: PerClass<usize>,
    /// Tokens that those rows have to run.
    pub waiting_tokens: usize,
    /// Rows that exist.
    pub live_rows: usize,
    /// Blocks that rows hold.
    pub blocks_used: usize,
    /// Blocks that only the prefix cache holds.
    pub blocks_cached: usize,
    /// Of the used and the cached: blocks of pinned prefixes.
    pub blocks_pinned: usize,
    /// Blocks that hold nothing.
    pub blocks_free: usize,
    /// Steps that were planned and had a row.
    pub steps_planned: u64,
    /// Tokens that were planned as prefill.
    pub prefill_tokens_run: u64,
    /// Tokens that were planned as decode.
    pub decode_tokens_run: u64,
    /// Tokens that the prefix cache spared.
    pub cache_hit_tokens: u64,
    /// Rows that lost their blocks and have to be computed again.
    pub preempted: u64,
    /// Rows that were given up after they had been admitted.
    pub shed: PerClass<u64>,
    /// Requests that were not admitted.
    pub refused: PerClass<u64>,
    /// Rows that were cancelled.
    pub cancelled: u64,
    /// Tokens computed ahead of need that came to nothing: retracted, cancelled or shed.
    pub wasted_speculative_tokens: u64,
}
