//! Prefixes that stay in the cache: the system prompt and the tools of a workflow.
//!
//! Pins share a limit, so that they can never take the whole pool; beyond it the one used
//! longest ago is loosened and becomes an ordinary cached prefix.

use std::collections::BTreeMap;

use super::TokenScheduler;
use crate::blocks::BlockPool;
use crate::hash::BlockHash;
use crate::{BlockId, RowId, Salt};

#[derive(Debug)]
struct Pin {
    salt: Salt,
    blocks: Vec<BlockId>,
    used: u64,
}

/// The pinned prefixes by the hash of their last block.
#[derive(Debug)]
pub(super) struct Pins {
    limit: usize,
    pins: BTreeMap<BlockHash, Pin>,
    /// By last use.
    by_use: BTreeMap<u64, BlockHash>,
    uses: u64,
}

impl Pins {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            pins: BTreeMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
        }
    }

    /// Notes that a pin was used; `false` when there is none.
    fn touch(&mut self, hash: BlockHash) -> bool {
        let Some(pin) = self.pins.get_mut(&hash) else {
            return false;
        };
        self.by_use.remove(&pin.used);
        pin.used = self.uses;
        self.by_use.insert(self.uses, hash);
        self.uses += 1;
        true
    }

    fn loosen(&mut self, hash: BlockHash, pool: &mut BlockPool) {
        let Some(pin) = self.pins.remove(&hash) else {
            return;
        };
        self.by_use.remove(&pin.used);
        for block in pin.blocks.iter().rev() {
            pool.unpin(*block);
        }
    }

    /// Pins cached blocks, when that is possible within the limit.
    fn add(&mut self, hash: BlockHash, salt: Salt, blocks: Vec<BlockId>, pool: &mut BlockPool) {
        if blocks.len() > self.limit {
            return;
        }
        let fresh = |pool: &BlockPool| {
            let fresh = blocks.iter().filter(|block| !pool.is_pinned(**block));
            fresh.count()
        };
        while pool.pinned() + fresh(pool) > self.limit {
            let Some((_, oldest)) = self.by_use.first_key_value() else {
                return;
            };
            let oldest = *oldest;
            self.loosen(oldest, pool);
        }
        for block in &blocks {
            pool.pin(*block);
        }
        let used = self.uses;
        self.uses += 1;
        self.by_use.insert(used, hash);
        self.pins.insert(hash, Pin { salt, blocks, used });
    }
}

impl TokenScheduler {
    /// Loosens all pinned prefixes of a salt: its model or workflow is gone. Returns how many.
    pub fn unpin(&mut self, salt: Salt) -> usize {
        let pins = self.pins.pins.iter();
        let of_salt: Vec<BlockHash> = pins
            .filter(|(_, pin)| pin.salt == salt)
            .map(|(hash, _)| *hash)
            .collect();
        for hash in &of_salt {
            self.pins.loosen(*hash, &mut self.pool);
        }
        of_salt.len()
    }

    /// Pins the beginning of a row as soon as it is computed.
    pub(super) fn pin_prefix(&mut self, id: RowId) {
        let block_tokens = self.settings.block_tokens;
        let Some(row) = self.row_mut(id) else {
            return;
        };
        let blocks = row.pinned_prefix / block_tokens;
        let Some(salt) = row.cache.filter(|_| blocks > 0) else {
            return;
        };
        if row.pinned_prefix > row.prompt_len {
            return;
        }
        if row.computed < blocks * block_tokens {
            return;
        }
        row.pinned_prefix = 0;
        // All are full, so all hashes are there.
        let hashes: Vec<BlockHash> = (0..blocks)
            .map_while(|index| row.hash(index, block_tokens))
            .collect();
        let Some(last) = hashes.last().copied().filter(|_| hashes.len() == blocks) else {
            return;
        };
        if self.pins.touch(last) {
            return;
        }
        let cached: Option<Vec<BlockId>> =
            hashes.iter().map(|hash| self.pool.lookup(*hash)).collect();
        if let Some(cached) = cached {
            self.pins.add(last, salt, cached, &mut self.pool);
        }
    }
}
