//! RTCP (RFC 3550 section 6): sender and receiver reports, the canonical name, and BYE.
//!
//! Compound packets are read leniently: what is known and whole is taken, the rest skipped. When
//! to send is decided by the leg.

use std::time::Duration;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;

const CANONICAL_NAME: u8 = 1;

const REPORT_BLOCK_BYTES: usize = 24;

/// The wall clock as RTCP carries it: seconds since 1900 in the upper half, 2^-32 s in the lower.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// From microseconds since the Unix epoch.
    pub fn from_unix_micros(micros: u64) -> Self {
        const UNIX_EPOCH_SINCE_1900_S: u64 = 2_208_988_800;
        let seconds = (micros / 1_000_000).wrapping_add(UNIX_EPOCH_SINCE_1900_S);
        let fraction = ((micros % 1_000_000) << 32) / 1_000_000;
        // The era of 1900 ends in 2036; what is carried wraps with it, by RFC 3550's own rule.
        Self(((seconds & u64::from(u32::MAX)) << 32) | fraction)
    }

    /// The middle 32 bits: 2^-16 s, as round trips are reckoned.
    pub fn middle(self) -> u32 {
        ((self.0 >> 16) & u64::from(u32::MAX)) as u32
    }
}

/// 2^-16 s as a duration.
pub(crate) fn from_middle_units(units: u32) -> Duration {
    Duration::from_micros((u64::from(units) * 1_000_000) >> 16)
}

/// A duration in units of 2^-16 s, at most what 32 bits hold.
pub(crate) fn to_middle_units(span: Duration) -> u32 {
    let units = (span.as_micros() << 16) / 1_000_000;
    u32::try_from(units).unwrap_or(u32::MAX)
}

/// What one side received of the other's stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// Whose stream is reported on.
    pub ssrc: u32,
    /// Lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Lost since the start. 24 bits, signed: duplicates can make it negative.
    pub cumulative_lost: i32,
    /// The highest sequence number received, wraps in the upper half.
    pub highest_sequence: u32,
    /// Interarrival jitter in units of the RTP clock.
    pub jitter: u32,
    /// The middle of the last sender report's NTP time; 0 when none came.
    pub last_sender_report: u32,
    /// Since that report came, in 2^-16 s.
    pub delay_since_last: u32,
}

/// What one side sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// The wall clock when the report was made.
    pub ntp: NtpTime,
    /// The same moment on the RTP clock.
    pub rtp_timestamp: u32,
    /// Packets sent since the start; wraps.
    pub packets: u32,
    /// Payload bytes sent since the start; wraps.
    pub octets: u32,
}

/// One packet of a compound that concerns a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RtcpPacket {
    /// A sender report (with `sender`) or receiver report.
    Report {
        /// Who reports.
        ssrc: u32,
        /// What the reporter sent, if it sends.
        sender: Option<SenderInfo>,
        /// What it received, one block a source.
        blocks: Vec<ReportBlock>,
    },
    /// The canonical name of a source.
    Name {
        /// Whose.
        ssrc: u32,
        /// The CNAME item.
        cname: String,
    },
    /// A source leaves.
    Bye {
        /// Which.
        ssrc: u32,
    },
}

/// Reads a compound packet. Garbage, unknown packet types and what is cut short are skipped.
pub fn parse_compound(datagram: &[u8]) -> Vec<RtcpPacket> {
    let mut packets = Vec::new();
    let mut rest = datagram;
    while let Some((head, _)) = rest.split_first_chunk::<4>() {
        let length = (usize::from(u16::from_be_bytes([head[2], head[3]])) + 1) * 4;
        if head[0] >> 6 != 2 || length > rest.len() {
            break;
        }
        let (packet, after) = rest.split_at(length);
        let count = usize::from(head[0] & 0x1f);
        let body = Fields(&packet[4..]);
        match head[1] {
            SENDER_REPORT => packets.extend(read_report(body, count, true)),
            RECEIVER_REPORT => packets.extend(read_report(body, count, false)),
            SOURCE_DESCRIPTION => packets.extend(read_name(body)),
            GOODBYE => packets.extend(read_bye(body, count)),
            _ => {}
        }
        rest = after;
    }
    packets
}

/// Builds our compound: a sender report when `sender` is given, else a receiver report, then the
/// canonical name, then BYE when the stream ends. Replaces `datagram`.
pub fn build_compound(
    ssrc: u32,
    sender: Option<&SenderInfo>,
    block: Option<&ReportBlock>,
    cname: &str,
    bye: bool,
    datagram: &mut Vec<u8>,
) {
    datagram.clear();
    let kind = if sender.is_some() {
        SENDER_REPORT
    } else {
        RECEIVER_REPORT
    };
    packet(datagram, kind, u8::from(block.is_some()), |out| {
        put(out, ssrc);
        if let Some(info) = sender {
            out.extend_from_slice(&info.ntp.0.to_be_bytes());
            put(out, info.rtp_timestamp);
            put(out, info.packets);
            put(out, info.octets);
        }
        if let Some(block) = block {
            put_block(out, block);
        }
    });
    packet(datagram, SOURCE_DESCRIPTION, 1, |out| {
        put(out, ssrc);
        let text = &cname.as_bytes()[..cname.len().min(255)];
        out.push(CANONICAL_NAME);
        out.push(text.len() as u8);
        out.extend_from_slice(text);
        // At least one zero ends the list of items.
        out.push(0);
    });
    if bye {
        packet(datagram, GOODBYE, 1, |out| put(out, ssrc));
    }
}

