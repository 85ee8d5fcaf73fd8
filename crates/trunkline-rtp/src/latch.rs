//! Where the far end's media comes from (symmetric RTP).
//!
//! A far end behind NAT sends from another address than its SDP says, so we answer to where
//! packets come from. Whoever guesses a port could steal the call that way (RTPBleed), therefore
//! the source is learnt from its first packets only and then locked; it is learnt anew only when
//! the locked source has been silent, or after a new SDP exchange.

use std::net::SocketAddr;
use std::time::Duration;

use trunkline_types::CallTime;

/// This many packets in a row from one source settle it.
const LEARNING_PACKETS: u32 = 5;

/// The address of the SDP itself needs fewer: it was authenticated with the signalling.
const LEARNING_PACKETS_AS_SIGNALLED: u32 = 2;

/// A source that is being learnt has lost its place after this silence.
const CANDIDATE_FOR: Duration = Duration::from_secs(1);

/// After this silence of the locked source another may be learnt.
const RELEARN_AFTER: Duration = Duration::from_secs(5);

/// What to do with a packet, judged by its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// From the far end, or from who is likely to be.
    Accept,
    /// As `Accept`, and this packet settled the source.
    Latched,
    /// From a stranger.
    Stranger,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    source: SocketAddr,
    packets: u32,
    last: CallTime,
}

/// Learns and guards the source of one stream.
#[derive(Debug)]
pub(crate) struct Latch {
    /// From the SDP; `None` when it names none.
    signalled: Option<SocketAddr>,
    locked: Option<SocketAddr>,
    candidate: Option<Candidate>,
    last_accepted: CallTime,
}

impl Latch {
    pub(crate) fn new(signalled: SocketAddr) -> Self {
        let known = !signalled.ip().is_unspecified() && signalled.port() != 0;
        Self {
            signalled: known.then_some(signalled),
            locked: None,
            candidate: None,
            last_accepted: CallTime::ZERO,
        }
    }

    /// Where to send: the learnt source, else what the SDP says.
    pub(crate) fn destination(&self) -> Option<SocketAddr> {
        self.locked.or(self.signalled)
    }

    /// Judges a well-formed packet.
    pub(crate) fn judge(&mut self, now: CallTime, source: SocketAddr) -> Verdict {
        if self.locked == Some(source) {
            self.last_accepted = now;
            self.candidate = None;
            return Verdict::Accept;
        }
        if self.locked.is_some() && now.since(self.last_accepted) < RELEARN_AFTER {
            return Verdict::Stranger;
        }
        self.learn(now, source)
    }

    fn learn(&mut self, now: CallTime, source: SocketAddr) -> Verdict {
        let from_signalled_host = |address: SocketAddr| {
            self.signalled
                .is_some_and(|signalled| signalled.ip() == address.ip())
        };
        let candidate = self
            .candidate
            .filter(|candidate| now.since(candidate.last) < CANDIDATE_FOR);
        let packets = match candidate {
            Some(candidate) if candidate.source == source => candidate.packets + 1,
            // The host of the SDP is believed before anybody else.
            Some(candidate)
                if from_signalled_host(candidate.source) && !from_signalled_host(source) =>
            {
                return Verdict::Stranger;
            }
            _ => 1,
        };
        self.candidate = Some(Candidate {
            source,
            packets,
            last: now,
        });
        let wanted = if self.signalled == Some(source) {
            LEARNING_PACKETS_AS_SIGNALLED
        } else {
            LEARNING_PACKETS
        };
        if packets < wanted {
            return Verdict::Accept;
        }
        self.candidate = None;
        self.locked = Some(source);
        self.last_accepted = now;
        Verdict::Latched
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn ms(millis: u64) -> CallTime {
        CallTime::from_millis(millis)
    }

    fn feed(latch: &mut Latch, from_ms: u64, source: SocketAddr, packets: u64) -> Vec<Verdict> {
        (0..packets)
            .map(|n| latch.judge(ms(from_ms + n * 20), source))
            .collect()
    }

    #[test]
    fn a_far_end_behind_nat_is_answered_where_it_sends_from() {
        let mut latch = Latch::new(address("10.0.0.7:4000"));
        let outside = address("198.51.100.4:31000");
        assert_eq!(latch.destination(), Some(address("10.0.0.7:4000")));
        let verdicts = feed(&mut latch, 0, outside, 5);
        assert_eq!(verdicts[4], Verdict::Latched);
        assert_eq!(latch.destination(), Some(outside));
    }

    #[test]
    fn a_stranger_who_comes_after_the_lock_is_ignored_while_the_far_end_sends() {
        let far_end = address("192.0.2.1:4000");
        let mut latch = Latch::new(far_end);
        feed(&mut latch, 0, far_end, 2);
        for n in 0..500 {
            let now = n * 20;
            assert_eq!(
                latch.judge(ms(now), address("203.0.113.9:666")),
                Verdict::Stranger
            );
            assert_eq!(latch.judge(ms(now), far_end), Verdict::Accept);
        }
        assert_eq!(latch.destination(), Some(far_end));
    }

    #[test]
    fn a_stranger_cannot_push_the_signalled_host_out_while_it_is_learnt() {
        let far_end = address("192.0.2.1:4000");
        let mut latch = Latch::new(address("192.0.2.1:4002"));
        let stranger = address("203.0.113.9:666");
        for n in 0..4 {
            assert_eq!(latch.judge(ms(n * 20), far_end), Verdict::Accept);
            assert_eq!(latch.judge(ms(n * 20), stranger), Verdict::Stranger);
        }
        assert_eq!(latch.judge(ms(80), far_end), Verdict::Latched);
    }

    #[test]
    fn a_host_that_sent_once_and_left_does_not_keep_the_place() {
        let mut latch = Latch::new(address("192.0.2.1:4000"));
        latch.judge(ms(0), address("192.0.2.1:4002"));
        let outside = address("198.51.100.4:31000");
        assert_eq!(latch.judge(ms(20), outside), Verdict::Stranger);
        let verdicts = feed(&mut latch, 1100, outside, 5);
        assert_eq!(verdicts[4], Verdict::Latched);
    }

    #[test]
    fn another_source_is_learnt_when_the_locked_one_fell_silent() {
        let first = address("192.0.2.1:4000");
        let second = address("192.0.2.1:5000");
        let mut latch = Latch::new(first);
        feed(&mut latch, 0, first, 2);
        assert_eq!(latch.judge(ms(4000), second), Verdict::Stranger);
        let verdicts = feed(&mut latch, 6000, second, 5);
        assert_eq!(verdicts[4], Verdict::Latched);
        assert_eq!(latch.destination(), Some(second));
    }

    #[test]
    fn an_sdp_without_an_address_gives_no_destination_until_packets_come() {
        let mut latch = Latch::new(address("0.0.0.0:0"));
        assert_eq!(latch.destination(), None);
        feed(&mut latch, 0, address("192.0.2.1:4000"), 5);
        assert!(latch.destination().is_some());
    }
}
