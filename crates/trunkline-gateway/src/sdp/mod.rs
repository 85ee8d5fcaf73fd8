//! SDP (RFC 8866) and its offer/answer exchange (RFC 3264) for telephone calls: one audio stream
//! of G.711 or G.722 with telephone events over plain RTP.
//!
//! Pure: reads text, returns values, prints text. It offers no video, no SRTP, no ICE and no
//! rtcp-mux; what an offer holds of these is refused the way RFC 3264 asks, stream by stream.

mod answer;
mod body;
mod describe;
mod parse;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use trunkline_rtp::Codec;

pub(crate) use answer::{accept, answer};
pub(crate) use body::sdp_of;
pub(crate) use describe::Local;
pub(crate) use parse::parse;

/// Why a description cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// It is not SDP.
    #[error("malformed SDP: {0}")]
    Malformed(&'static str),
    /// It is SDP, but there is nothing in it that we can talk over.
    #[error("no usable audio: {0}")]
    Unusable(&'static str),
}

/// The answer that a call listening on `rtp` would give to this offer, outside any call. For
/// tools and fuzzing; calls keep their own side of the session.
///
/// # Errors
/// [`SdpError`] when the offer cannot be read or holds nothing that we can talk over.
pub fn answer_to(offer: &[u8], rtp: SocketAddr) -> Result<String, SdpError> {
    let offer = parse(offer)?;
    answer(&offer, &mut Local::new(rtp, 0)).map(|(text, _)| text)
}

/// Who sends, from the point of view of whoever wrote the description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Both.
    SendRecv,
    /// Only the writer sends: music on hold.
    SendOnly,
    /// The writer only listens.
    RecvOnly,
    /// Nobody.
    Inactive,
}

impl Direction {
    pub(crate) fn attribute(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// The same stream seen from the other end.
    pub(crate) fn mirrored(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            both => both,
        }
    }

    pub(crate) fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    pub(crate) fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

/// What an exchange settled about the audio stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// Where the far end listens; unspecified when it is on hold the old way.
    pub(crate) remote: SocketAddr,
    /// The codec both ways.
    pub(crate) codec: Codec,
    /// Its payload type.
    pub(crate) payload_type: u8,
    /// The payload type of telephone events.
    pub(crate) telephone_event: Option<u8>,
    /// Audio per packet that the far end wants.
    pub(crate) ptime: Duration,
    /// Who sends, from our point of view.
    pub(crate) direction: Direction,
}

impl Agreed {
    /// Whether the far end holds us: it does not want to hear us.
    pub(crate) fn held(&self) -> bool {
        !self.direction.sends()
    }
}

/// Whether a connection address means "send nothing" (RFC 2543 hold).
fn is_hole(address: IpAddr) -> bool {
    address.is_unspecified()
}
