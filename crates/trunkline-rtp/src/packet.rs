//! The RTP packet (RFC 3550 section 5): parsed without copying, built into a caller's buffer.
//!
//! Header extensions are skipped and contributing sources are not kept: a telephone leg uses
//! neither.

/// Bytes of a header without contributing sources or extension.
pub const HEADER_BYTES: usize = 12;

/// Why a datagram is not an RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedPacket {
    /// Shorter than what its header announces.
    #[error("datagram of {0} bytes is shorter than its header says")]
    Truncated(usize),
    /// Not version 2.
    #[error("version {0} is not 2")]
    Version(u8),
    /// More padding than payload, or a padding count of zero.
    #[error("padding of {0} bytes does not fit")]
    Padding(u8),
}

/// The fields of an RTP header that a leg needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RtpHeader {
    /// The marker bit: the first packet after silence, or the first of an event.
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    /// Grows by one each packet and wraps.
    pub sequence: u16,
    /// Of the first sample, in units of the RTP clock; wraps.
    pub timestamp: u32,
    /// Who sends.
    pub ssrc: u32,
}

/// A received packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpPacket<'a> {
    /// Its header.
    pub header: RtpHeader,
    /// Its payload without padding.
    pub payload: &'a [u8],
}

impl<'a> RtpPacket<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// [`MalformedPacket`] when the datagram is not RTP version 2 or is cut short.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, MalformedPacket> {
        let truncated = MalformedPacket::Truncated(datagram.len());
        let (fixed, mut rest) = datagram
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(truncated)?;
        let version = fixed[0] >> 6;
        if version != 2 {
            return Err(MalformedPacket::Version(version));
        }
        let contributors = usize::from(fixed[0] & 0x0f);
        rest = rest.get(contributors * 4..).ok_or(truncated)?;
        if fixed[0] & 0x10 != 0 {
            let (head, after) = rest.split_first_chunk::<4>().ok_or(truncated)?;
            let words = usize::from(u16::from_be_bytes([head[2], head[3]]));
            rest = after.get(words * 4..).ok_or(truncated)?;
        }
        if fixed[0] & 0x20 != 0 {
            let padding = rest.last().copied().ok_or(truncated)?;
            let kept = rest.len().checked_sub(usize::from(padding));
            match kept {
                Some(kept) if padding > 0 => rest = &rest[..kept],
                _ => return Err(MalformedPacket::Padding(padding)),
            }
        }
        Ok(Self {
            header: RtpHeader {
                marker: fixed[1] & 0x80 != 0,
                payload_type: fixed[1] & 0x7f,
                sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
                timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
                ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            },
            payload: rest,
        })
    }
}

impl RtpHeader {
    /// Replaces `datagram` by this header and `payload`. A payload type above 127 loses its top
    /// bit.
    pub fn build(&self, payload: &[u8], datagram: &mut Vec<u8>) {
        datagram.clear();
        datagram.push(0x80);
        datagram.push(u8::from(self.marker) << 7 | (self.payload_type & 0x7f));
        datagram.extend_from_slice(&self.sequence.to_be_bytes());
        datagram.extend_from_slice(&self.timestamp.to_be_bytes());
        datagram.extend_from_slice(&self.ssrc.to_be_bytes());
        datagram.extend_from_slice(payload);
    }
}

/// Whether a datagram that came to an RTP port is RTCP sent with multiplexing (RFC 5761 section
/// 4): the packet types 192 to 223 fall on RTP payload types that nobody uses.
pub fn is_rtcp(datagram: &[u8]) -> bool {
    datagram.len() >= 8 && datagram[0] >> 6 == 2 && (192..=223).contains(&datagram[1])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn header()(
            marker: bool,
            payload_type in 0u8..128,
            sequence: u16,
            timestamp: u32,
            ssrc: u32,
        ) -> RtpHeader {
            RtpHeader { marker, payload_type, sequence, timestamp, ssrc }
        }
    }

    proptest! {
        #[test]
        fn what_is_built_parses_back(
            header in header(),
            payload in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let mut datagram = Vec::new();
            header.build(&payload, &mut datagram);
            prop_assert_eq!(RtpPacket::parse(&datagram), Ok(RtpPacket { header, payload: &payload }));
        }

        #[test]
        fn no_datagram_panics_and_a_payload_is_always_inside_it(
            datagram in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            if let Ok(packet) = RtpPacket::parse(&datagram) {
                prop_assert!(packet.payload.len() + HEADER_BYTES <= datagram.len());
            }
        }

        #[test]
        fn contributors_extension_and_padding_are_taken_off(
            header in header(),
            payload in prop::collection::vec(any::<u8>(), 0..200),
            contributors in 0usize..16,
            extension_words in 0usize..5,
            padding in 1u8..20,
        ) {
            let mut datagram = Vec::new();
            header.build(&[], &mut datagram);
            datagram[0] |= 0x30 | contributors as u8;
            datagram.extend(std::iter::repeat_n(0xcc, contributors * 4));
            datagram.extend([0xbe, 0xde, 0, extension_words as u8]);
            datagram.extend(std::iter::repeat_n(0xee, extension_words * 4));
            datagram.extend(&payload);
            datagram.extend(std::iter::repeat_n(0, usize::from(padding) - 1));
            datagram.push(padding);
            prop_assert_eq!(RtpPacket::parse(&datagram), Ok(RtpPacket { header, payload: &payload }));
        }
    }

    #[test]
    fn what_is_not_rtp_is_refused_by_reason() {
        assert_eq!(RtpPacket::parse(&[]), Err(MalformedPacket::Truncated(0)));
        assert_eq!(
            RtpPacket::parse(b"OPTIONS sip:x SIP/2.0"),
            Err(MalformedPacket::Version(1))
        );
        let mut padded = Vec::new();
        RtpHeader::default().build(&[200], &mut padded);
        padded[0] |= 0x20;
        assert_eq!(
            RtpPacket::parse(&padded),
            Err(MalformedPacket::Padding(200))
        );
    }
}
