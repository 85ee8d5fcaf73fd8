//! When RTCP is due and what the far end's reports say (RFC 3550 sections 6.3 and 6.4).

use std::time::Duration;

use trunkline_types::CallTime;

use crate::rtcp::{
    NtpTime, ReportBlock, RtcpPacket, SenderInfo, build_compound, from_middle_units,
    to_middle_units,
};

/// Between two of our reports: the recommended least for a session of two.
const INTERVAL_US: u64 = 5_000_000;

/// Reports of both directions.
#[derive(Debug)]
pub(crate) struct Reports {
    due: CallTime,
    /// Varies the interval between half and one and a half, so that legs do not report in step.
    spread: u32,
    ours: Option<(u32, CallTime)>,
    theirs: Option<(u32, CallTime)>,
    pub(crate) round_trip: Option<Duration>,
    pub(crate) far_end_loss: Option<f32>,
}

impl Reports {
    pub(crate) fn new(now: CallTime, ssrc: u32) -> Self {
        let mut reports = Self {
            due: now,
            spread: ssrc,
            ours: None,
            theirs: None,
            round_trip: None,
            far_end_loss: None,
        };
        reports.schedule(now);
        reports
    }

    pub(crate) fn is_due(&self, now: CallTime) -> bool {
        now >= self.due
    }

    /// Builds our compound into `datagram` and sets the time of the next.
    pub(crate) fn build(
        &mut self,
        now: CallTime,
        ssrc: u32,
        sender: Option<SenderInfo>,
        mut block: Option<ReportBlock>,
        bye: bool,
        datagram: &mut Vec<u8>,
    ) {
        if let (Some(block), Some((middle, came))) = (&mut block, self.theirs) {
            block.last_sender_report = middle;
            block.delay_since_last = to_middle_units(now.since(came));
        }
        // The canonical name says nothing about the machine or the caller (RFC 7022).
        let cname = format!("{ssrc:08x}");
        build_compound(ssrc, sender.as_ref(), block.as_ref(), &cname, bye, datagram);
        if let Some(sender) = sender {
            self.ours = Some((sender.ntp.middle(), now));
        }
        self.schedule(now);
    }

    /// Takes the far end's compound; only what concerns `ssrc`, ours, counts.
    pub(crate) fn receive(&mut self, now: CallTime, ssrc: u32, datagram: &[u8]) {
        for packet in crate::rtcp::parse_compound(datagram) {
            if let RtcpPacket::Report { sender, blocks, .. } = packet {
                if let Some(sender) = sender {
                    self.theirs = Some((sender.ntp.middle(), now));
                }
                for block in blocks.iter().filter(|block| block.ssrc == ssrc) {
                    self.far_end_loss = Some(f32::from(block.fraction_lost) / 256.0);
                    self.measure(now, block);
                }
            }
        }
    }

    fn measure(&mut self, now: CallTime, block: &ReportBlock) {
        if let Some((middle, sent)) = self.ours
            && block.last_sender_report == middle
            && let Some(round_trip) = now
                .since(sent)
                .checked_sub(from_middle_units(block.delay_since_last))
        {
            self.round_trip = Some(round_trip);
        }
    }

    fn schedule(&mut self, now: CallTime) {
        self.spread = self
            .spread
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        let share = u64::from(self.spread >> 16);
        let micros = INTERVAL_US / 2 + INTERVAL_US * share / 65_536;
        self.due = now + Duration::from_micros(micros);
    }
}

/// What our stream has sent, for a sender report.
pub(crate) fn sender_info(ntp: NtpTime, timestamp: u32, packets: u64, octets: u64) -> SenderInfo {
    SenderInfo {
        ntp,
        rtp_timestamp: timestamp,
        // Both counters wrap by definition.
        packets: (packets & u64::from(u32::MAX)) as u32,
        octets: (octets & u64::from(u32::MAX)) as u32,
    }
}
