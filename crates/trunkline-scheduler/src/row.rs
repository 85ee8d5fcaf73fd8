//! One row: its tokens, how far they are computed, and where their keys and values lie.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::fair::Key;
use crate::hash::BlockHash;
use crate::{BlockId, Class, Due, Origin, RowId, Salt, Token};

/// `logits_from` of a row that wants none.
pub(crate) const NO_LOGITS: usize = usize::MAX;

/// Where a row stands in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queued {
    /// Nowhere: nothing to run, or decode in flight.
    No,
    /// At this place of its class's decode list.
    Decode(usize),
    /// In its class's prefill queue. `waiting` has the tokens counted as waiting, for a row
    /// without blocks.
    Prefill { key: Key, waiting: Option<usize> },
    /// Taken from the prefill queue by the plan in the making or in flight.
    Taken,
}

/// What of the row is in flight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flight {
    pub(crate) start: usize,
    /// Positions before this one are right when the step completes.
    pub(crate) valid: usize,
    /// The first block of the range is the target of a copy.
    pub(crate) copied: bool,
}

#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: RowId,
    /// Counts arrivals.
    pub(crate) arrival: u64,
    pub(crate) origin: Origin,
    pub(crate) class: Class,
    pub(crate) due: Due,
    /// When it last got something to do.
    pub(crate) since: Duration,
    pub(crate) tokens: Vec<Token>,
    pub(crate) prompt_len: usize,
    pub(crate) max_new_tokens: usize,
    /// Positions whose keys and values are in the blocks.
    pub(crate) computed: usize,
    pub(crate) blocks: Vec<BlockId>,
    pub(crate) cache: Option<Salt>,
    /// Of the full blocks, as far as they were needed.
    pub(crate) hashes: Vec<BlockHash>,
    /// So many blocks at the beginning were offered to the cache.
    pub(crate) registered: usize,
    pub(crate) pinned_prefix: usize,
    /// Logits of positions from here on are wanted.
    pub(crate) logits_from: usize,
    pub(crate) open: bool,
    pub(crate) flight: Option<Flight>,
    pub(crate) queued: Queued,
    /// Times that it was chosen to decode when not all could be.
    pub(crate) turns: u64,
    /// Tokens run while speculative.
    pub(crate) ahead: usize,
}

impl Row {
    /// Tokens to run.
    pub(crate) fn pending(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// Whether there is something to run, and a use for it.
    pub(crate) fn is_ready(&self) -> bool {
        self.pending() > 0 && (self.open || self.logits_from != NO_LOGITS)
    }

    /// Whether it runs whole beside the prefill budget.
    pub(crate) fn is_decode(&self, max_decode_tokens: usize) -> bool {
        !self.open && self.computed >= self.prompt_len && self.pending() <= max_decode_tokens
    }

    /// Deadline and arrival, with the deadline kept within the class's patience.
    pub(crate) fn key(&self, patience: Duration) -> Key {
        let latest = self.since.saturating_add(patience);
        (self.due.at.clamp(self.since, latest), self.arrival)
    }

    /// The hash of full block `index`; `None` when the row keeps out of the cache or the block is
    /// not full.
    pub(crate) fn hash(&mut self, index: usize, block_tokens: usize) -> Option<BlockHash> {
        let salt = self.cache?;
        while self.hashes.len() <= index {
            let start = self.hashes.len() * block_tokens;
            let tokens = self.tokens.get(start..start + block_tokens)?;
            self.hashes.push(match self.hashes.last() {
                Some(parent) => parent.next(tokens),
                None => BlockHash::first(salt, tokens),
            });
        }
        Some(self.hashes[index])
    }

    /// Logits wanted of the last tokens before `end`.
    pub(crate) fn logits_before(&self, end: usize) -> usize {
        end.saturating_sub(self.logits_from.max(self.computed))
    }

    /// The logits before `end` were given out.
    pub(crate) fn logits_seen(&mut self, end: usize) {
        if self.logits_from < end {
            self.logits_from = if end < self.tokens.len() {
                end
            } else {
                NO_LOGITS
            };
        }
    }

    /// Whether the block that it would compute next is being computed by another row, so that
    /// it will find it in the cache after this step.
    pub(crate) fn shares(&mut self, computing: &BTreeSet<BlockHash>, block_tokens: usize) -> bool {
        !computing.is_empty()
            && self.computed.is_multiple_of(block_tokens)
            && self.computed + block_tokens <= self.logits_from
            && self
                .hash(self.computed / block_tokens, block_tokens)
                .is_some_and(|hash| computing.contains(&hash))
    }

    /// Positions from `to` on that were run and still count, in flight or not.
    pub(crate) fn ran_beyond(&self, to: usize) -> usize {
        let end = self.flight.map_or(self.computed, |flight| flight.valid);
        end.max(self.computed).saturating_sub(to)
    }

    /// Nothing from position `to` on counts as computed, nor will when a step completes.
    pub(crate) fn keep_computed(&mut self, to: usize) {
        self.computed = self.computed.min(to);
        if let Some(flight) = &mut self.flight {
            flight.valid = flight.valid.min(to);
        }
    }

    /// A row with the same tokens that shares the blocks as far as they are computed.
    pub(crate) fn fork(&self, id: RowId, arrival: u64, block_tokens: usize) -> Self {
        let computed = match self.flight {
            // The copy in the last block is not made before the step has succeeded.
            Some(Flight { copied: true, .. }) => self.computed / block_tokens * block_tokens,
            _ => self.computed,
        };
        let blocks = computed.div_ceil(block_tokens);
        Self {
            id,
            arrival,
            origin: self.origin,
            class: self.class,
            due: self.due,
            since: self.since,
            tokens: self.tokens.clone(),
            prompt_len: self.prompt_len,
            max_new_tokens: self.max_new_tokens,
            computed,
            blocks: self.blocks[..blocks].to_vec(),
            cache: self.cache,
            hashes: self.hashes.clone(),
            registered: self.registered.min(blocks),
            pinned_prefix: 0,
            logits_from: self.logits_from,
            open: self.open,
            flight: None,
            queued: Queued::No,
            turns: self.turns,
            ahead: 0,
        }
    }
}
