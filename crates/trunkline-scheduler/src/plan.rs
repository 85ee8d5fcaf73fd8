//! What to run in one step, packed as a network without padding wants it.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use crate::{Class, SlotId, Token};

/// A block of the KV pool: keys and values of `block_tokens` positions in every layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(pub u32);

/// A row as long as it lives. The id of a row that is gone is never current again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub(crate) SlotId);

impl RowId {
    /// For tables beside the scheduler: from 0, less than
    /// [`max_live_rows`](crate::TokenSettings::max_live_rows), and of one row at a time.
    pub const fn index(self) -> usize {
        self.0.index()
    }
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowId({self})")
    }
}

/// Copy all of one block over another, in every layer, keys and values, before the step. No
/// target is a source or another's target, so the order does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockCopy {
    /// Where from; stays as it is.
    pub from: BlockId,
    /// Where to; what was there is of no use.
    pub to: BlockId,
}

/// One row of a step. The ranges point into the packed arrays of the [`Plan`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRow {
    /// Which row.
    pub row: RowId,
    /// Its class when the plan was made.
    pub class: Class,
    /// The position of the first token to run: so many positions before it are in the blocks.
    pub start: usize,
    /// The tokens to run, in [`Plan::tokens`].
    pub tokens: Range<usize>,
    /// The row's block table up to the last token to run, in [`Plan::blocks`]. Position `p` lies
    /// in entry `p / block_tokens` at `p % block_tokens`.
    pub blocks: Range<usize>,
    /// The logits of so many tokens at the end of the range are wanted: 0 for none, 1 for the
    /// last, the length of the range for all.
    pub logits: usize,
}

/// One row of a step with its slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowStep<'a> {
    /// Which row.
    pub row: RowId,
    /// The position of the first of `tokens`.
    pub start: usize,
    /// The tokens to run, at least one.
    pub tokens: &'a [Token],
    /// The block table up to the last of `tokens`.
    pub blocks: &'a [BlockId],
    /// How many tokens at the end want their logits.
    pub logits: usize,
}

/// A step. First do the copies, then run all rows, then tell
/// [`complete`](crate::TokenScheduler::complete) or [`abandon`](crate::TokenScheduler::abandon).
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    pub(crate) step: u64,
    pub(crate) at: Duration,
    pub(crate) rows: Vec<PlannedRow>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) blocks: Vec<BlockId>,
    pub(crate) copies: Vec<BlockCopy>,
    pub(crate) prefill_budget: usize,
}

impl Plan {
    /// An empty plan with room for so many rows, tokens and blocks.
    pub(crate) fn with_room(step: u64, at: Duration, [rows, tokens, blocks]: [usize; 3]) -> Self {
        Self {
            step,
            at,
            rows: Vec::with_capacity(rows),
            tokens: Vec::with_capacity(tokens),
            blocks: Vec::with_capacity(blocks),
            copies: Vec::new(),
            prefill_budget: 0,
        }
    }

    /// How many rows, tokens and blocks it has.
    pub(crate) fn size(&self) -> [usize; 3] {
        [self.rows.len(), self.tokens.len(), self.blocks.len()]
    }

    /// Counts the steps, from 0.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Whether there is nothing to run: wait for a command.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows with ranges into the packed arrays.
    pub fn rows(&self) -> &[PlannedRow] {
        &self.rows
    }

    /// The rows with their slices.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = RowStep<'_>> {
        self.rows.iter().map(|row| RowStep {
            row: row.row,
            start: row.start,
            tokens: &self.tokens[row.tokens.clone()],
            blocks: &self.blocks[row.blocks.clone()],
            logits: row.logits,
        })
    }

    /// The tokens of all rows, row after row.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// The block tables of all rows, row after row.
    pub fn blocks(&self) -> &[BlockId] {
        &self.blocks
    }

    /// What to copy before the step.
    pub fn copies(&self) -> &[BlockCopy] {
        &self.copies
    }

    /// Tokens of prefill that this step had room for.
    pub fn prefill_budget(&self) -> usize {
        self.prefill_budget
    }
}
