//! The scheduler of a token model: rows over a paged KV cache, one step at a time.

mod admission;
#[cfg(test)]
mod check;
mod memory;
mod pins;
mod planner;
mod queues;
mod step;

use std::collections::BTreeMap;
use std::time::Duration;

use trunkline_types::CallId;

use crate::blocks::BlockPool;
use crate::fair::FairQueue;
use crate::row::{NO_LOGITS, Queued, Row};
use crate::step_time::StepTime;
use crate::{
    BlockId, Class, Due, Epoch, Logits, Metrics, Origin, PerClass, RowId, SchedulerError,
    ShedReason, SlotPool, Token, TokenSettings,
};
use pins::Pins;

/// A row that was admitted and given up. Its id is not current any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shed {
    /// Which row.
    pub row: RowId,
    /// Whose it was.
    pub origin: Origin,
    /// Why.
    pub reason: ShedReason,
}

/// The scheduler of one token model on one device. See the [crate] for the loop that drives it.
///
/// All operations but [`plan`](Self::plan) may come while a step is in flight: they take effect
/// with the next plan, and what the step computes for a row that was cancelled or retracted
/// meanwhile is dropped at [`complete`](Self::complete). Times must not go back; one that does
/// counts as the latest seen.
#[derive(Debug)]
pub struct TokenScheduler {
    settings: TokenSettings,
    /// The latest time seen.
    now: Duration,
    ids: SlotPool,
    /// By the index of the id.
    rows: Vec<Option<Row>>,
    arrivals: u64,
    by_call: BTreeMap<(CallId, Epoch), Vec<RowId>>,
    pool: BlockPool,
    pins: Pins,
    /// Rows to decode, in no order.
    decode: PerClass<Vec<RowId>>,
    prefill: PerClass<FairQueue<RowId>>,
    /// Rows without blocks that want some, by when they began to wait.
    waiting: PerClass<BTreeMap<(Duration, u64), RowId>>,
    /// Their tokens.
    waiting_tokens: PerClass<usize>,
    /// Rows that hold blocks, by arrival.
    holding: PerClass<BTreeMap<u64, RowId>>,
    /// In the plan in the making, rows that arrived from here on have no blocks to be taken.
    victims_before: PerClass<u64>,
    steps: u64,
    /// Rows, tokens and blocks of the last plan: the next is about as large.
    last_size: [usize; 3],
    in_flight: Option<InFlight>,
    step_time: StepTime,
    shed: Vec<Shed>,
    metrics: Metrics,
}

/// What a step in flight keeps.
#[derive(Debug)]
struct InFlight {
    step: u64,
    /// Blocks to release when it completes: sources of copies, and the blocks of rows that went.
    blocks: Vec<BlockId>,
}

impl TokenScheduler {
    /// An idle scheduler with an empty pool.
    ///
    /// # Errors
    /// [`SchedulerError::Settings`] when the settings contradict each other.
    pub fn new(settings: TokenSettings) -> Result<Self, SchedulerError> {
        settings.check()?;
        let queue = || FairQueue::new(settings.fair_lead_tokens);
        Ok(Self {
            now: Duration::ZERO,
            ids: SlotPool::new(settings.max_live_rows),
            rows: (0..settings.max_live_rows).map(|_| None).collect(),
            arrivals: 0,
            by_call: BTreeMap::new(),
            pool: BlockPool::new(settings.blocks),
            pins: Pins::new(settings.max_pinned_blocks),
            decode: PerClass::default(),
            prefill: PerClass::new([queue(), queue(), queue(), queue()]),
            waiting: PerClass::default(),
            waiting_tokens: PerClass::default(),
            holding: PerClass::default(),
            victims_before: PerClass::default(),
            steps: 0,
            last_size: [0; 3],
            in_flight: None,
            step_time: StepTime::default(),
            shed: Vec::new(),
            metrics: Metrics::default(),
            settings,
        })
    }

    /// What it was made with.
    pub fn settings(&self) -> &TokenSettings {
        &self.settings
    }

    /// Whether the row is still there. A result for one that is not goes nowhere.
    pub fn is_current(&self, row: RowId) -> bool {
        self.ids.is_current(row.0)
    }

    /// The tokens of a row, prompt first.
    ///
    /// # Errors
    /// [`SchedulerError::UnknownRow`]
    pub fn tokens(&self, row: RowId) -> Result<&[Token], SchedulerError> {
        Ok(&self.row(row)?.tokens)
    }

