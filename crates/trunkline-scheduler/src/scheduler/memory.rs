//! Blocks for rows: from the prefix cache, by allocation, by copy on write, and at the cost of
//! less urgent rows.

use super::{Row, TokenScheduler};
use crate::{BlockCopy, BlockId, Class, RowId, ShedReason};

/// What a row got for the next step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// There is room for positions up to here.
    pub(super) end: usize,
    /// To do before the step.
    pub(super) copy: Option<BlockCopy>,
}

/// Who asks for blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    pub(super) row: RowId,
    class: Class,
    arrival: u64,
    is_open: bool,
    /// Whether it may take blocks of more urgent rows too: nothing could run otherwise.
    pub(super) desperate: bool,
}

impl Asker {
    pub(super) fn new(row: &Row, desperate: bool) -> Self {
        Self {
            row: row.id,
            class: row.class,
            arrival: row.arrival,
            is_open: row.open,
            desperate,
        }
    }

    /// Whose blocks to take first: speculative rows, then from the least urgent up. A row in
    /// need never takes from a more urgent class, a speculative one spares its own as long as it
    /// can. An open prompt, computed ahead of need, takes from speculative rows alone: it would
    /// else take in turns with a row that is needed.
    fn victims(&self) -> &'static [Class] {
        use Class::{Background, Playing, Speculative, TurnCritical};
        if self.is_open {
            &[Speculative]
        } else if self.class == Speculative {
            &[Background, Speculative, Playing, TurnCritical]
        } else {
            &[Speculative, Background, Playing, TurnCritical]
        }
    }
}

impl TokenScheduler {
    /// Takes blocks from the cache as long as the next ones are there. A block with a position
    /// whose logits are wanted has to be run.
    pub(super) fn take_cached(&mut self, id: RowId) {
        let block_tokens = self.settings.block_tokens;
        let Some(row) = self.rows.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        let was_empty = row.blocks.is_empty();
        while row.computed.is_multiple_of(block_tokens)
            && row.computed + block_tokens <= row.logits_from
        {
            let index = row.computed / block_tokens;
            let Some(hash) = row.hash(index, block_tokens) else {
                break;
            };
            let Some(block) = self.pool.lookup(hash) else {
                break;
            };
            self.pool.retain(block);
            row.blocks.push(block);
            row.computed += block_tokens;
            row.registered = row.blocks.len();
        }
        if was_empty {
            self.hold(id);
        }
    }

    /// Makes room for a row's positions from `computed` to `end`, or as many as there is room for.
    /// `None` when there is none.
    pub(super) fn make_space(&mut self, asker: Asker, end: usize) -> Option<Room> {
        let block_tokens = self.settings.block_tokens;
        let row = self.row(asker.row).ok()?;
        let (start, held) = (row.computed, row.blocks.len());
        let partial = row.blocks.get(start / block_tokens).copied();
        let fresh = end.div_ceil(block_tokens).saturating_sub(held);
        let (shared, copies, wanted) = loop {
            // Anew each time: whoever shared the block may be the one whose blocks were taken.
            let shared = partial.filter(|block| !self.pool.make_writable(*block));
            let copies = usize::from(shared.is_some());
            let wanted = fresh + copies;
            if self.pool.available() >= wanted {
                break (shared, copies, wanted);
            }
            match self.victim(asker) {
                Some(victim) => self.preempt(victim),
                None => break (shared, copies, wanted),
            }
        };
        let got = wanted.min(self.pool.available());
        let end = end.min((held + got.checked_sub(copies)?) * block_tokens);
        if end <= start {
            return None;
        }
        let copy = match shared {
            Some(from) => Some(self.copy_on_write(asker.row, from)?),
            None => None,
        };
        for _ in copies..got {
            let block = self.pool.allocate()?;
            self.row_mut(asker.row)?.blocks.push(block);
        }
        if held == 0 {
            self.hold(asker.row);
        }
        Some(Room { end, copy })
    }

