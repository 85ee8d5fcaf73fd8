//! What can go wrong.

use std::time::Duration;

use crate::{RowId, SlotId};

/// Why the scheduler did not do what it was asked. Nothing has changed when one is returned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchedulerError {
    /// Too much waits already. Whoever asked may try again, not before `retry_after`.
    #[error("overloaded: try again in {} ms", retry_after.as_millis())]
    Overloaded {
        /// An estimate of when there will be room, from the measured speed.
        retry_after: Duration,
    },
    /// The tokens, with those that may be generated, are more than a row may have.
    #[error("{tokens} tokens are too long: a row may have {limit}")]
    TooLong {
        /// Prompt and tokens that may follow.
        tokens: usize,
        /// The most that a row may have.
        limit: usize,
    },
    /// The job is more than a batch may cost.
    #[error("a job of cost {cost} is too large: a batch may cost {limit}")]
    TooCostly {
        /// The padded cost of the job alone.
        cost: usize,
        /// The most that a batch may cost.
        limit: usize,
    },
    /// A prompt that logits are wanted of has no token.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// The operation needs an open prompt.
    #[error("the prompt of row {0} is closed")]
    PromptClosed(RowId),
    /// The operation needs a closed prompt.
    #[error("the prompt of row {0} is open")]
    PromptOpen(RowId),
    /// The row has finished, was cancelled or shed, or never was.
    #[error("there is no row {0}")]
    UnknownRow(RowId),
    /// The slot was released or belongs to a later owner.
    #[error("slot {0} is not claimed")]
    UnknownSlot(SlotId),
    /// The position to retract to lies behind the last token.
    #[error("row has {len} tokens and cannot be retracted to {to}")]
    BeyondEnd {
        /// Where to.
        to: usize,
        /// Tokens of the row.
        len: usize,
    },
    /// A plan was asked for before the last one was completed or abandoned.
    #[error("step {0} is still in flight")]
    StepInFlight(u64),
    /// The plan is not the one in flight.
    #[error("step {0} is not in flight")]
    NotInFlight(u64),
    /// The settings contradict each other.
    #[error("settings: {0}")]
    Settings(&'static str),
}