    /// Appends tokens to an open prompt, which are prefilled ahead of need.
    ///
    /// # Errors
    /// [`SchedulerError::UnknownRow`], [`SchedulerError::PromptClosed`], and
    /// [`SchedulerError::TooLong`] when the prompt with the tokens that may follow would not fit.
    pub fn extend(
        &mut self,
        now: Duration,
        row: RowId,
        tokens: &[Token],
    ) -> Result<(), SchedulerError> {
        let limit = self.settings.max_row_tokens;
        let open = self.row(row)?;
        if !open.open {
            return Err(SchedulerError::PromptClosed(row));
        }
        let total = open.tokens.len() + open.max_new_tokens;
        check_length(total.saturating_add(tokens.len()), limit)?;
        self.tick(now);
        self.edit(row, |open, now| {
            if open.pending() == 0 {
                open.since = now;
            }
            open.tokens.extend_from_slice(tokens);
            open.prompt_len = open.tokens.len();
        });
        Ok(())
    }

    /// Cuts a row back to its first `to` tokens and opens its prompt there: a partial transcript
    /// changed, or the caller cut in and only so much was heard. What was computed of the
    /// tokens that stay is kept.
    ///
    /// # Errors
    /// [`SchedulerError::UnknownRow`]; [`SchedulerError::BeyondEnd`] when the row is shorter.
    pub fn retract(&mut self, row: RowId, to: usize) -> Result<(), SchedulerError> {
        let len = self.row(row)?.tokens.len();
        if to > len {
            return Err(SchedulerError::BeyondEnd { to, len });
        }
        let block_tokens = self.settings.block_tokens;
        let mut wasted = 0;
        self.edit(row, |row, _| {
            wasted = row.ran_beyond(to).min(row.ahead);
            row.ahead -= wasted;
            row.tokens.truncate(to);
            row.hashes.truncate(to / block_tokens);
            row.prompt_len = to;
            row.open = true;
            row.logits_from = NO_LOGITS;
            row.keep_computed(to);
        });
        self.metrics.wasted_speculative_tokens += wasted as u64;
        Ok(())
    }

    /// Says how many tokens may follow an open prompt; not known while nobody has asked for any.
    ///
    /// # Errors
    /// [`SchedulerError::UnknownRow`], [`SchedulerError::PromptClosed`], and
    /// [`SchedulerError::TooLong`] when the prompt with these would not fit.
    pub fn allow(&mut self, row: RowId, max_new_tokens: usize) -> Result<(), SchedulerError> {
        let limit = self.settings.max_row_tokens;
        let open = self.row(row)?;
        if !open.open {
            return Err(SchedulerError::PromptClosed(row));
        }
        check_length(open.tokens.len().saturating_add(max_new_tokens), limit)?;
        self.edit(row, |row, _| row.max_new_tokens = max_new_tokens);
        Ok(())
    }

    /// Ends an open prompt: the logits of its last token are wanted. Does nothing to a closed one.
    ///
    /// # Errors
    /// [`SchedulerError::UnknownRow`], [`SchedulerError::EmptyPrompt`].
    pub fn close_prompt(&mut self, now: Duration, row: RowId) -> Result<(), SchedulerError> {
        let open = self.row(row)?;
        if !open.open {
            return Ok(());
        }
        let last = open.tokens.len().checked_sub(1);
        let last = last.ok_or(SchedulerError::EmptyPrompt)?;
        self.tick(now);
        self.edit(row, |row, now| {
            if row.pending() == 0 {
                row.since = now;
            }
            row.open = false;
            row.logits_from = last;
            // The last token may have run already, without its logits.
            row.keep_computed(last);
        });
        Ok(())
    }

    /// Appends what was sampled, or tokens that are forced, behind a closed prompt, and says
    /// which of their logits are wanted. Returns how many more may be pushed; at 0 the row is to
    /// be finished, unless the logits of these tokens are still of use.
    ///
    /// With [`Logits::None`] the tokens run together with the next ones that want some.
    ///
    /// # Errors
    /// [`SchedulerError::UnknownRow`], [`SchedulerError::PromptOpen`], and
    /// [`SchedulerError::TooLong`] beyond `max_new_tokens` of the request.
    pub fn push(
        &mut self,
        row: RowId,
        tokens: &[Token],
        logits: Logits,
    ) -> Result<usize, SchedulerError> {
        let closed = self.row(row)?;
        if closed.open {
            return Err(SchedulerError::PromptOpen(row));
        }
        let (len, limit) = (
            closed.tokens.len(),
            closed.prompt_len + closed.max_new_tokens,
        );
        let total = len + tokens.len();
        check_length(total, limit)?;
        if tokens.is_empty() {
            return Ok(limit - total);
        }
        let from = match logits {
            Logits::None => NO_LOGITS,
            Logits::Last => total - 1,
            Logits::All => len,
        };
        self.edit(row, |row, now| {
            if row.pending() == 0 {
                row.since = now;
            }
            row.tokens.extend_from_slice(tokens);
            row.logits_from = row.logits_from.min(from);
            let pushed = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
            row.due.tokens = row.due.tokens.saturating_sub(pushed).max(1);
        });
        Ok(limit - total)
    }

