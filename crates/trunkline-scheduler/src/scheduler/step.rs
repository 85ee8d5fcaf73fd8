//! What happens when a step is over.

use std::time::Duration;

use super::TokenScheduler;
use crate::{Plan, RowId, SchedulerError};

impl TokenScheduler {
    /// The step was run: what it computed counts, full blocks become findable for other rows, and
    /// the time since [`plan`](Self::plan) teaches how long a step takes.
    ///
    /// Returns the rows whose logits are of no use any more, because they were finished,
    /// cancelled or retracted while the step was in flight. The others' logits are to be sampled
    /// and [pushed](Self::push).
    ///
    /// # Errors
    /// [`SchedulerError::NotInFlight`] when the plan is not the one in flight.
    pub fn complete(&mut self, plan: &Plan, now: Duration) -> Result<Vec<RowId>, SchedulerError> {
        if plan.is_empty() {
            return Ok(Vec::new());
        }
        self.land(plan)?;
        self.tick(now);
        self.step_time
            .observe(plan.tokens.len(), self.now.saturating_sub(plan.at));
        let mut stale = Vec::new();
        for planned in &plan.rows {
            let Some(row) = self.row_mut(planned.row) else {
                stale.push(planned.row);
                continue;
            };
            if let Some(flight) = row.flight.take() {
                let end = planned.start + planned.tokens.len();
                if flight.valid < end || (row.open && planned.logits > 0) {
                    stale.push(planned.row);
                }
                row.computed = flight.valid;
                row.logits_seen(flight.valid);
            }
            self.settle(planned.row);
        }
        Ok(stale)
    }

    /// The step failed and nothing of it counts; its rows will be planned again. What it may
    /// have written lies behind what is computed.
    ///
    /// # Errors
    /// [`SchedulerError::NotInFlight`] when the plan is not the one in flight.
    pub fn abandon(&mut self, plan: &Plan) -> Result<(), SchedulerError> {
        if plan.is_empty() {
            return Ok(());
        }
        self.land(plan)?;
        let block_tokens = self.settings.block_tokens;
        for planned in &plan.rows {
            let Some(row) = self.row_mut(planned.row) else {
                continue;
            };
            if let Some(flight) = row.flight.take() {
                row.computed = flight.valid.min(flight.start);
                if flight.copied {
                    // Perhaps the copy was not made either.
                    let block = flight.start / block_tokens * block_tokens;
                    row.computed = row.computed.min(block);
                }
            }
            self.settle(planned.row);
        }
        Ok(())
    }

    /// Releases what the step kept.
    fn land(&mut self, plan: &Plan) -> Result<(), SchedulerError> {
        let flight = self.in_flight.take_if(|flight| flight.step == plan.step);
        let flight = flight.ok_or(SchedulerError::NotInFlight(plan.step))?;
        for block in flight.blocks.into_iter().rev() {
            self.pool.release(block);
        }
        Ok(())
    }

    /// Puts a row that was in flight where it now belongs.
    fn settle(&mut self, id: RowId) {
        self.trim_blocks(id);
        self.register(id);
        self.pin_prefix(id);
        self.put_back(id);
    }

    /// Offers a row's newly full blocks to the cache.
    fn register(&mut self, id: RowId) {
        let block_tokens = self.settings.block_tokens;
        let Some(row) = self.rows.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        let full = row.computed / block_tokens;
        for index in row.registered..full {
            if let Some(hash) = row.hash(index, block_tokens) {
                self.pool.register(row.blocks[index], hash);
            }
        }
        row.registered = full;
    }
}
