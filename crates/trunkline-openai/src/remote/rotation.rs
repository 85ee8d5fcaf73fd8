//! Which endpoint and which key the next request uses.
//!
//! Endpoints are tried in the order of the configuration; a later one only when the earlier ones
//! are full, resting, or were tried for this request already. Within an endpoint the least busy
//! key serves. A key that was told to wait (429) waits as long as it was told; one that was
//! refused (401, 403) waits a minute, since somebody may replace it.
//!
//! No clock and no I/O: time is what the caller says it is, counted from any fixed moment.

use std::time::Duration;

use super::breaker::Breaker;

/// A key that is told to wait without being told how long.
const USUAL_WAIT: Duration = Duration::from_secs(1);
/// Nobody is believed who says that it takes longer.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
const KEY_REFUSED_WAIT: Duration = Duration::from_secs(60);

/// One key at one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot {
    /// Index of the endpoint.
    pub(super) endpoint: usize,
    /// Index of the key there.
    pub(super) key: usize,
}

#[derive(Debug, Clone)]
struct Endpoint {
    breaker: Breaker,
    /// Requests at once for each key.
    limit: usize,
    keys: Vec<Key>,
}

#[derive(Debug, Clone, Default)]
struct Key {
    running: usize,
    /// It is not used before.
    not_before: Duration,
}

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    /// Send it there.
    Use(Slot),
    /// Nothing can be used before then, or before a running request ends.
    WaitUntil(Duration),
    /// Everything is in use; a running request has to end.
    Full,
}

/// How a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was answered, be it by a refusal that is the request's own fault.
    Answered,
    /// 429, and what `Retry-After` said.
    Throttled(Option<Duration>),
    /// 401 or 403.
    KeyRefused,
    /// 5xx, no connection, too late, or cut short.
    Broken,
    /// It was given up by whoever asked.
    Abandoned,
}

/// All endpoints of an engine.
#[derive(Debug, Clone)]
pub(super) struct Rotation(Vec<Endpoint>);

impl Rotation {
    /// For each endpoint the number of its keys and of requests at once for each key.
    pub(super) fn new(endpoints: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let endpoints = endpoints.into_iter().map(|(keys, limit)| Endpoint {
            breaker: Breaker::default(),
            limit: limit.max(1),
            keys: vec![Key::default(); keys.max(1)],
        });
        Self(endpoints.collect())
    }

    /// Slots altogether.
    pub(super) fn slots(&self) -> usize {
        self.0.iter().map(|endpoint| endpoint.keys.len()).sum()
    }

    /// Chooses for a request that failed at `tried` already. What was tried comes again only
    /// when everything was.
    pub(super) fn pick(&mut self, tried: &[Slot], now: Duration) -> Pick {
        let fresh = self.usable(now).find(|slot| !tried.contains(slot));
        if let Some(slot) = fresh {
            return self.begin(slot);
        }
        if tried.len() < self.slots() {
            return self.wait(tried, now);
        }
        let again = self.usable(now).next();
        match again {
            Some(slot) => self.begin(slot),
            None => self.wait(&[], now),
        }
    }

    fn begin(&mut self, slot: Slot) -> Pick {
        let endpoint = &mut self.0[slot.endpoint];
        endpoint.breaker.begin();
        endpoint.keys[slot.key].running += 1;
        Pick::Use(slot)
    }

    /// The slots that can be used, the best first.
    fn usable(&self, now: Duration) -> impl Iterator<Item = Slot> {
        let open = self.0.iter().enumerate();
        open.filter(move |(_, endpoint)| endpoint.breaker.allows(now))
            .flat_map(move |(index, endpoint)| {
                let mut keys: Vec<(usize, &Key)> = endpoint.keys.iter().enumerate().collect();
                keys.retain(|(_, key)| key.running < endpoint.limit && now >= key.not_before);
                keys.sort_by_key(|(_, key)| key.running);
                keys.into_iter().map(move |(key, _)| Slot {
                    endpoint: index,
                    key,
                })
            })
    }

    /// The first moment at which something not yet tried opens by itself.
    fn wait(&self, tried: &[Slot], now: Duration) -> Pick {
        let untried = self.0.iter().enumerate().flat_map(|(index, endpoint)| {
            let keys = endpoint.keys.iter().enumerate();
            keys.map(move |(key, state)| {
                let slot = Slot {
                    endpoint: index,
                    key,
                };
                let rests = endpoint.breaker.opens_at().unwrap_or_default();
                (slot, state.not_before.max(rests))
            })
        });
        untried
            .filter(|(slot, _)| !tried.contains(slot))
            .map(|(_, at)| at)
            .filter(|at| *at > now)
            .min()
            .map_or(Pick::Full, Pick::WaitUntil)
    }