    /// Another row that continues the same tokens, with blocks shared as far as they are
    /// computed. It has its parent's origin, class, deadline and limits, and wants the logits that
    /// its parent still waits for.
    ///
    /// # Errors
    /// [`SchedulerError::UnknownRow`]; [`SchedulerError::Overloaded`] when there are too many rows.
    pub fn fork(&mut self, row: RowId) -> Result<RowId, SchedulerError> {
        self.row(row)?;
        let id = self.claim_row()?;
        let arrival = self.next_arrival();
        let parent = self.row(row)?;
        let child = parent.fork(id, arrival, self.settings.block_tokens);
        for block in &child.blocks {
            self.pool.retain(*block);
        }
        self.adopt(child);
        Ok(id)
    }

    /// Moves a row to another class with a new deadline: what was speculative is now waited for.
    ///
    /// # Errors
    /// [`SchedulerError::UnknownRow`]: among other reasons because it was shed; submit it anew.
    pub fn promote(
        &mut self,
        now: Duration,
        row: RowId,
        class: Class,
        due: Due,
    ) -> Result<(), SchedulerError> {
        self.row(row)?;
        self.tick(now);
        self.unhold(row);
        self.dequeue(row);
        self.edit(row, |row, now| {
            if row.class == Class::Speculative {
                row.ahead = 0;
            }
            row.class = class;
            row.due = due;
            row.since = now;
        });
        self.hold(row);
        Ok(())
    }

    /// Gives a row a new deadline: the playout buffer has grown.
    ///
    /// # Errors
    /// [`SchedulerError::UnknownRow`]
    pub fn set_deadline(&mut self, row: RowId, due: Due) -> Result<(), SchedulerError> {
        self.row(row)?;
        self.edit(row, |row, _| row.due = due);
        Ok(())
    }

    /// Ends a row that has done its work. Its full blocks stay in the prefix cache.
    ///
    /// # Errors
    /// [`SchedulerError::UnknownRow`]
    pub fn finish(&mut self, row: RowId) -> Result<(), SchedulerError> {
        self.row(row)?;
        self.remove(row);
        Ok(())
    }

    /// Ends a row whose work is in vain. It is in no later plan.
    ///
    /// # Errors
    /// [`SchedulerError::UnknownRow`]
    pub fn cancel(&mut self, row: RowId) -> Result<(), SchedulerError> {
        self.row(row)?;
        self.metrics.cancelled += 1;
        self.discard(row);
        Ok(())
    }

    /// Cancels all rows of the call in this epoch and earlier ones. Returns which.
    pub fn cancel_call(&mut self, call: CallId, up_to: Epoch) -> Vec<RowId> {
        let rows: Vec<RowId> = self
            .by_call
            .range((call, Epoch(0))..=(call, up_to))
            .flat_map(|(_, rows)| rows.iter().copied())
            .collect();
        for row in &rows {
            self.metrics.cancelled += 1;
            self.discard(*row);
        }
        rows
    }

    /// The rows that were shed since the last call. Ask after each [`plan`](Self::plan) and
    /// [`submit`](Self::submit).
    pub fn take_shed(&mut self) -> Vec<Shed> {
        std::mem::take(&mut self.shed)
    }

    /// The counters and what is in the queues and the pool now.
    pub fn metrics(&self) -> Metrics {
        let mut metrics = self.metrics.clone();
        for class in Class::ALL {
            metrics.waiting_rows[class] = self.waiting[class].len();
        }
        metrics.waiting_tokens = self.waiting_tokens.iter().map(|(_, tokens)| tokens).sum();
        metrics.live_rows = self.ids.len() - self.ids.free();
        metrics.blocks_free = self.pool.free();
        metrics.blocks_cached = self.pool.idle();
        metrics.blocks_pinned = self.pool.pinned();
        metrics.blocks_used = self.pool.len() - self.pool.free() - self.pool.idle();
        metrics
    }

    fn tick(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    fn row(&self, id: RowId) -> Result<&Row, SchedulerError> {
        let row = self.rows.get(id.index()).and_then(Option::as_ref);
        row.filter(|row| row.id == id)
            .ok_or(SchedulerError::UnknownRow(id))
    }

    fn row_mut(&mut self, id: RowId) -> Option<&mut Row> {
        let row = self.rows.get_mut(id.index()).and_then(Option::as_mut);
        row.filter(|row| row.id == id)
    }

    /// Changes a row outside its queues and puts it where it then belongs. One in flight stands in
    /// no queue, and finds its place when the step is over.
    fn edit(&mut self, id: RowId, change: impl FnOnce(&mut Row, Duration)) {
        let now = self.now;
        if let Some(row) = self.row_mut(id).filter(|row| row.flight.is_some()) {
            change(row, now);
            return;
        }
        self.dequeue(id);
        if let Some(row) = self.row_mut(id) {
            change(row, now);
        }
        self.trim_blocks(id);
        self.enqueue(id);
    }
}

fn check_length(tokens: usize, limit: usize) -> Result<(), SchedulerError> {
    if tokens > limit {
        return Err(SchedulerError::TooLong { tokens, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
