//! The prefixes that a worker keeps: what one request computed serves the next that begins
//! alike, be it the same call's next turn or another call of the same workflow.

use super::network::Network;
use super::pool::{BLOCK_TOKENS, KvPool};
use super::rows::{Logits, Row};
use crate::NnError;

/// A kept prefix is extended in place when at most this much of its end is of no use. If more
/// would be lost, the shared part is copied, and both live on.
const LOSS: usize = 8;
/// A shared beginning below this length (a marker or two) is not worth a copy.
const WORTH_COPYING: usize = 16;

/// A sequence and where its keys and values are.
pub(super) struct Prefix {
    /// As many as are in its blocks.
    pub(super) tokens: Vec<u32>,
    pub(super) blocks: Vec<u32>,
    used: u64,
}

/// The kept prefixes, at most `limit`; the one unused for longest makes room.
pub(super) struct Prefixes {
    kept: Vec<Prefix>,
    pub(super) pool: KvPool,
    limit: usize,
    clock: u64,
}

impl Prefixes {
    pub(super) fn new(network: &Network, limit: usize) -> Result<Self, NnError> {
        let limit = limit.max(1);
        let blocks = network.config().context.div_ceil(BLOCK_TOKENS);
        // One more, for what is scored beside a prefix.
        let pool = network.new_pool(blocks * (limit + 1), BLOCK_TOKENS)?;
        let kept = (0..limit).map(|at| Prefix {
            tokens: Vec::new(),
            blocks: (at * blocks..(at + 1) * blocks)
                .map(|block| block as u32)
                .collect(),
            used: 0,
        });
        Ok(Self {
            kept: kept.collect(),
            pool,
            limit,
            clock: 0,
        })
    }

    /// Blocks that no prefix has.
    pub(super) fn spare(&self) -> Vec<u32> {
        let each = self.pool.blocks() / (self.limit + 1);
        (self.limit * each..self.pool.blocks())
            .map(|block| block as u32)
            .collect()
    }

    /// The prefix number `at`, and the pool.
    pub(super) fn at(&mut self, at: usize) -> (&mut Prefix, &mut KvPool) {
        (&mut self.kept[at], &mut self.pool)
    }

    /// A prefix that holds the beginning of `tokens`, as much as is known but never all: the
    /// last token has to be computed to say what follows it.
    pub(super) fn begin(&mut self, tokens: &[u32]) -> Result<usize, NnError> {
        self.clock += 1;
        let usable = &tokens[..tokens.len().saturating_sub(1)];
        let shared = self
            .kept
            .iter()
            .map(|prefix| common(&prefix.tokens, usable));
        let best = shared.zip(0..).max().unwrap_or_default();
        let at = match best {
            (shared, at) if shared > 0 && self.kept[at].tokens.len() - shared <= LOSS => {
                self.kept[at].tokens.truncate(shared);
                at
            }
            (shared, donor) if shared >= WORTH_COPYING => {
                let at = self.oldest();
                if at != donor {
                    for block in 0..shared.div_ceil(self.pool.block_tokens()) {
                        let (from, to) =
                            (self.kept[donor].blocks[block], self.kept[at].blocks[block]);
                        self.pool.copy_block(from, to)?;
                    }
                }
                self.kept[at].tokens = self.kept[donor].tokens[..shared].to_vec();
                at
            }
            _ => {
                let at = self.oldest();
                self.kept[at].tokens.clear();
                at
            }
        };
        self.kept[at].used = self.clock;
        Ok(at)
    }

    fn oldest(&self) -> usize {
        let oldest = self.kept.iter().enumerate().min_by_key(|(_, old)| old.used);
        oldest.map_or(0, |(at, _)| at)
    }
}

impl Prefix {
    /// Computes tokens after the known ones.
    pub(super) fn extend(
        &mut self,
        network: &Network,
        pool: &mut KvPool,
        tokens: &[u32],
    ) -> Result<Logits, NnError> {
        let row = Row {
            tokens,
            start: self.tokens.len(),
            blocks: &self.blocks,
            logits: 1,
        };
        let logits = network.step(pool, &[row])?;
        self.tokens.extend_from_slice(tokens);
        Ok(logits)
    }
}

/// Length of the common beginning.
fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
