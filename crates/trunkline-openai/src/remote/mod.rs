//! Models that others serve: the three traits over any OpenAI-compatible endpoint.
//!
//! Several endpoints and keys stand behind each model. What fails is tried elsewhere within the
//! time that there is, and what is over its limit is left alone until it may be asked again; see
//! the modules `rotation` and `breaker`. What is left at the end is a typed error that says
//! whether another attempt can help.
//!
//! No other address than the configured ones is ever connected to.

mod answer;
mod breaker;
mod chat;
mod choice;
mod config;
mod connection;
mod events;
mod failure;
mod pool;
mod rotation;
mod target;
#[cfg(test)]
mod tests;
mod transcriber;
mod voice;

pub use chat::RemoteChat;
pub use config::{EndpointConfig, PoolConfig, RemoteConfig};
pub use transcriber::RemoteTranscriber;
pub use voice::RemoteVoice;

/// What runs a remote model, in [`trunkline_inference::ModelInfo::engine`].
const ENGINE: &str = "remote";
