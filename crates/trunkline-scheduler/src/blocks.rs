//! The pool of KV blocks: who holds which, and which full blocks the prefix cache can give again.
//!
//! It knows ids, counts and hashes; keys and values lie elsewhere. A block is free (holds
//! nothing), used (rows hold it), cached (only the cache knows it; the one released longest ago
//! is evicted first), or pinned (cached and never evicted).

use std::collections::BTreeMap;

use crate::BlockId;
use crate::hash::{BlockHash, HashMap};

#[derive(Debug, Clone, Copy, Default)]
struct Block {
    refs: u32,
    pins: u32,
    hash: Option<BlockHash>,
    /// The key in `evictable`, while it is there.
    released: u64,
}

/// All blocks of one model.
#[derive(Debug)]
pub(crate) struct BlockPool {
    blocks: Vec<Block>,
    free: Vec<BlockId>,
    /// Unreferenced cached blocks by the time of release.
    evictable: BTreeMap<u64, BlockId>,
    cached: HashMap<BlockId>,
    releases: u64,
    pinned: usize,
    /// Pinned blocks that nobody refers to.
    idle_pinned: usize,
}

impl BlockPool {
    pub(crate) fn new(blocks: u32) -> Self {
        Self {
            blocks: vec![Block::default(); blocks as usize],
            free: (0..blocks).rev().map(BlockId).collect(),
            evictable: BTreeMap::new(),
            cached: HashMap::default(),
            releases: 0,
            pinned: 0,
            idle_pinned: 0,
        }
    }

    /// Blocks that can be allocated now, by evicting where need be.
    pub(crate) fn available(&self) -> usize {
        self.free.len() + self.evictable.len()
    }

    pub(crate) fn free(&self) -> usize {
        self.free.len()
    }

    /// Blocks that hold cached content and no row refers to.
    pub(crate) fn idle(&self) -> usize {
        self.evictable.len() + self.idle_pinned
    }

    pub(crate) fn pinned(&self) -> usize {
        self.pinned
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// A block that holds nothing of use, referred to once.
    pub(crate) fn allocate(&mut self) -> Option<BlockId> {
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                let (_, id) = self.evictable.pop_first()?;
                if let Some(hash) = self.block_mut(id).hash.take() {
                    self.cached.remove(&hash);
                }
                id
            }
        };
        self.block_mut(id).refs = 1;
        Some(id)
    }

    /// One more reference.
    pub(crate) fn retain(&mut self, id: BlockId) {
        let block = &mut self.blocks[id.0 as usize];
        block.refs += 1;
        if block.refs == 1 {
            if block.pins > 0 {
                self.idle_pinned -= 1;
            } else {
                self.evictable.remove(&block.released);
            }
        }
    }

    /// One reference less. Release a row's last block first, so that its beginning, which others
    /// are likelier to share, stays longest.
    pub(crate) fn release(&mut self, id: BlockId) {
        let block = self.block_mut(id);
        block.refs -= 1;
        if block.refs == 0 {
            self.rest(id);
        }
    }

    /// Finds a place for a block that nobody refers to.
    fn rest(&mut self, id: BlockId) {
        let block = &mut self.blocks[id.0 as usize];
        if block.hash.is_none() {
            self.free.push(id);
        } else if block.pins > 0 {
            self.idle_pinned += 1;
        } else {
            block.released = self.releases;
            self.evictable.insert(self.releases, id);
            self.releases += 1;
        }
    }

    /// The block with this content.
    pub(crate) fn lookup(&self, hash: BlockHash) -> Option<BlockId> {
        self.cached.get(&hash).copied()
    }

    /// Makes a full block findable, unless its content already is in another one.
    pub(crate) fn register(&mut self, id: BlockId, hash: BlockHash) {
        if self.block(id).hash.is_none() && !self.cached.contains_key(&hash) {
            self.block_mut(id).hash = Some(hash);
            self.cached.insert(hash, id);
        }
    }

    /// Whether the one row that holds it may write to it. Its content is then not findable any more.
    pub(crate) fn make_writable(&mut self, id: BlockId) -> bool {
        let block = self.block(id);
        if block.refs != 1 || block.pins > 0 {
            return false;
        }
        if let Some(hash) = self.block_mut(id).hash.take() {
            self.cached.remove(&hash);
        }
        true
    }

    /// Keeps a cached block until it is unpinned as often as it was pinned.
    pub(crate) fn pin(&mut self, id: BlockId) {
        let block = &mut self.blocks[id.0 as usize];
        block.pins += 1;
        if block.pins == 1 {
            self.pinned += 1;
            if block.refs == 0 {
                self.evictable.remove(&block.released);
                self.idle_pinned += 1;
            }
        }
    }

    pub(crate) fn unpin(&mut self, id: BlockId) {
        let block = self.block_mut(id);
        block.pins -= 1;
        if block.pins == 0 {
            let unused = block.refs == 0;
            self.pinned -= 1;
            if unused {
                self.idle_pinned -= 1;
                self.rest(id);
            }
        }
    }

    pub(crate) fn is_pinned(&self, id: BlockId) -> bool {
        self.block(id).pins > 0
    }

    fn block(&self, id: BlockId) -> &Block {
        &self.blocks[id.0 as usize]
    }

    fn block_mut(&mut self, id: BlockId) -> &mut Block {
        &mut self.blocks[id.0 as usize]
    }
}

#[cfg(test)]
impl BlockPool {
    /// Panics unless the references are these and each block is in exactly one place.
    pub(crate) fn check(&self, refs: &BTreeMap<BlockId, u32>) {
        let mut idle_pinned = 0;
        for (index, block) in self.blocks.iter().enumerate() {
            let id = BlockId(u32::try_from(index).unwrap());
            assert_eq!(block.refs, refs.get(&id).copied().unwrap_or(0), "{id:?}");
            let free = self.free.iter().filter(|free| **free == id).count();
            let evictable = self
                .evictable
                .values()
                .filter(|other| **other == id)
                .count();
            let idle = block.refs == 0;
            assert_eq!(free, usize::from(idle && block.hash.is_none()));
            assert_eq!(
                evictable,
                usize::from(idle && block.hash.is_some() && block.pins == 0)
            );
            idle_pinned += usize::from(idle && block.pins > 0);
            if let Some(hash) = block.hash {
                assert_eq!(self.lookup(hash), Some(id));
            } else {
                assert_eq!(block.pins, 0);
            }
        }
        assert_eq!(self.idle_pinned, idle_pinned);
        let pinned = self.blocks.iter().filter(|block| block.pins > 0).count();
        assert_eq!(self.pinned, pinned);
        let named = self.blocks.iter().filter(|block| block.hash.is_some());
        assert_eq!(self.cached.len(), named.count());
    }
}
