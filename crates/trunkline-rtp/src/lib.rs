//! RTP and RTCP of one audio stream (RFC 3550, RFC 3551), telephone events (RFC 4733), jitter
//! buffer, concealment and comfort noise.
//!
//! Sans-IO: datagrams and the time go in as arguments, frames and datagrams come out of
//! [`RtpLeg`]. No sockets, no clock and no randomness here; `trunkline-media` brings those.
#![forbid(unsafe_code)]

mod codec;
mod comfort_noise;
mod conceal;
mod delay;
mod jitter;
mod latch;
mod leg;
mod packet;
mod parameters;
mod payload;
mod receive;
mod report;
mod rtcp;
mod send;
mod sequence;
mod telephone_event;

pub use codec::{Codec, UnknownCodec};
pub use comfort_noise::{COMFORT_NOISE_PAYLOAD_TYPE, ComfortNoise};
pub use conceal::Concealer;
pub use jitter::{Due, Inserted, JitterBuffer, JitterConfig, Timed};
pub use leg::{FrameSource, RtpConfig, RtpLeg, RtpNotice, RtpStatistics};
pub use packet::{HEADER_BYTES, MalformedPacket, RtpHeader, RtpPacket, is_rtcp};
pub use parameters::MediaParameters;
pub use rtcp::{NtpTime, ReportBlock, RtcpPacket, SenderInfo, build_compound, parse_compound};
pub use send::StreamIdentity;
pub use telephone_event::{EventPayload, KeyPress, KeyReceiver, KeySender, KeyTick, SENT_KEY};
