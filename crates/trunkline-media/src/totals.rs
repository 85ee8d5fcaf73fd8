//! Sums over all legs, written by the wheel once a second a leg.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{MediaStatistics, MediaTotals};

#[derive(Debug, Default)]
pub(crate) struct Totals {
    packets_received: AtomicU64,
    packets_sent: AtomicU64,
    packets_lost: AtomicU64,
    events_dropped: AtomicU64,
}

impl Totals {
    /// Adds what a leg did between two publications.
    pub(crate) fn add(&self, before: &MediaStatistics, now: &MediaStatistics) {
        let add = |sum: &AtomicU64, before: u64, now: u64| {
            // A packet that came late after all makes the count of the lost smaller.
            sum.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
        };
        let (was, is) = (&before.rtp, &now.rtp);
        add(
            &self.packets_received,
            was.packets_received,
            is.packets_received,
        );
        add(&self.packets_sent, was.packets_sent, is.packets_sent);
        add(&self.packets_lost, was.packets_lost, is.packets_lost);
        add(
            &self.events_dropped,
            before.events_dropped,
            now.events_dropped,
        );
    }

    pub(crate) fn read(&self) -> MediaTotals {
        MediaTotals {
            packets_received: self.packets_received.load(Ordering::Relaxed),
            packets_sent: self.packets_sent.load(Ordering::Relaxed),
            packets_lost: self.packets_lost.load(Ordering::Relaxed),
            events_dropped: self.events_dropped.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(received: u64, lost: u64) -> MediaStatistics {
        let mut figures = MediaStatistics::default();
        figures.rtp.packets_received = received;
        figures.rtp.packets_lost = lost;
        figures
    }

    #[test]
    fn legs_add_up_and_a_late_packet_is_no_longer_lost() {
        let totals = Totals::default();
        totals.add(&MediaStatistics::default(), &figures(50, 2));
        totals.add(&MediaStatistics::default(), &figures(10, 0));
        totals.add(&figures(50, 2), &figures(99, 1));
        let sum = totals.read();
        assert_eq!((sum.packets_received, sum.packets_lost), (109, 1));
    }
}
