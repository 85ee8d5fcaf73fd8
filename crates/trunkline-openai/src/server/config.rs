//! The `[engine]` table.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::{Address, Limits};
use crate::KeySource;

/// Where a server listens, and its bounds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// A unix socket or a loopback address.
    pub listen: Address,
    /// Requests at once; more get 429.
    pub max_requests: usize,
    /// Seconds of audio in a file.
    pub max_audio_s: u32,
    /// A file that holds the key that clients have to show.
    pub api_key_file: Option<PathBuf>,
    /// An environment variable that holds it.
    pub api_key_env: Option<String>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: Address::Unix(PathBuf::from("./var/engine.sock")),
            max_requests: 256,
            max_audio_s: 300,
            api_key_file: None,
            api_key_env: None,
        }
    }
}

impl ServerConfig {
    /// What is wrong with the values, if anything; names the key.
    ///
    /// # Errors
    /// The complaint.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=10_000).contains(&self.max_requests) {
            return Err("engine.max_requests: it must be 1 to 10000".to_owned());
        }
        if !(1..=3600).contains(&self.max_audio_s) {
            return Err("engine.max_audio_s: it must be 1 to 3600".to_owned());
        }
        let key = self.key();
        key.check()
            .map_err(|why| format!("engine.api_key_file: {why}"))
    }

    /// Where the key comes from.
    pub fn key(&self) -> KeySource {
        KeySource {
            api_key_file: self.api_key_file.clone(),
            api_key_env: self.api_key_env.clone(),
        }
    }

    /// The bounds.
    pub fn limits(&self) -> Limits {
        Limits {
            requests: self.max_requests,
            audio: Duration::from_secs(self.max_audio_s.into()),
        }
    }
}
