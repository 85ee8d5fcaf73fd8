//! Session timers (RFC 4028): finding out that the far end is gone although nobody said BYE.
//!
//! Pure: the time is an argument.

use std::time::{Duration, Instant};

use crate::wire::{Headers, parameter};

/// Which side has to refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refresher {
    /// We do.
    Us,
    /// The far end does.
    Peer,
}

/// What we want of sessions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// The interval that we propose.
    pub(crate) interval: Duration,
    /// The least that we accept.
    pub(crate) least: Duration,
}

/// What a request's session headers come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Negotiated {
    /// Refuse with 422 and this Min-SE in seconds.
    TooShort(u64),
    /// The session has a timer.
    On {
        /// The interval.
        interval: Duration,
        /// Who refreshes.
        refresher: Refresher,
        /// The Session-Expires value of our 2xx.
        header: String,
        /// Whether our 2xx must say `Require: timer`, because the requester refreshes.
        require: bool,
    },
}

/// Decides as the answering side, for an INVITE or UPDATE.
pub(crate) fn negotiate_as_server(request: &Headers, terms: Terms) -> Negotiated {
    let supports = request.has_option("Supported", "timer");
    let asked = request.get("Session-Expires").and_then(seconds);
    let min_se = request.get("Min-SE").and_then(seconds).unwrap_or(0);
    let least = terms.least.as_secs();
    if supports && asked.is_some_and(|asked| asked < least) {
        return Negotiated::TooShort(least);
    }
    // We may shorten what was asked, but not below what both sides hold to be the least.
    let ours = terms.interval.as_secs();
    let interval = asked
        .map_or(ours, |asked| asked.min(ours))
        .max(min_se)
        .max(least);
    let wished = request
        .get("Session-Expires")
        .and_then(|value| parameter(value, "refresher"));
    let (refresher, name) = match wished.as_deref() {
        // One who does not know timers will not refresh.
        _ if !supports => (Refresher::Us, "uas"),
        Some(side) if side.eq_ignore_ascii_case("uas") => (Refresher::Us, "uas"),
        _ => (Refresher::Peer, "uac"),
    };
    Negotiated::On {
        interval: Duration::from_secs(interval),
        refresher,
        header: format!("{interval};refresher={name}"),
        require: refresher == Refresher::Peer,
    }
}

/// Decides as the asking side, from the headers of the 2xx. `None` when the far end wants no
/// timer.
pub(crate) fn settle_as_client(response: &Headers) -> Option<(Duration, Refresher)> {
    let value = response.get("Session-Expires")?;
    let interval = seconds(value)?;
    let refresher = match parameter(value, "refresher") {
        Some(side) if side.eq_ignore_ascii_case("uas") => Refresher::Peer,
        _ => Refresher::Us,
    };
    Some((Duration::from_secs(interval.max(2)), refresher))
}

fn seconds(value: &str) -> Option<u64> {
    value.split(';').next()?.trim().parse().ok()
}

/// What is to be done when the time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimerAction {
    /// Send a refresh.
    Refresh,
    /// The session is dead: hang up.
    Expire,
}

/// The timer of a running session.
#[derive(Debug, Clone)]
pub(crate) struct SessionTimer {
    interval: Duration,
    refresher: Refresher,
    last_refresh: Instant,
    refreshing: bool,
}

impl SessionTimer {
    /// A timer that starts now.
    pub(crate) fn new(interval: Duration, refresher: Refresher, now: Instant) -> Self {
        Self {
            interval,
            refresher,
            last_refresh: now,
            refreshing: false,
        }
    }

    /// The interval agreed on.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// What is due next, and when.
    pub(crate) fn next(&self) -> (Instant, TimerAction) {
        if self.refresher == Refresher::Us && !self.refreshing {
            return (self.last_refresh + self.interval / 2, TimerAction::Refresh);
        }
        // RFC 4028 section 10: the BYE goes out a little before the far end gives up too.
        let margin = (self.interval / 3).min(Duration::from_secs(32));
        (
            self.last_refresh + self.interval - margin,
            TimerAction::Expire,
        )
    }

