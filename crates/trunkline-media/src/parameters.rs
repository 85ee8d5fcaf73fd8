//! What signalling settles about a leg's media, what media tells signalling, and the figures.

use std::net::SocketAddr;
use std::time::Duration;

use trunkline_rtp::Codec;

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

/// What the wheel tells the signalling side of a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MediaNotice {
    /// The far end's audio comes from here, whatever its SDP said; we send there too.
    Latched(SocketAddr),
    /// No packet came for the configured time. Told once for each silence.
    RtpTimeout {
        /// How long nothing came.
        silent_for: Duration,
    },
}

/// The figures of one leg, as of the last second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MediaStatistics {
    /// Where we send to and receive from, once known.
    pub remote: Option<SocketAddr>,
    /// Ticks of the wheel that this leg has had.
    pub ticks: u64,
    /// RTP packets received that belong to the stream.
    pub packets_received: u64,
    /// RTP packets sent, telephone events included.
    pub packets_sent: u64,
    /// Packets that never came, by sequence number (RFC 3550 appendix A.3).
    pub packets_lost: u64,
    /// Packets that came after their time to be played.
    pub packets_late: u64,
    /// Packets that came twice.
    pub packets_duplicate: u64,
    /// Datagrams ignored: not RTP, unknown payload type, or from a stranger.
    pub datagrams_ignored: u64,
    /// Frames invented for lost packets.
    pub frames_concealed: u64,
    /// Interarrival jitter of what we receive (RFC 3550 section 6.4.1).
    pub jitter: Duration,
    /// The delay that the jitter buffer aims for at present.
    pub jitter_target: Duration,
    /// Round trip by RTCP, once the far end has reported on us.
    pub round_trip: Option<Duration>,
    /// Share of our packets that the far end last reported lost, 0 to 1.
    pub far_end_loss: Option<f32>,
    /// Events that found the channel to the agent full and were dropped.
    pub events_dropped: u64,
    /// Datagrams that the kernel refused to send.
    pub send_errors: u64,
}
