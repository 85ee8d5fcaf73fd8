//! What can go wrong with media.

use std::io;
use std::net::SocketAddr;

/// What can go wrong with media.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// A value of the configuration cannot work.
    #[error("media.{key}: {reason}")]
    Invalid {
        /// The key in the `[media]` table.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Every RTP port of the range is taken.
    #[error(
        "no free RTP port between {port_min} and {port_max}: widen media.port_min and media.port_max or take fewer calls"
    )]
    NoFreePort {
        /// The lowest port of the range.
        port_min: u16,
        /// The highest.
        port_max: u16,
    },
    /// The address cannot be bound at all.
    #[error("cannot open an RTP socket on {local}")]
    Socket {
        /// Where we tried.
        local: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A wheel thread could not be started.
    #[error("cannot start a media thread")]
    Thread(#[source] io::Error),
}
