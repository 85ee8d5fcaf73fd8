//! What signalling settles about a leg's media.

use std::net::SocketAddr;
use std::time::Duration;

use crate::Codec;

/// What the SDP exchange settled about one leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaParameters {
    /// Where the far end's SDP says that it listens. An unspecified address or port 0 means
    /// unknown or held: nothing is sent until a source is learnt.
    pub remote: SocketAddr,
    /// The codec, both ways.
    pub codec: Codec,
    /// The RTP payload type of the codec, 0 to 127.
    pub payload_type: u8,
    /// The payload type of telephone events at 8000 Hz (RFC 4733), when both sides have it.
    /// Without it, keys are sent as tones in the audio.
    pub telephone_event: Option<u8>,
    /// How much audio the far end wants in a packet; 10 to 60 ms. 20 ms is usual.
    pub ptime: Duration,
    /// Whether the far end sends to us. While false the RTP timeout does not fire and the
    /// caller's frames are absent.
    pub receive: bool,
    /// Whether the far end wants our audio. While false nothing is sent and playout waits.
    pub send: bool,
}

impl MediaParameters {
    /// Both ways, 20 ms, with the codec's own payload type and no telephone events.
    pub fn new(remote: SocketAddr, codec: Codec) -> Self {
        Self {
            remote,
            codec,
            payload_type: codec.static_payload_type(),
            telephone_event: None,
            ptime: Duration::from_millis(20),
            receive: true,
            send: true,
        }
    }
}
