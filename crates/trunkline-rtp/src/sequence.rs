//! Sequence numbers that wrap, made into numbers that do not, and the count of what was lost
//! (RFC 3550 appendix A.1 and A.3).

/// A jump forward of this much or more is a restart, not a loss.
const MAX_DROPOUT: u16 = 3000;

/// A packet older than this is a restart, not a straggler.
const MAX_MISORDER: u16 = 100;

/// Room below the first number, so that a straggler from before it has a number too.
const BASE: u64 = 1 << 16;

/// What a sequence number means for the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// In the stream, with its number extended past wraps.
    Extended(u64),
    /// Far from the stream. Ignored unless the next packet continues it.
    Suspect,
    /// The second packet of a restarted stream: begin anew, with this number.
    Restarted(u64),
}

/// Follows the sequence numbers of one source.
#[derive(Debug, Clone)]
pub(crate) struct SequenceTracker {
    first: u64,
    highest: u64,
    suspect_next: Option<u16>,
    expected_before_restart: u64,
    received: u64,
    reported_expected: u64,
    reported_received: u64,
}

impl SequenceTracker {
    /// Begins with a source's first packet.
    pub(crate) fn start(sequence: u16) -> (Self, u64) {
        let first = BASE + u64::from(sequence);
        let tracker = Self {
            first,
            highest: first,
            suspect_next: None,
            expected_before_restart: 0,
            received: 1,
            reported_expected: 0,
            reported_received: 0,
        };
        (tracker, first)
    }

    /// Takes the next packet's number.
    pub(crate) fn arrive(&mut self, sequence: u16) -> Arrival {
        let ahead = sequence.wrapping_sub(self.highest_sequence());
        let behind = ahead.wrapping_neg();
        if ahead < MAX_DROPOUT {
            self.highest += u64::from(ahead);
            self.accept(self.highest)
        } else if behind <= MAX_MISORDER {
            self.accept(self.highest - u64::from(behind))
        } else if self.suspect_next == Some(sequence) {
            self.expected_before_restart = self.expected();
            self.first = BASE + u64::from(sequence);
            self.highest = self.first;
            self.suspect_next = None;
            self.received += 1;
            Arrival::Restarted(self.first)
        } else {
            self.suspect_next = Some(sequence.wrapping_add(1));
            Arrival::Suspect
        }
    }

    /// Takes back the count of a packet that turned out to be a duplicate, so that it does not
    /// hide a loss.
    pub(crate) fn discount_duplicate(&mut self) {
        self.received = self.received.saturating_sub(1);
    }

    /// Packets that should have come but did not, so far.
    pub(crate) fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }

    /// The number for a report block: wraps counted in the upper half (RFC 3550 section 6.4.1).
    pub(crate) fn extended_highest(&self) -> u32 {
        ((self.highest - BASE) & u64::from(u32::MAX)) as u32
    }

    /// The share lost since the last call, in 256ths, for a report block.
    pub(crate) fn fraction_lost_since_report(&mut self) -> u8 {
        let expected = self.expected() - self.reported_expected;
        let received = self.received.saturating_sub(self.reported_received);
        self.reported_expected = self.expected();
        self.reported_received = self.received;
        let lost = expected.saturating_sub(received);
        (lost * 256)
            .checked_div(expected)
            .map_or(0, |share| share.min(255) as u8)
    }

    fn accept(&mut self, extended: u64) -> Arrival {
        self.received += 1;
        self.suspect_next = None;
        Arrival::Extended(extended)
    }

    fn expected(&self) -> u64 {
        self.expected_before_restart + (self.highest - self.first) + 1
    }

    fn highest_sequence(&self) -> u16 {
        (self.highest & 0xffff) as u16
    }
}

/// Extends a 32-bit timestamp that wraps to the value nearest to `near`.
pub(crate) fn extend_timestamp(timestamp: u32, near: i64) -> i64 {
    let near_low = (near & i64::from(u32::MAX)) as u32;
    let ahead = timestamp.wrapping_sub(near_low) as i32;
    near + i64::from(ahead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_through_a_wrap_and_stragglers_keep_theirs() {
        let (mut tracker, first) = SequenceTracker::start(65_534);
        assert_eq!(tracker.arrive(65_535), Arrival::Extended(first + 1));
        assert_eq!(tracker.arrive(1), Arrival::Extended(first + 3));
        assert_eq!(tracker.arrive(0), Arrival::Extended(first + 2));
        assert_eq!(tracker.lost(), 0);
        assert_eq!(tracker.extended_highest(), 65_537);
    }

    #[test]
    fn a_straggler_from_before_the_first_packet_has_a_number() {
        let (mut tracker, first) = SequenceTracker::start(0);
        assert_eq!(tracker.arrive(65_535), Arrival::Extended(first - 1));
    }

    #[test]
    fn loss_is_what_the_numbers_skip_and_a_duplicate_does_not_hide_it() {
        let (mut tracker, _) = SequenceTracker::start(10);
        tracker.arrive(11);
        tracker.arrive(14);
        assert_eq!(tracker.lost(), 2);
        tracker.arrive(14);
        tracker.discount_duplicate();
        assert_eq!(tracker.lost(), 2);
        assert_eq!(tracker.fraction_lost_since_report(), 102);
        tracker.arrive(15);
        assert_eq!(tracker.fraction_lost_since_report(), 0);
    }

    #[test]
    fn one_wild_number_is_ignored_and_two_in_a_row_are_a_restart() {
        let (mut tracker, first) = SequenceTracker::start(10);
        assert_eq!(tracker.arrive(40_000), Arrival::Suspect);
        assert_eq!(tracker.arrive(11), Arrival::Extended(first + 1));
        assert_eq!(tracker.arrive(40_000), Arrival::Suspect);
        assert!(matches!(tracker.arrive(40_001), Arrival::Restarted(_)));
        assert!(matches!(tracker.arrive(40_002), Arrival::Extended(_)));
        assert_eq!(tracker.lost(), 0);
    }

    #[test]
    fn timestamps_extend_through_a_wrap_both_ways() {
        let near = i64::from(u32::MAX) - 100;
        assert_eq!(extend_timestamp(59, near), near + 160);
        assert_eq!(extend_timestamp(u32::MAX - 260, near + 160), near - 160);
    }
}