    /// Our refresh has been sent and is not answered yet.
    pub(crate) fn refresh_sent(&mut self) {
        self.refreshing = true;
    }

    /// The far end wants a longer interval than ours.
    pub(crate) fn lengthen(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// Either side's refresh succeeded, on these terms.
    pub(crate) fn refreshed(&mut self, interval: Duration, refresher: Refresher, now: Instant) {
        *self = Self::new(interval, refresher, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms {
        interval: Duration::from_secs(1800),
        least: Duration::from_secs(90),
    };

    fn headers(lines: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::default();
        for (name, value) in lines {
            headers.push(name, *value);
        }
        headers
    }

    fn on(interval: u64, refresher: Refresher, require: bool) -> Negotiated {
        let side = match refresher {
            Refresher::Us => "uas",
            Refresher::Peer => "uac",
        };
        Negotiated::On {
            interval: Duration::from_secs(interval),
            refresher,
            header: format!("{interval};refresher={side}"),
            require,
        }
    }

    #[test]
    fn an_interval_below_the_least_is_refused_with_the_least() {
        let request = headers(&[("Supported", "timer"), ("Session-Expires", "60")]);
        assert_eq!(
            negotiate_as_server(&request, TERMS),
            Negotiated::TooShort(90)
        );
    }

    #[test]
    fn the_callers_wish_for_a_refresher_is_kept_and_the_default_is_the_caller() {
        let request = headers(&[("Supported", "timer"), ("Session-Expires", "600")]);
        assert_eq!(
            negotiate_as_server(&request, TERMS),
            on(600, Refresher::Peer, true)
        );
        let request = headers(&[
            ("Supported", "100rel, timer"),
            ("Session-Expires", "600;refresher=uas"),
        ]);
        assert_eq!(
            negotiate_as_server(&request, TERMS),
            on(600, Refresher::Us, false)
        );
    }

    #[test]
    fn a_longer_interval_is_shortened_but_not_below_the_callers_least() {
        let request = headers(&[
            ("Supported", "timer"),
            ("Session-Expires", "7200"),
            ("Min-SE", "3600"),
        ]);
        assert_eq!(
            negotiate_as_server(&request, TERMS),
            on(3600, Refresher::Peer, true)
        );
    }

    #[test]
    fn a_caller_without_timers_gets_ours_and_we_refresh() {
        assert_eq!(
            negotiate_as_server(&headers(&[]), TERMS),
            on(1800, Refresher::Us, false)
        );
    }

    #[test]
    fn the_answer_to_our_call_says_who_refreshes() {
        let answer = |value| settle_as_client(&headers(&[("Session-Expires", value)]));
        assert_eq!(
            answer("1800;refresher=uas"),
            Some((Duration::from_secs(1800), Refresher::Peer))
        );
        assert_eq!(
            answer("300; refresher=uac"),
            Some((Duration::from_secs(300), Refresher::Us))
        );
        assert_eq!(settle_as_client(&headers(&[])), None);
    }

    #[test]
    fn the_refresher_acts_at_half_time_and_expires_when_nothing_comes_back() {
        let start = Instant::now();
        let mut timer = SessionTimer::new(Duration::from_secs(90), Refresher::Us, start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(timer.next(), (at(45), TimerAction::Refresh));
        timer.refresh_sent();
        assert_eq!(timer.next(), (at(60), TimerAction::Expire));
        timer.refreshed(Duration::from_secs(90), Refresher::Us, at(46));
        assert_eq!(timer.next(), (at(91), TimerAction::Refresh));
    }

    #[test]
    fn the_other_side_has_until_shortly_before_the_end() {
        let start = Instant::now();
        let timer = SessionTimer::new(Duration::from_secs(1800), Refresher::Peer, start);
        assert_eq!(
            timer.next(),
            (start + Duration::from_secs(1768), TimerAction::Expire)
        );
    }
}
