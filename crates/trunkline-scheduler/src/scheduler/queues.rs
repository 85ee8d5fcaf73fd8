//! Where rows stand in line, and that they stand in one place.

use super::{Queued, Row, RowId, Shed, ShedReason, TokenScheduler};
use crate::Class;

impl TokenScheduler {
    /// Puts a new row in its place.
    pub(super) fn adopt(&mut self, row: Row) {
        let id = row.id;
        let origin = row.origin;
        self.by_call
            .entry((origin.call, origin.epoch))
            .or_default()
            .push(id);
        if let Some(place) = self.rows.get_mut(id.index()) {
            *place = Some(row);
        }
        self.hold(id);
        self.enqueue(id);
    }

    /// Takes a row out of everything; its blocks go when nothing in flight uses them.
    pub(super) fn remove(&mut self, id: RowId) {
        self.dequeue(id);
        self.unhold(id);
        self.drop_blocks(id);
        let Some(row) = self.rows.get_mut(id.index()).and_then(Option::take) else {
            return;
        };
        let key = (row.origin.call, row.origin.epoch);
        if let Some(rows) = self.by_call.get_mut(&key) {
            rows.retain(|other| *other != id);
            if rows.is_empty() {
                self.by_call.remove(&key);
            }
        }
        let released = self.ids.release(id.0);
        debug_assert!(released.is_ok(), "a row's id is claimed while it lives");
    }

    /// Removes a row whose work was in vain.
    pub(super) fn discard(&mut self, id: RowId) {
        if let Ok(row) = self.row(id)
            && row.class == Class::Speculative
        {
            self.metrics.wasted_speculative_tokens += row.ahead as u64;
        }
        self.remove(id);
    }

    pub(super) fn shed_row(&mut self, id: RowId, reason: ShedReason) {
        let Ok(row) = self.row(id) else {
            return;
        };
        let (class, origin) = (row.class, row.origin);
        self.shed.push(Shed {
            row: id,
            origin,
            reason,
        });
        self.metrics.shed[class] += 1;
        self.discard(id);
    }

    /// Puts a row in line, if it has something to run and is not in flight.
    pub(super) fn enqueue(&mut self, id: RowId) {
        let Some(row) = self.row(id).ok() else {
            return;
        };
        if row.flight.is_some() || row.queued != Queued::No || !row.is_ready() {
            return;
        }
        let (class, tenant, since) = (row.class, row.origin.tenant, row.since);
        let arrival = row.arrival;
        let queued = if row.is_decode(self.settings.max_decode_tokens) {
            self.decode[class].push(id);
            Queued::Decode(self.decode[class].len() - 1)
        } else {
            let key = row.key(self.settings.patience[class]);
            let waiting = row.blocks.is_empty().then_some(row.pending());
            self.prefill[class].insert(tenant, key, id);
            if let Some(tokens) = waiting {
                self.waiting[class].insert((since, arrival), id);
                self.waiting_tokens[class] += tokens;
            }
            Queued::Prefill { key, waiting }
        };
        if let Some(row) = self.row_mut(id) {
            row.queued = queued;
        }
    }

    /// Takes a row out of line, wherever it stands.
    pub(super) fn dequeue(&mut self, id: RowId) {
        let Some(row) = self.row_mut(id) else {
            return;
        };
        let queued = std::mem::replace(&mut row.queued, Queued::No);
        let (class, tenant) = (row.class, row.origin.tenant);
        let wait = (row.since, row.arrival);
        match queued {
            Queued::No => {}
            Queued::Decode(place) => {
                self.decode[class].swap_remove(place);
                if let Some(moved) = self.decode[class].get(place).copied()
                    && let Some(moved) = self.row_mut(moved)
                {
                    moved.queued = Queued::Decode(place);
                }
            }
            Queued::Prefill { key, waiting } => {
                self.prefill[class].remove(tenant, key);
                self.stop_waiting(class, wait, waiting);
            }
            Queued::Taken => self.prefill[class].done(tenant),
        }
    }

    /// The first of a class's prefill queue, out of line until [`put_back`](Self::put_back).
    pub(super) fn take_prefill(&mut self, class: Class) -> Option<RowId> {
        let id = self.prefill[class].take()?.item;
        let row = self.row_mut(id)?;
        let queued = std::mem::replace(&mut row.queued, Queued::Taken);
        let wait = (row.since, row.arrival);
        if let Queued::Prefill { waiting, .. } = queued {
            self.stop_waiting(class, wait, waiting);
        }
        Some(id)
    }

    /// Puts a row back in line that was out of it for a plan.
    pub(super) fn put_back(&mut self, id: RowId) {
        let Some(row) = self.row_mut(id) else {
            return;
        };
        let (class, tenant) = (row.class, row.origin.tenant);
        let was_taken = row.queued == Queued::Taken;
        if was_taken {
            row.queued = Queued::No;
        }
        // In line first, so that its tenant counts as waiting throughout.
        self.enqueue(id);
        if was_taken {
            self.prefill[class].done(tenant);
        }
    }

    fn stop_waiting(
        &mut self,
        class: Class,
        wait: (std::time::Duration, u64),
        waiting: Option<usize>,
    ) {
        if let Some(tokens) = waiting {
            self.waiting[class].remove(&wait);
            self.waiting_tokens[class] -= tokens;
        }
    }
}
