//! The audio codecs of a leg and how SDP and RTP name them.
//!
//! Encoding and decoding themselves live in `trunkline-audio`; choosing a codec from an offer is
//! the gateway's part.

use std::fmt;
use std::str::FromStr;

/// A codec that we speak on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 µ-law, 64 kbit/s.
    Pcmu,
    /// G.711 A-law, 64 kbit/s.
    Pcma,
    /// G.722, 64 kbit/s, 16 kHz audio on an 8 kHz RTP clock (RFC 3551 section 4.5.2).
    G722,
}

/// The encoding is not one that we speak.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a codec that we speak: expected PCMU/8000, PCMA/8000 or G722/8000")]
pub struct UnknownCodec(pub String);

impl Codec {
    /// All of them, in our order of preference on a telephone trunk.
    pub const ALL: [Self; 3] = [Self::Pcmu, Self::Pcma, Self::G722];

    /// The encoding name of RFC 3551.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
        }
    }

    /// The payload type that RFC 3551 assigns.
    pub const fn static_payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
            Self::G722 => 9,
        }
    }

    /// The codec that RFC 3551 assigns to a payload type.
    pub fn from_static_payload_type(payload_type: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.static_payload_type() == payload_type)
    }

    /// The rate of the RTP timestamp. 8000 for G.722 too, by an old mistake kept for
    /// compatibility.
    pub const fn clock_hz(self) -> u32 {
        8000
    }

    /// The rate of the audio.
    pub const fn sample_rate_hz(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma => 8000,
            Self::G722 => 16_000,
        }
    }

    /// Samples of one 20 ms frame at the codec's own rate.
    pub const fn frame_samples(self) -> usize {
        match self {
            Self::Pcmu | Self::Pcma => 160,
            Self::G722 => 320,
        }
    }
}

impl fmt::Display for Codec {
    /// As in an `a=rtpmap` line: `PCMU/8000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name(), self.clock_hz())
    }
}

impl FromStr for Codec {
    type Err = UnknownCodec;

    /// From the encoding part of an `a=rtpmap` line: `PCMU/8000` or `PCMU/8000/1`, any case.
    fn from_str(encoding: &str) -> Result<Self, UnknownCodec> {
        let mut parts = encoding.split('/');
        let name = parts.next().unwrap_or_default();
        let clock = parts.next().unwrap_or_default();
        let channels = parts.next().unwrap_or("1");
        if clock != "8000" || channels != "1" || parts.next().is_some() {
            return Err(UnknownCodec(encoding.to_owned()));
        }
        Self::ALL
            .into_iter()
            .find(|codec| codec.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownCodec(encoding.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_codec_reads_back_from_its_rtpmap_and_its_static_payload_type() {
        for codec in Codec::ALL {
            assert_eq!(codec.to_string().parse(), Ok(codec));
            assert_eq!(
                Codec::from_static_payload_type(codec.static_payload_type()),
                Some(codec)
            );
        }
        assert_eq!("pcma/8000/1".parse(), Ok(Codec::Pcma));
    }

    #[test]
    fn a_codec_with_another_clock_or_more_channels_is_refused() {
        for encoding in ["PCMU/16000", "PCMU/8000/2", "opus/48000/2", "PCMU", ""] {
            assert!(encoding.parse::<Codec>().is_err(), "{encoding}");
        }
    }
}
