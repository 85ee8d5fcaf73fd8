//! Making a plan: all decode rows, then prefill under a budget.

use std::collections::BTreeSet;
use std::time::Duration;

use super::memory::Asker;
use super::{InFlight, Queued, TokenScheduler};
use crate::hash::BlockHash;
use crate::row::Flight;
use crate::{BlockId, Class, PerClass, Plan, PlannedRow, RowId, SchedulerError};

/// A plan in the making.
struct Draft {
    plan: Plan,
    /// Sources of copies.
    sources: Vec<BlockId>,
    /// Full blocks that this step will compute and others may share after it.
    computing: BTreeSet<BlockHash>,
    /// Prefill rows to put back in line.
    taken: Vec<RowId>,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placed {
    /// It runs so many tokens.
    Runs(usize),
    /// It has nothing to run: the cache had all of it.
    Done,
    /// Another row computes its next block in this very step.
    Shares,
    /// It has no room for a single token.
    NoBlocks,
}

impl TokenScheduler {
    /// The next step. Sheds what waited too long, and under memory pressure what is least urgent;
    /// see [`take_shed`](Self::take_shed).
    ///
    /// An empty plan is not in flight; it may be completed or dropped.
    ///
    /// # Errors
    /// [`SchedulerError::StepInFlight`] until the last plan is completed or abandoned.
    pub fn plan(&mut self, now: Duration) -> Result<Plan, SchedulerError> {
        if let Some(flight) = &self.in_flight {
            return Err(SchedulerError::StepInFlight(flight.step));
        }
        self.tick(now);
        self.shed_overdue();
        self.victims_before = PerClass::new([u64::MAX; 4]);
        let mut draft = self.draft();
        let decode = self.take_decode(self.prefill_rows());
        let budget = self.prefill_budget(&decode);
        draft.plan.prefill_budget = budget;
        let decode_rows: usize = decode.iter().map(|(_, rows)| rows.len()).sum();
        let mut left = Left {
            tokens: budget,
            rows: self.settings.max_rows - decode_rows,
        };
        for class in Class::ALL {
            for id in &decode[class] {
                self.place_decode(&mut draft, *id);
            }
            self.place_prefill(&mut draft, class, budget, &mut left);
        }
        self.place_one_at_any_price(&mut draft);
        for id in std::mem::take(&mut draft.taken) {
            self.put_back(id);
        }
        Ok(self.launch(draft))
    }

    fn draft(&self) -> Draft {
        Draft {
            plan: Plan::with_room(self.steps, self.now, self.last_size),
            sources: Vec::new(),
            computing: BTreeSet::new(),
            taken: Vec::new(),
        }
    }

    /// Puts the plan in flight.
    fn launch(&mut self, draft: Draft) -> Plan {
        if !draft.plan.is_empty() {
            self.steps += 1;
            self.last_size = draft.plan.size();
            self.metrics.steps_planned += 1;
            self.in_flight = Some(InFlight {
                step: draft.plan.step,
                blocks: draft.sources,
            });
        }
        draft.plan
    }

    /// Places in a step that are kept for prefill rows.
    fn prefill_rows(&self) -> usize {
        let waiting: usize = self.prefill.iter().map(|(_, queue)| queue.len()).sum();
        waiting.min((self.settings.max_rows / 8).max(Class::ALL.len()))
    }

    /// The decode rows of this step, out of line: all, unless there are more than places.
    fn take_decode(&mut self, kept_for_prefill: usize) -> PerClass<Vec<RowId>> {
        let places = self.settings.max_rows - kept_for_prefill;
        let ready: usize = self.decode.iter().map(|(_, rows)| rows.len()).sum();
        let mut chosen = if ready <= places {
            std::mem::take(&mut self.decode)
        } else {
            self.choose_decode(places)
        };
        for class in Class::ALL {
            for id in &chosen[class] {
                if let Some(row) = self.row_mut(*id) {
                    row.queued = Queued::No;
                }
            }
            // Where blocks may run out, who came first is served first.
            if self.pool.available() < ready {
                chosen[class].sort_by_key(|id| self.row(*id).map_or(0, |row| row.arrival));
            }
        }
        chosen
    }

