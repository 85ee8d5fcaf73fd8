//! The random numbers that a stream begins with (RFC 3550 sections 5.1 and 8.1).

use std::hash::{BuildHasher, RandomState};

use trunkline_rtp::StreamIdentity;

/// A stream that nobody can guess and that is unlike the last one on the same port.
pub(crate) fn random_identity() -> StreamIdentity {
    let (first, second) = (random(), random());
    StreamIdentity {
        ssrc: (first >> 32) as u32,
        sequence: (first & 0xffff) as u16,
        timestamp: (second >> 32) as u32,
    }
}

/// 64 bits from the keys that the standard library draws from the operating system for its hash
/// maps, so that no random number crate is needed for a few bytes a call.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ() {
        assert_ne!(random_identity(), random_identity());
    }
}
