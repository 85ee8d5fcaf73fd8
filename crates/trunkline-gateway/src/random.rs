//! Tokens that nobody can guess: tags, branches, nonces.

use std::fmt::Write as _;

use trunkline_types::{CallId, Timestamp};

/// Random bytes of the operating system. If it has none, the time stands in: tags stay unique
/// enough for signalling, and a machine without randomness has larger troubles.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        let clock = now().as_micros().to_le_bytes();
        for (byte, tick) in bytes.iter_mut().zip(clock.iter().cycle()) {
            *byte = *tick;
        }
    }
    bytes
}

/// A token of hexadecimal digits, 64 bits.
pub(crate) fn token() -> String {
    hex(&bytes::<8>())
}

/// A Via branch (RFC 3261 section 8.1.1.7).
pub(crate) fn branch() -> String {
    format!("z9hG4bK{}", hex(&bytes::<10>()))
}

/// A fraction between 0 and 1.
pub(crate) fn fraction() -> f64 {
    f64::from(u32::from_le_bytes(bytes())) / f64::from(u32::MAX)
}

/// A new call id.
pub(crate) fn call_id() -> CallId {
    CallId::new(now(), bytes())
}

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
