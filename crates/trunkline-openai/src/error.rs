//! What can go wrong before the first request.

use std::io;
use std::path::PathBuf;

/// Why the server does not start or an endpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenAiError {
    /// The address is none that can be used.
    #[error("{address:?} cannot be used: {reason}")]
    Address {
        /// As configured.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// The socket cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The authorities of an endpoint cannot be read.
    #[error("the certificates in {} cannot be used: {reason}", .path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A key cannot be read.
    #[error("the key in {place} cannot be used: {reason}")]
    Key {
        /// The file or variable.
        place: String,
        /// Why.
        reason: String,
    },
}
