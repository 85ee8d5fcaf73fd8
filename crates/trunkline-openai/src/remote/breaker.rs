//! When to leave an endpoint alone: a circuit breaker (Nygard, Release It!, 2007).
//!
//! No clock: time is what the caller says it is, counted from any fixed moment.

use std::time::Duration;

/// Failures in a row after which an endpoint is left alone.
const PATIENCE: u32 = 3;
/// How long at first; doubled each time that it still fails.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// What an endpoint's answers so far say about the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It works, but for so many failures in a row.
    Closed { failures: u32 },
    /// It is left alone until then, having rested so long.
    Open { until: Duration, rest: Duration },
    /// One request tries whether it works again.
    Probing { rest: Duration },
}

/// The breaker of one endpoint.
#[derive(Debug, Clone)]
pub(super) struct Breaker(State);

impl Default for Breaker {
    fn default() -> Self {
        Self(State::Closed { failures: 0 })
    }
}

impl Breaker {
    /// Whether a request may go there now.
    pub(super) fn allows(&self, now: Duration) -> bool {
        match self.0 {
            State::Closed { .. } => true,
            State::Open { until, .. } => now >= until,
            State::Probing { .. } => false,
        }
    }

    /// When it is worth asking again, where that is known.
    pub(super) fn opens_at(&self) -> Option<Duration> {
        match self.0 {
            State::Open { until, .. } => Some(until),
            State::Closed { .. } | State::Probing { .. } => None,
        }
    }

    /// A request goes there. After a rest it is the one that tries.
    pub(super) fn begin(&mut self) {
        if let State::Open { rest, .. } = self.0 {
            self.0 = State::Probing { rest };
        }
    }

    /// It answered.
    pub(super) fn succeed(&mut self) {
        self.0 = State::Closed { failures: 0 };
    }

    /// It did not answer, or said that it is broken.
    pub(super) fn fail(&mut self, now: Duration) {
        let open = |rest: Duration| State::Open {
            until: now + rest,
            rest,
        };
        self.0 = match self.0 {
            State::Closed { failures } if failures + 1 < PATIENCE => State::Closed {
                failures: failures + 1,
            },
            State::Closed { .. } => open(FIRST_REST),
            State::Probing { rest } => open((rest * 2).min(LONGEST_REST)),
            // An answer to a request from before the rest began.
            State::Open { .. } => self.0,
        };
    }

    /// The request that went there was given up; it says nothing about the endpoint.
    pub(super) fn abandon(&mut self, now: Duration) {
        if let State::Probing { rest } = self.0 {
            self.0 = State::Open { until: now, rest };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn three_failures_in_a_row_open_it_and_one_answer_closes_it() {
        let mut breaker = Breaker::default();
        for _ in 0..2 {
            breaker.fail(s(0));
        }
        breaker.succeed();
        for _ in 0..2 {
            breaker.fail(s(0));
            assert!(breaker.allows(s(0)));
        }
        breaker.fail(s(10));
        assert!(!breaker.allows(s(10)));
        assert!(breaker.allows(s(11)));
        breaker.begin();
        breaker.succeed();
        assert!(breaker.allows(s(11)));
    }

    #[test]
    fn one_request_tries_at_a_time_and_the_rest_doubles() {
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            breaker.fail(s(0));
        }
        for (at, rest) in [(1, 2), (3, 4), (7, 8)] {
            assert!(breaker.allows(s(at)));
            breaker.begin();
            assert!(!breaker.allows(s(at)), "two try at once");
            breaker.fail(s(at));
            assert_eq!(breaker.opens_at(), Some(s(at + rest)));
        }
    }

    #[test]
    fn a_try_that_was_given_up_lets_the_next_one_try() {
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            breaker.fail(s(0));
        }
        breaker.begin();
        breaker.abandon(s(5));
        assert!(breaker.allows(s(5)));
    }

    proptest! {
        #[test]
        fn an_endpoint_is_never_left_alone_for_longer_than_a_minute(
            steps in prop::collection::vec(0_u8..4, 0..200),
        ) {
            let mut breaker = Breaker::default();
            let mut now = Duration::ZERO;
            for step in steps {
                match step {
                    0 if breaker.allows(now) => breaker.begin(),
                    1 => breaker.fail(now),
                    2 => breaker.abandon(now),
                    _ => now += s(7),
                }
                if let Some(at) = breaker.opens_at() {
                    prop_assert!(at <= now + LONGEST_REST);
                }
            }
        }
    }
}