    /// A request has ended.
    pub(super) fn end(&mut self, slot: Slot, outcome: Outcome, now: Duration) {
        let endpoint = &mut self.0[slot.endpoint];
        let key = &mut endpoint.keys[slot.key];
        key.running = key.running.saturating_sub(1);
        let mut wait = |span: Duration| key.not_before = key.not_before.max(now + span);
        match outcome {
            Outcome::Answered => endpoint.breaker.succeed(),
            Outcome::Abandoned => endpoint.breaker.abandon(now),
            Outcome::Broken => endpoint.breaker.fail(now),
            Outcome::KeyRefused => {
                wait(KEY_REFUSED_WAIT);
                endpoint.breaker.succeed();
            }
            Outcome::Throttled(span) => {
                wait(span.unwrap_or(USUAL_WAIT).min(LONGEST_WAIT));
                endpoint.breaker.succeed();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn slot(endpoint: usize, key: usize) -> Slot {
        Slot { endpoint, key }
    }

    fn picked(rotation: &mut Rotation, tried: &[Slot]) -> Slot {
        match rotation.pick(tried, NOW) {
            Pick::Use(slot) => slot,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keys_take_turns_and_the_second_endpoint_serves_what_the_first_has_no_room_for() {
        let mut rotation = Rotation::new([(2, 2), (1, 1)]);
        let order: Vec<Slot> = (0..5).map(|_| picked(&mut rotation, &[])).collect();
        let expected = [slot(0, 0), slot(0, 1), slot(0, 0), slot(0, 1), slot(1, 0)];
        assert_eq!(order, expected);
        assert_eq!(rotation.pick(&[], NOW), Pick::Full);
        rotation.end(slot(0, 1), Outcome::Answered, NOW);
        assert_eq!(picked(&mut rotation, &[]), slot(0, 1));
    }

    #[test]
    fn a_key_that_is_told_to_wait_waits_and_the_other_serves() {
        let mut rotation = Rotation::new([(2, 9)]);
        let first = picked(&mut rotation, &[]);
        let told = Outcome::Throttled(Some(Duration::from_secs(7)));
        rotation.end(first, told, NOW);
        for _ in 0..3 {
            assert_eq!(picked(&mut rotation, &[]), slot(0, 1));
        }
        rotation.end(slot(0, 1), told, NOW + Duration::from_secs(1));
        let until = NOW + Duration::from_secs(7);
        assert_eq!(
            rotation.pick(&[], NOW + Duration::from_secs(2)),
            Pick::WaitUntil(until)
        );
        assert_eq!(rotation.pick(&[], until), Pick::Use(slot(0, 0)));
    }

    #[test]
    fn what_failed_for_a_request_is_not_tried_again_before_the_others() {
        let mut rotation = Rotation::new([(1, 9), (1, 9)]);
        let first = picked(&mut rotation, &[]);
        rotation.end(first, Outcome::Broken, NOW);
        let second = picked(&mut rotation, &[first]);
        assert_eq!((first, second), (slot(0, 0), slot(1, 0)));
        rotation.end(second, Outcome::Broken, NOW);
        assert_eq!(picked(&mut rotation, &[first, second]), first);
    }

    #[test]
    fn a_broken_endpoint_is_left_alone_and_a_refused_key_too() {
        let mut rotation = Rotation::new([(1, 9), (1, 9)]);
        for _ in 0..3 {
            let slot = picked(&mut rotation, &[]);
            rotation.end(slot, Outcome::Broken, NOW);
        }
        assert_eq!(picked(&mut rotation, &[]), slot(1, 0));
        rotation.end(slot(1, 0), Outcome::KeyRefused, NOW);
        let back = NOW + Duration::from_secs(1);
        assert_eq!(rotation.pick(&[], NOW), Pick::WaitUntil(back));
    }

    proptest! {
        /// However requests end, no key serves more at once than it may, and once all have ended
        /// and every wait is over there is room again.
        #[test]
        fn room_is_never_exceeded_and_never_lost(
            steps in prop::collection::vec((any::<bool>(), 0_usize..5, 0_u64..3), 0..300),
        ) {
            let limits = [(2, 2), (1, 3)];
            let mut rotation = Rotation::new(limits);
            let mut running: Vec<Slot> = Vec::new();
            let mut now = Duration::ZERO;
            for (begins, which, seconds) in steps {
                now += Duration::from_secs(seconds);
                if begins {
                    if let Pick::Use(slot) = rotation.pick(&[], now) {
                        running.push(slot);
                    }
                } else if let Some(slot) = running.pop() {
                    let outcome = [
                        Outcome::Answered,
                        Outcome::Throttled(Some(Duration::from_secs(2))),
                        Outcome::KeyRefused,
                        Outcome::Broken,
                        Outcome::Abandoned,
                    ][which];
                    rotation.end(slot, outcome, now);
                }
                for slot in &running {
                    let at_once = running.iter().filter(|other| *other == slot).count();
                    prop_assert!(at_once <= limits[slot.endpoint].1);
                }
            }
            for slot in running.drain(..) {
                rotation.end(slot, Outcome::Answered, now);
            }
            let later = now + LONGEST_WAIT;
            prop_assert!(matches!(rotation.pick(&[], later), Pick::Use(_)));
        }
    }
}