    /// Chooses among more decode rows than there are places: each class gets its share, then in
    /// the order of classes; inside a class the tenants take turns, each with its earliest
    /// deadline. Who is left out keeps the time since when it is ready, and so comes first soon.
    fn choose_decode(&mut self, places: usize) -> PerClass<Vec<RowId>> {
        let mut chosen = PerClass::<Vec<RowId>>::default();
        let mut left = places;
        for class in Class::ALL {
            let kept: usize = Class::ALL
                .into_iter()
                .filter(|lower| *lower > class)
                .map(|lower| self.decode[lower].len().min(self.share(lower, places)))
                .sum();
            let count = self.decode[class].len();
            // Each class in turn leaves the rest what is theirs, but takes one itself.
            let take = count.min(left.saturating_sub(kept).max(left.min(1)));
            left -= take;
            let mut order = self.in_turns(class);
            chosen[class] = order.drain(..take).collect();
            for id in chosen[class].clone() {
                self.dequeue(id);
                if let Some(row) = self.row_mut(id) {
                    row.turns += 1;
                }
            }
        }
        chosen
    }

    /// A class's decode rows in the order of service.
    fn in_turns(&self, class: Class) -> Vec<RowId> {
        let patience = self.settings.patience[class];
        let mut rows: Vec<_> = self.decode[class]
            .iter()
            .filter_map(|id| self.row(*id).ok())
            .map(|row| {
                let (due, arrival) = row.key(patience);
                (row.origin.tenant, (due, row.turns, arrival), row.id)
            })
            .collect();
        rows.sort_unstable();
        let mut turn = 0;
        let mut last = None;
        let mut turns: Vec<_> = rows
            .into_iter()
            .map(|(tenant, key, id)| {
                turn = if last == Some(tenant) { turn + 1 } else { 0 };
                last = Some(tenant);
                (turn, key, id)
            })
            .collect();
        turns.sort_unstable();
        turns.into_iter().map(|(_, _, id)| id).collect()
    }

    /// What a class is given of `whole` whatever more urgent classes want; at least 1.
    fn share(&self, class: Class, whole: usize) -> usize {
        (whole * usize::from(self.settings.guaranteed_percent[class]) / 100).max(1)
    }

    /// Tokens of prefill beside these decode rows, so that each playing one still has its tokens
    /// in time.
    fn prefill_budget(&self, decode: &PerClass<Vec<RowId>>) -> usize {
        let rows = |class: Class| decode[class].iter().filter_map(|id| self.row(*id).ok());
        let pace = rows(Class::Playing)
            .map(|row| row.due.at.saturating_sub(self.now) / row.due.tokens.max(1))
            .min();
        let within = pace.and_then(|pace| self.step_time.tokens_within(pace));
        let Some(within) = within else {
            return self.settings.prefill_tokens;
        };
        let decoding: usize = Class::ALL
            .into_iter()
            .flat_map(rows)
            .map(|row| row.pending())
            .sum();
        within.saturating_sub(decoding).clamp(
            self.settings.min_prefill_tokens,
            self.settings.prefill_tokens,
        )
    }

    fn place_decode(&mut self, draft: &mut Draft, id: RowId) {
        if self.row(id).is_ok_and(|row| row.queued != Queued::No) {
            // A more urgent row has taken its blocks: it waits for prefill.
            return;
        }
        match self.place(draft, id, usize::MAX, false) {
            Placed::Runs(tokens) => self.metrics.decode_tokens_run += tokens as u64,
            Placed::Done | Placed::Shares | Placed::NoBlocks => draft.taken.push(id),
        }
    }

    /// Prefill of one class, as far as it leaves lower classes their shares.
    fn place_prefill(&mut self, draft: &mut Draft, class: Class, budget: usize, left: &mut Left) {
        let lower = Class::ALL.into_iter().filter(|lower| *lower > class);
        let kept = lower.map(|lower| self.kept_for_prefill(lower, budget));
        let (kept_tokens, kept_rows) = kept.fold((0, 0), |(all, rows), tokens| {
            (all + tokens, rows + usize::from(tokens > 0))
        });
        // The shares of a small budget may come to more than all of it; one token is left.
        let mut tokens = left
            .tokens
            .saturating_sub(kept_tokens)
            .max(left.tokens.min(1));
        if class == Class::Speculative {
            tokens = tokens.min(self.settings.speculative_tokens);
        }
        let mut rows = left.rows.saturating_sub(kept_rows).max(left.rows.min(1));
        while tokens > 0 && rows > 0 {
            let Some(id) = self.take_prefill(class) else {
                break;
            };
            match self.place(draft, id, tokens, false) {
                Placed::Runs(run) => {
                    self.charge(class, id, run);
                    tokens -= run;
                    rows -= 1;
                    left.tokens -= run;
                    left.rows -= 1;
                }
                Placed::Done | Placed::Shares => draft.taken.push(id),
                Placed::NoBlocks => {
                    draft.taken.push(id);
                    if self.row(id).is_ok_and(|row| row.open) {
                        // Nobody waits for it, nor for its tenant's sake.
                        self.dequeue(id);
                        continue;
                    }
                    // Who needs less must not pass who came first, or a long row would never run.
                    break;
                }
            }
        }
    }

