//! OpenAI's HTTP API, both ways.
//!
//! - [`server`]: serves any models behind the traits of `trunkline-inference` over a unix socket
//!   or loopback TCP, so that OpenAI's own clients work against them unmodified.
//! - [`remote`]: stands any OpenAI-compatible endpoint behind the same traits, with keys that take
//!   turns, a circuit breaker and time budgets.
//!
//! What is in a model's place is not known here: everything is written against the traits. What
//! a model cannot do is refused with a message, never left out silently.
//!
//! Deliberately not here: the models and their workers (`trunkline-engine`), and any other way
//! out of this machine than to the endpoints that are configured.
#![forbid(unsafe_code)]

mod error;
mod key;
pub mod remote;
pub mod server;
mod sound;
mod wire;

pub use error::OpenAiError;
pub use key::KeySource;
