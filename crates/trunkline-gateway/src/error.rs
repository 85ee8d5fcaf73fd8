//! What can go wrong with signalling.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use trunkline_media::MediaError;

use crate::wire::Transport;

/// What can go wrong with signalling.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// A value of the configuration cannot work.
    #[error("{key}: {reason}")]
    Invalid {
        /// The key, with its table: `trunk.main.peers`.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A listener cannot be opened, for instance because the port is taken.
    #[error(
        "cannot listen for SIP on {transport:?} {address}: {source}; is another program using the port?"
    )]
    Listen {
        /// Which transport.
        transport: Transport,
        /// Where we tried.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A password cannot be read.
    #[error("{key}: cannot read the password from {path}: {source}")]
    PasswordFile {
        /// The key, with its table.
        key: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No trunk can carry the outbound call.
    #[error("no trunk can place this call: {0}")]
    NoTrunk(String),
    /// As many calls as `sip.max_calls` allows are running.
    #[error("at capacity: {0} calls are running (sip.max_calls)")]
    AtCapacity(usize),
    /// The gateway is draining or has stopped.
    #[error("the gateway takes no new calls: it is draining")]
    Draining,
    /// No port for the audio.
    #[error("no media for the call: {0}")]
    Media(#[from] MediaError),
    /// The far end cannot be reached.
    #[error("cannot reach {target}: {reason}")]
    Unreachable {
        /// Whom.
        target: String,
        /// Why not.
        reason: String,
    },
}
