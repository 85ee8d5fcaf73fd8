//! The prefixes that a worker keeps: what one request computed serves the next that begins
//! alike, be it the same call's next turn or another call of the same workflow.

use super::cache::Cache;
use super::network::Network;
use crate::NnError;

/// A kept prefix is extended in place when at most this much of its end is of no use. If more
/// would be lost, the shared part is copied, and both live on.
const LOSS: usize = 8;
/// A shared beginning below this length (a marker or two) is not worth a copy.
const WORTH_COPYING: usize = 16;

/// A sequence and its keys and values.
pub(super) struct Prefix {
    /// As many as are in the cache.
    pub(super) tokens: Vec<u32>,
    pub(super) cache: Cache,
    used: u64,
}

impl Prefix {
    /// Forgets what comes after the first `length` tokens.
    pub(super) fn truncate(&mut self, length: usize) {
        self.tokens.truncate(length);
        self.cache.truncate(length);
    }
}

/// The kept prefixes, at most `limit`; the one unused for longest makes room.
pub(super) struct Prefixes {
    kept: Vec<Prefix>,
    limit: usize,
    clock: u64,
}

impl Prefixes {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            kept: Vec::new(),
            limit: limit.max(1),
            clock: 0,
        }
    }

    /// A prefix that holds the beginning of `tokens`, as much as is known but never all: the
    /// last token has to be computed to say what follows it.
    pub(super) fn begin(
        &mut self,
        network: &Network,
        tokens: &[u32],
    ) -> Result<&mut Prefix, NnError> {
        self.clock += 1;
        let usable = &tokens[..tokens.len().saturating_sub(1)];
        let best = self
            .kept
            .iter()
            .enumerate()
            .map(|(at, prefix)| (common(&prefix.tokens, usable), at))
            .max();
        let at = match best {
            Some((shared, at)) if self.kept[at].tokens.len() - shared <= LOSS => {
                self.kept[at].truncate(shared);
                at
            }
            Some((shared, at)) if shared >= WORTH_COPYING => {
                let donor = &self.kept[at];
                let copy = Prefix {
                    tokens: donor.tokens[..shared].to_vec(),
                    cache: donor.cache.fork(shared)?,
                    used: 0,
                };
                self.push(copy)
            }
            _ => self.push(Prefix {
                tokens: Vec::new(),
                cache: network.new_cache()?,
                used: 0,
            }),
        };
        let prefix = &mut self.kept[at];
        prefix.used = self.clock;
        Ok(prefix)
    }

    fn push(&mut self, prefix: Prefix) -> usize {
        if self.kept.len() < self.limit {
            self.kept.push(prefix);
            return self.kept.len() - 1;
        }
        let oldest = self.kept.iter().enumerate().min_by_key(|(_, old)| old.used);
        let at = oldest.map_or(0, |(at, _)| at);
        self.kept[at] = prefix;
        at
    }
}

/// Length of the common beginning.
fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