fn packet(out: &mut Vec<u8>, kind: u8, count: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0x80 | count, kind, 0, 0]);
    body(out);
    while !(out.len() - start).is_multiple_of(4) {
        out.push(0);
    }
    // Our packets are a few dozen words.
    let words = ((out.len() - start) / 4 - 1) as u16;
    out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
}

fn put(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_block(out: &mut Vec<u8>, block: &ReportBlock) {
    const MOST: i32 = 0x7f_ffff;
    put(out, block.ssrc);
    let lost = block.cumulative_lost.clamp(-MOST - 1, MOST) as u32 & 0xff_ffff;
    put(out, u32::from(block.fraction_lost) << 24 | lost);
    put(out, block.highest_sequence);
    put(out, block.jitter);
    put(out, block.last_sender_report);
    put(out, block.delay_since_last);
}

/// A cursor over big-endian fields.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (field, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*field))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from(self.u32()?) << 32 | u64::from(self.u32()?))
    }

    fn block(&mut self) -> Option<ReportBlock> {
        if self.0.len() < REPORT_BLOCK_BYTES {
            return None;
        }
        let ssrc = self.u32()?;
        let loss = self.u32()?;
        Some(ReportBlock {
            ssrc,
            fraction_lost: (loss >> 24) as u8,
            // Up and down again, to carry the sign of 24 bits.
            cumulative_lost: ((loss << 8) as i32) >> 8,
            highest_sequence: self.u32()?,
            jitter: self.u32()?,
            last_sender_report: self.u32()?,
            delay_since_last: self.u32()?,
        })
    }
}

fn read_report(mut body: Fields<'_>, count: usize, sends: bool) -> Option<RtcpPacket> {
    let ssrc = body.u32()?;
    let sender = if sends {
        Some(SenderInfo {
            ntp: NtpTime(body.u64()?),
            rtp_timestamp: body.u32()?,
            packets: body.u32()?,
            octets: body.u32()?,
        })
    } else {
        None
    };
    let blocks = std::iter::from_fn(|| body.block()).take(count).collect();
    Some(RtcpPacket::Report {
        ssrc,
        sender,
        blocks,
    })
}

/// Only the first chunk, and only its canonical name: a leg has one source.
fn read_name(mut body: Fields<'_>) -> Option<RtcpPacket> {
    let ssrc = body.u32()?;
    let mut items = body.0;
    while let [kind, length, rest @ ..] = items {
        if *kind == 0 {
            break;
        }
        let text = rest.get(..usize::from(*length))?;
        if *kind == CANONICAL_NAME {
            let cname = String::from_utf8_lossy(text).into_owned();
            return Some(RtcpPacket::Name { ssrc, cname });
        }
        items = &rest[usize::from(*length)..];
    }
    None
}

fn read_bye(mut body: Fields<'_>, count: usize) -> Vec<RtcpPacket> {
    std::iter::from_fn(|| body.u32())
        .take(count)
        .map(|ssrc| RtcpPacket::Bye { ssrc })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLOCK: ReportBlock = ReportBlock {
        ssrc: 0xdead_beef,
        fraction_lost: 12,
        cumulative_lost: -3,
        highest_sequence: 70_000,
        jitter: 44,
        last_sender_report: 0x1234_5678,
        delay_since_last: 65_536,
    };

    #[test]
    fn a_compound_reads_back_as_it_was_built() {
        let info = SenderInfo {
            ntp: NtpTime::from_unix_micros(1_700_000_000_500_000),
            rtp_timestamp: 160,
            packets: 7,
            octets: 1120,
        };
        for sender in [Some(info), None] {
            let mut datagram = Vec::new();
            build_compound(
                9,
                sender.as_ref(),
                Some(&BLOCK),
                "leg@host",
                true,
                &mut datagram,
            );
            assert_eq!(
                parse_compound(&datagram),
                [
                    RtcpPacket::Report {
                        ssrc: 9,
                        sender,
                        blocks: vec![BLOCK],
                    },
                    RtcpPacket::Name {
                        ssrc: 9,
                        cname: "leg@host".to_owned(),
                    },
                    RtcpPacket::Bye { ssrc: 9 },
                ]
            );
        }
    }

    #[test]
    fn the_ntp_time_of_half_a_second_has_half_of_the_fraction() {
        let time = NtpTime::from_unix_micros(500_000);
        assert_eq!(time.0, 2_208_988_800 << 32 | 1 << 31);
        assert_eq!(
            from_middle_units(to_middle_units(Duration::from_millis(250))),
            Duration::from_millis(250)
        );
    }

    proptest! {
        #[test]
        fn garbage_is_skipped_without_panic(
            mut datagram in prop::collection::vec(any::<u8>(), 0..200),
            kind in 200u8..205,
        ) {
            parse_compound(&datagram);
            if datagram.len() >= 4 {
                datagram[0] = 0x80 | (datagram[0] & 0x1f);
                datagram[1] = kind;
                datagram[2] = 0;
                parse_compound(&datagram);
            }
        }
    }
}