    /// Replaces the shared block that a row is about to write to. The source stays referred to
    /// until the step is over.
    fn copy_on_write(&mut self, id: RowId, from: BlockId) -> Option<BlockCopy> {
        let block_tokens = self.settings.block_tokens;
        let to = self.pool.allocate()?;
        let row = self.row_mut(id)?;
        let index = row.computed / block_tokens;
        row.blocks[index] = to;
        row.registered = row.registered.min(index);
        Some(BlockCopy { from, to })
    }

    /// The row whose blocks go first; `None` when there is no less urgent one.
    ///
    /// Inside a class the latest arrival goes. Not the latest deadline: deadlines move with each
    /// token, and two rows would take each other's blocks in turn and both compute for nothing.
    fn victim(&mut self, asker: Asker) -> Option<RowId> {
        for class in asker.victims().iter().copied() {
            let from = if asker.desperate || class > asker.class {
                0
            } else if class == asker.class {
                asker.arrival + 1
            } else {
                continue;
            };
            let before = self.victims_before[class].max(from);
            let rows = self.holding[class].range(from..before);
            let victim = rows.rev().map(|(_, id)| *id).find(|id| {
                let in_flight = self.row(*id).is_ok_and(|row| row.flight.is_some());
                !in_flight && *id != asker.row
            });
            if victim.is_some() {
                return victim;
            }
            if !asker.desperate {
                // All of these are in the plan: nobody need look again.
                self.victims_before[class] = self.victims_before[class].min(from);
            }
        }
        None
    }

    /// Takes a row's blocks: a speculative one is given up, another is computed again later.
    fn preempt(&mut self, id: RowId) {
        let Ok(row) = self.row(id) else {
            return;
        };
        let (class, arrival) = (row.class, row.arrival);
        // Who arrived later holds nothing that could be taken in this plan.
        self.victims_before[class] = self.victims_before[class].min(arrival);
        if class == Class::Speculative {
            self.shed_row(id, ShedReason::OutOfBlocks);
            return;
        }
        self.metrics.preempted += 1;
        self.dequeue(id);
        self.unhold(id);
        self.drop_blocks(id);
        let now = self.now;
        if let Some(row) = self.row_mut(id) {
            row.since = now;
        }
        self.enqueue(id);
    }

    /// Takes all blocks from a row, which has then computed nothing.
    pub(super) fn drop_blocks(&mut self, id: RowId) {
        if let Some(row) = self.row_mut(id) {
            row.computed = 0;
            row.registered = 0;
            let in_flight = row.flight.is_some();
            let blocks = std::mem::take(&mut row.blocks);
            self.release(blocks, in_flight);
        }
    }

    /// Releases the blocks behind the last computed position of a row that is not in flight.
    pub(super) fn trim_blocks(&mut self, id: RowId) {
        let block_tokens = self.settings.block_tokens;
        let Some(row) = self.row_mut(id) else {
            return;
        };
        if row.flight.is_some() {
            return;
        }
        // A block that is not full any more is offered to the cache again when it is.
        row.registered = row.registered.min(row.computed / block_tokens);
        let kept = row.computed.div_ceil(block_tokens);
        if row.blocks.len() <= kept {
            return;
        }
        let blocks = row.blocks.split_off(kept);
        let is_empty = row.blocks.is_empty();
        self.release(blocks, false);
        if is_empty {
            self.unhold(id);
        }
    }

    fn release(&mut self, blocks: Vec<BlockId>, in_flight: bool) {
        match &mut self.in_flight {
            Some(flight) if in_flight => flight.blocks.extend(blocks),
            _ => {
                for block in blocks.into_iter().rev() {
                    self.pool.release(block);
                }
            }
        }
    }

    /// Lists a row among those that hold blocks, if it does.
    pub(super) fn hold(&mut self, id: RowId) {
        if let Ok(row) = self.row(id)
            && !row.blocks.is_empty()
        {
            let (class, arrival) = (row.class, row.arrival);
            self.holding[class].insert(arrival, id);
        }
    }

    pub(super) fn unhold(&mut self, id: RowId) {
        if let Ok(row) = self.row(id) {
            let (class, arrival) = (row.class, row.arrival);
            self.holding[class].remove(&arrival);
        }
    }
}
