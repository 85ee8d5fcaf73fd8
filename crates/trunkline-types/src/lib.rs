//! Words that every room of the house shares: identifiers, call time, dialled
//! numbers, secrets, end reasons.
//!
//! Pure by rule: no I/O, no clock, no randomness. Where an identifier is born,
//! the caller passes the time and the random bytes.
#![forbid(unsafe_code)]

mod digit;
mod end;
mod id;
mod number;
mod secret;
mod time;

pub use digit::{Digit, InvalidDigit};
pub use end::{CallDirection, EndReason, Outcome, Party};
pub use id::{CallId, InvalidId, UtteranceId};
pub use number::{DialledNumber, InvalidNumber};
pub use secret::Secret;
pub use time::{CallTime, TICK, Timestamp};
