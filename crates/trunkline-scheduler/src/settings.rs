//! The measures of a token scheduler.

use std::time::Duration;

use crate::{Class, PerClass, SchedulerError};

/// How a [`TokenScheduler`](crate::TokenScheduler) is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenSettings {
    /// Tokens in a KV block.
    pub block_tokens: usize,
    /// KV blocks of the pool; ids are from 0 up.
    pub blocks: u32,
    /// Blocks that pinned prefixes may keep. Beyond it the pin used longest ago is loosened.
    pub max_pinned_blocks: usize,
    /// The most tokens of one row: the model's context.
    pub max_row_tokens: usize,
    /// The most rows of one step, at least 8.
    pub max_rows: usize,
    /// Tokens of prefill in a step when no playing row is in a hurry.
    pub prefill_tokens: usize,
    /// Tokens of prefill that a step has room for however great the hurry, so that who waits for
    /// a first token gets on.
    pub min_prefill_tokens: usize,
    /// Tokens of speculative prefill in a step at most: who comes during the step waits for its
    /// end, and nobody waits for these.
    pub speculative_tokens: usize,
    /// A row that is past its prompt and has more tokens to run than this (forced ones) shares
    /// the prefill budget; with at most this many it runs whole, as a decode row.
    pub max_decode_tokens: usize,
    /// Rows that may exist at once, forks included.
    pub max_live_rows: u32,
    /// Rows that may wait without having begun.
    pub max_waiting_rows: usize,
    /// Tokens of those rows together.
    pub max_waiting_tokens: usize,
    /// Percent of each step's prefill budget and rows that a class is given while it has work,
    /// however much there is of more urgent classes. Together less than 100; that of
    /// [`Class::TurnCritical`] is not read: it has what the others leave.
    pub guaranteed_percent: PerClass<u8>,
    /// Caps how far a deadline can push a row back: it counts as due at the latest this long after
    /// it became ready. A speculative or background row that has waited so long without blocks
    /// is shed.
    pub patience: PerClass<Duration>,
    /// A tenant may run so many prefill tokens ahead of another that waits in the same class,
    /// for the sake of a deadline.
    pub fair_lead_tokens: u64,
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self {
            block_tokens: 32,
            blocks: 1024,
            max_pinned_blocks: 256,
            max_row_tokens: 8192,
            max_rows: 64,
            prefill_tokens: 512,
            min_prefill_tokens: 32,
            speculative_tokens: 512,
            max_decode_tokens: 32,
            max_live_rows: 4096,
            max_waiting_rows: 256,
            max_waiting_tokens: 262_144,
            guaranteed_percent: PerClass::new([0, 20, 10, 5]),
            patience: PerClass::new([
                Duration::from_secs(2),
                Duration::from_secs(2),
                Duration::from_secs(2),
                Duration::from_secs(60),
            ]),
            fair_lead_tokens: 1024,
        }
    }
}

impl TokenSettings {
    /// Blocks that `tokens` tokens need.
    pub const fn blocks_for(&self, tokens: usize) -> usize {
        tokens.div_ceil(self.block_tokens)
    }

    pub(crate) fn check(&self) -> Result<(), SchedulerError> {
        let lower: u32 = Class::ALL[1..]
            .iter()
            .map(|class| u32::from(self.guaranteed_percent[*class]))
            .sum();
        let rules = [
            (self.block_tokens > 0, "a block must hold a token"),
            (self.max_rows >= 8, "a step must have room for 8 rows"),
            (
                self.min_prefill_tokens >= 4 && self.prefill_tokens >= self.min_prefill_tokens,
                "the prefill budget must be at least its minimum, and that at least 4",
            ),
            (
                self.speculative_tokens > 0,
                "a step must have room for speculative prefill",
            ),
            (self.max_decode_tokens > 0, "a decode row must run a token"),
            (lower < 100, "the guaranteed shares must leave something"),
            (
                self.block_tokens > 0
                    && self.blocks_for(self.max_row_tokens) + self.max_pinned_blocks
                        <= self.blocks as usize,
                "the longest row must fit beside the pinned blocks",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(SchedulerError::Settings(rule)),
            None => Ok(()),
        }
    }
}