    /// Tokens of a step's prefill that more urgent classes leave to this one.
    fn kept_for_prefill(&self, class: Class, budget: usize) -> usize {
        let share = self.share(class, budget);
        let queue = &self.prefill[class];
        match (queue.len(), queue.first()) {
            (0, _) => 0,
            (1, Some(only)) => self
                .row(only.item)
                .map_or(0, |row| row.pending().min(share)),
            _ => share,
        }
    }

    fn charge(&mut self, class: Class, id: RowId, tokens: usize) {
        self.metrics.prefill_tokens_run += tokens as u64;
        if let Ok(row) = self.row(id) {
            let tenant = row.origin.tenant;
            self.prefill[class].charge(tenant, tokens as u64);
        }
    }

    /// Where nothing could be placed although a row is needed, the blocks are with rows that have
    /// nothing to do, or with several that are half done. The most urgent row, by the order in
    /// which rows are preempted, takes them; nobody can take them back before it is done.
    fn place_one_at_any_price(&mut self, draft: &mut Draft) {
        if !draft.plan.is_empty() {
            return;
        }
        let needed = self.rows.iter().flatten();
        let needed = needed.filter(|row| row.is_ready() && !row.open);
        let Some(row) = needed.min_by_key(|row| (row.class, row.arrival)) else {
            return;
        };
        let id = row.id;
        self.dequeue(id);
        match self.place(draft, id, draft.plan.prefill_budget, true) {
            Placed::Runs(tokens) => self.metrics.prefill_tokens_run += tokens as u64,
            _ => draft.taken.push(id),
        }
    }

    /// Gives a row blocks for at most `tokens` tokens and adds it to the plan.
    fn place(&mut self, draft: &mut Draft, id: RowId, tokens: usize, desperate: bool) -> Placed {
        let block_tokens = self.settings.block_tokens;
        let Ok(row) = self.row(id) else {
            return Placed::Done;
        };
        let (had_blocks, computed) = (!row.blocks.is_empty(), row.computed);
        self.take_cached(id);
        let Some(row) = self.row_mut(id) else {
            return Placed::Done;
        };
        let hits = row.computed - computed;
        if !row.is_ready() {
            self.metrics.cache_hit_tokens += hits as u64;
            self.pin_prefix(id);
            return Placed::Done;
        }
        if !desperate && row.shares(&draft.computing, block_tokens) {
            self.metrics.cache_hit_tokens += hits as u64;
            return Placed::Shares;
        }
        let end = row.computed + row.pending().min(tokens);
        let asker = Asker::new(row, desperate);
        let Some(room) = self.make_space(asker, end) else {
            if !had_blocks {
                // Not to sit on what it cannot use.
                self.unhold(id);
                self.drop_blocks(id);
            }
            return Placed::NoBlocks;
        };
        self.metrics.cache_hit_tokens += hits as u64;
        if let Some(copy) = room.copy {
            draft.plan.copies.push(copy);
            draft.sources.push(copy.from);
        }
        self.add(draft, id, room.end, room.copy.is_some())
    }

    fn add(&mut self, draft: &mut Draft, id: RowId, end: usize, copied: bool) -> Placed {
        let block_tokens = self.settings.block_tokens;
        let Some(row) = self.row_mut(id) else {
            return Placed::Done;
        };
        let start = row.computed;
        for index in start / block_tokens..end / block_tokens {
            if row.pending() > 1
                && let Some(hash) = row.hash(index, block_tokens)
            {
                draft.computing.insert(hash);
            }
        }
        let plan = &mut draft.plan;
        let (first_token, first_block) = (plan.tokens.len(), plan.blocks.len());
        plan.tokens.extend_from_slice(&row.tokens[start..end]);
        plan.blocks
            .extend_from_slice(&row.blocks[..end.div_ceil(block_tokens)]);
        plan.rows.push(PlannedRow {
            row: id,
            class: row.class,
            start,
            tokens: first_token..plan.tokens.len(),
            blocks: first_block..plan.blocks.len(),
            logits: row.logits_before(end),
        });
        row.flight = Some(Flight {
            start,
            valid: end,
            copied,
        });
        if row.class == Class::Speculative {
            row.ahead += end - start;
        }
        Placed::Runs(end - start)
    }
}

/// What is left of a step's prefill.
struct Left {
    tokens: usize,
    rows: usize,
}
