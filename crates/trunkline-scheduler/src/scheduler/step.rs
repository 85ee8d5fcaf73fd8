//! What happens when a step is over.

use std::time::Duration;

use super::TokenScheduler;
use crate::row::{Flight, NO_LOGITS, Row};
use crate::{Plan, PlannedRow, SchedulerError};

impl TokenScheduler {
    /// The step was run: what it computed counts, full blocks become findable for other rows, and
    /// the time since [`plan`](Self::plan) teaches how long a step takes.
    ///
    /// # Errors
    /// [`SchedulerError::NotInFlight`] when the plan is not the one in flight.
    pub fn complete(&mut self, plan: Plan, now: Duration) -> Result<(), SchedulerError> {
        if plan.is_empty() {
            self.spare = Some(plan);
            return Ok(());
        }
        self.land(&plan)?;
        self.tick(now);
        self.step_time
            .observe(plan.tokens.len(), self.now.saturating_sub(plan.at));
        self.settle(plan, |row, flight, _| {
            row.computed = flight.valid;
            if row.logits_from < flight.valid {
                row.logits_from = if flight.valid < row.tokens.len() {
                    flight.valid
                } else {
                    NO_LOGITS
                };
            }
        });
        Ok(())
    }

    /// The step failed and nothing of it counts; its rows will be planned again. What it may
    /// have written lies behind what is computed.
    ///
    /// # Errors
    /// [`SchedulerError::NotInFlight`] when the plan is not the one in flight.
    pub fn abandon(&mut self, plan: Plan) -> Result<(), SchedulerError> {
        if plan.is_empty() {
            self.spare = Some(plan);
            return Ok(());
        }
        self.land(&plan)?;
        self.settle(plan, |row, flight, block_tokens| {
            row.computed = flight.valid.min(flight.start);
            if flight.copied {
                // Perhaps the copy was not made either.
                let block = flight.start / block_tokens * block_tokens;
                row.computed = row.computed.min(block);
            }
        });
        Ok(())
    }

    fn land(&mut self, plan: &Plan) -> Result<(), SchedulerError> {
        let flight = self.in_flight.take_if(|flight| flight.step == plan.step);
        let flight = flight.ok_or(SchedulerError::NotInFlight(plan.step))?;
        for block in flight.blocks.into_iter().rev() {
            self.pool.release(block);
        }
        Ok(())
    }

    fn settle(&mut self, plan: Plan, land: impl Fn(&mut Row, Flight, usize)) {
        let block_tokens = self.settings.block_tokens;
        for PlannedRow { row: id, .. } in &plan.rows {
            let Some(row) = self.row_mut(*id) else {
                continue;
            };
            if let Some(flight) = row.flight.take() {
                land(row, flight, block_tokens);
            }
            self.trim_blocks(*id);
            self.register(*id);
            self.pin_prefix(*id);
            self.put_back(*id);
        }
        self.spare = Some(plan);
    }

    /// Offers a row's newly full blocks to the cache.
    fn register(&mut self, id: crate::RowId) {
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
