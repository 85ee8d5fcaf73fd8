//! The name of a block's content: a hash of everything from the beginning of the row to the end
//! of the block.
//!
//! SHA-256, cut to 128 bits. Requests come from strangers over HTTP, so the hash must withstand
//! someone who looks for a collision to read another tenant's cache; no tokens are compared
//! afterwards.

use std::hash::{BuildHasherDefault, DefaultHasher};

use sha2::{Digest as _, Sha256};

use crate::{Salt, Token};

/// The hash of a full block and all blocks before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BlockHash(u128);

/// A map whose behaviour is the same in each run.
pub(crate) type HashMap<V> =
    std::collections::HashMap<BlockHash, V, BuildHasherDefault<DefaultHasher>>;

impl BlockHash {
    /// The hash of a row's first block.
    pub(crate) fn first(salt: Salt, tokens: &[Token]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update([0]);
        hasher.update(salt.0.to_le_bytes());
        Self::finish(hasher, tokens)
    }

    /// The hash of the block that follows this one.
    pub(crate) fn next(self, tokens: &[Token]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update([1]);
        hasher.update(self.0.to_le_bytes());
        Self::finish(hasher, tokens)
    }

    fn finish(mut hasher: Sha256, tokens: &[Token]) -> Self {
        for token in tokens {
            hasher.update(token.to_le_bytes());
        }
        let mut half = [0; 16];
        half.copy_from_slice(&hasher.finalize()[..16]);
        Self(u128::from_le_bytes(half))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salt_parent_tokens_and_their_order_all_count() {
        let first = BlockHash::first(Salt(1), &[1, 2]);
        assert_eq!(first, BlockHash::first(Salt(1), &[1, 2]));
        assert_ne!(first, BlockHash::first(Salt(2), &[1, 2]));
        assert_ne!(first, BlockHash::first(Salt(1), &[2, 1]));
        let other = BlockHash::first(Salt(1), &[3, 4]);
        assert_ne!(first.next(&[5, 6]), other.next(&[5, 6]));
        assert_ne!(first.next(&[1, 2]), first);
    }
}
