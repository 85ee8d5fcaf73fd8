//! What media tells signalling about a leg, and its figures.

use std::net::SocketAddr;
use std::time::Duration;

use trunkline_rtp::RtpStatistics;

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
    /// A fault of ours took the leg off the wheel; no tick follows.
    Failed,
}

/// What all legs together have done since the wheel started, those that are gone included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MediaTotals {
    /// RTP packets received.
    pub packets_received: u64,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// RTP packets that never came.
    pub packets_lost: u64,
    /// Events that found a channel to an agent full and were dropped.
    pub events_dropped: u64,
}

/// The figures of one leg, as of the last second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MediaStatistics {
    /// Of the stream.
    pub rtp: RtpStatistics,
    /// Ticks of the wheel that this leg has had.
    pub ticks: u64,
    /// Events that found the channel to the agent full and were dropped.
    pub events_dropped: u64,
    /// Datagrams that the kernel refused to send.
    pub send_errors: u64,
}
