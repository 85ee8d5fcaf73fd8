//! The 20 ms wheel: RTP sockets, pacing and voice activity on threads of their own, off the async
//! runtime.
//!
//! Signalling reserves a [`MediaPort`], tells it the far end, and gets ticks and keys as
//! [`trunkline_leg::LegEvent`]s; the agent plays through [`trunkline_leg::MediaControl`]. What a
//! packet means is decided in `trunkline-rtp`; this crate brings the sockets and the clock.
#![forbid(unsafe_code)]

mod config;
mod control;
mod error;
mod identity;
mod leg;
mod notice;
mod pace;
mod playout;
mod port;
mod sockets;
mod totals;
mod wheel;

pub use config::MediaConfig;
pub use error::MediaError;
pub use notice::{MediaNotice, MediaStatistics, MediaTotals};
pub use pace::SendErrorSummary;
pub use port::MediaPort;
pub use trunkline_rtp::{Codec, MediaParameters, RtpStatistics};
pub use wheel::MediaWheel;
