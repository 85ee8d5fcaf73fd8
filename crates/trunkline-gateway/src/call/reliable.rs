//! Reliable provisional responses (RFC 3262), our side: numbering, retransmission, PRACK.

use std::time::{Duration, Instant};

use crate::random;
use crate::wire::{Request, Response};

/// Provisional responses of one INVITE that must be acknowledged.
#[derive(Debug)]
pub(super) struct Reliable {
    t1: Duration,
    invite_cseq: u32,
    next_rseq: u32,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    response: Response,
    rseq: u32,
    first: Instant,
    due: Instant,
    interval: Duration,
}

/// What to do when the time has come.
#[derive(Debug)]
pub(super) enum Due {
    /// Send it again.
    Again(Box<Response>),
    /// It was never acknowledged: give the call up with 504.
    GiveUp,
}

impl Reliable {
    /// For an INVITE whose sender requires or supports 100rel.
    pub(super) fn new(invite_cseq: u32, t1: Duration) -> Self {
        let first = u32::from_le_bytes(random::bytes()) & 0x3fff_ffff;
        Self {
            t1,
            invite_cseq,
            next_rseq: first.max(1),
            waiting: None,
        }
    }

    /// Whether one is still unacknowledged. The next has to wait for it.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Makes a provisional response reliable and keeps it for retransmission.
    pub(super) fn number(&mut self, response: &mut Response, now: Instant) {
        let rseq = self.next_rseq;
        self.next_rseq += 1;
        response.headers.push("Require", "100rel");
        response.headers.push("RSeq", rseq.to_string());
        self.waiting = Some(Waiting {
            response: response.clone(),
            rseq,
            first: now,
            due: now + self.t1,
            interval: self.t1,
        });
    }

    /// When something is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.as_ref().map(|waiting| waiting.due)
    }

    /// What is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        let waiting = self.waiting.as_mut().filter(|waiting| waiting.due <= now)?;
        if now.duration_since(waiting.first) >= self.t1 * 64 {
            self.waiting = None;
            return Some(Due::GiveUp);
        }
        waiting.interval *= 2;
        waiting.due = now + waiting.interval;
        Some(Due::Again(Box::new(waiting.response.clone())))
    }

    /// Takes a PRACK. `false` when it acknowledges nothing that is waiting: 481.
    pub(super) fn acknowledge(&mut self, prack: &Request) -> bool {
        let Some(rack) = prack.headers.get("RAck") else {
            return false;
        };
        let mut words = rack.split_whitespace();
        let rseq: Option<u32> = words.next().and_then(|word| word.parse().ok());
        let cseq: Option<u32> = words.next().and_then(|word| word.parse().ok());
        let matching = self.waiting.as_ref().is_some_and(|waiting| {
            rseq == Some(waiting.rseq)
                && cseq == Some(self.invite_cseq)
                && words.next() == Some("INVITE")
        });
        if matching {
            self.waiting = None;
        }
        matching
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Headers, Method};

    fn ringing() -> Response {
        Response {
            status: 180,
            reason: "Ringing".to_owned(),
            headers: Headers::default(),
            body: Vec::new(),
        }
    }

    fn prack(rack: &str) -> Request {
        let mut headers = Headers::default();
        headers.push("RAck", rack);
        Request {
            method: Method::Prack,
            uri: "sip:x@192.0.2.1".to_owned(),
            headers,
            body: Vec::new(),
        }
    }

    #[test]
    fn it_is_sent_again_at_doubling_intervals_until_the_matching_prack() {
        let start = Instant::now();
        let t1 = Duration::from_millis(500);
        let mut reliable = Reliable::new(7, t1);
        let mut response = ringing();
        reliable.number(&mut response, start);
        let rseq = response.headers.get("RSeq").unwrap().to_owned();
        assert!(reliable.due(start).is_none());
        assert!(matches!(reliable.due(start + t1), Some(Due::Again(_))));
        assert_eq!(reliable.next(), Some(start + t1 * 3));
        assert!(!reliable.acknowledge(&prack("1 7 INVITE extra")));
        assert!(!reliable.acknowledge(&prack(&format!("{rseq} 8 INVITE"))));
        assert!(reliable.acknowledge(&prack(&format!("{rseq} 7 INVITE"))));
        assert!(!reliable.is_waiting());
    }

    #[test]
    fn after_64_t1_the_call_is_given_up() {
        let start = Instant::now();
        let t1 = Duration::from_millis(500);
        let mut reliable = Reliable::new(1, t1);
        reliable.number(&mut ringing(), start);
        assert!(matches!(reliable.due(start + t1 * 64), Some(Due::GiveUp)));
    }
}
