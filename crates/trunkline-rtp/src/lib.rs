//! RTP and RTCP of one audio stream (RFC 3550, RFC 3551), telephone events (RFC 4733), jitter
//! buffer, concealment and comfort noise.
//!
//! Sans-IO: datagrams and the time go in as arguments, frames and datagrams come out. No sockets,
//! no clock and no randomness here; `trunkline-media` brings those.
#![forbid(unsafe_code)]

mod codec;

pub use codec::{Codec, UnknownCodec};
