//! Time as values: the wall clock in microseconds, and time inside a call.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The beat of the media wheel: one frame of audio each way.
pub const TICK: Duration = Duration::from_millis(20);

/// Microseconds since 1970-01-01T00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From microseconds since the Unix epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }
}

/// Time since a call's media began, in microseconds. The media wheel advances it by [`TICK`]
/// each frame, so it is the same on replay.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct CallTime(u64);

impl CallTime {
    /// The moment that the media began.
    pub const ZERO: Self = Self(0);

    /// From microseconds since the media began.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// From milliseconds since the media began.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1000)
    }

    /// Microseconds since the media began.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Milliseconds since the media began, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1000
    }

    /// The time between, or zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for CallTime {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub<Duration> for CallTime {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

impl fmt::Display for CallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.as_millis();
        write!(
            f,
            "{:02}:{:02}.{:03}",
            millis / 60_000,
            millis / 1000 % 60,
            millis % 1000
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_time_prints_minutes_seconds_millis() {
        assert_eq!(CallTime::from_millis(61_020).to_string(), "01:01.020");
    }

    #[test]
    fn going_back_before_the_start_stays_at_the_start() {
        assert_eq!(
            CallTime::from_millis(5) - Duration::from_secs(1),
            CallTime::ZERO
        );
        assert_eq!(
            CallTime::ZERO.since(CallTime::from_millis(1)),
            Duration::ZERO
        );
    }
}
