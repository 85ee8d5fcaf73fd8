//! The `[remote.stt]`, `[remote.llm]` and `[remote.tts]` tables: where a model is served by
//! others instead of in this process.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::target::Target;
use crate::KeySource;

/// Which models are remote. One that is absent runs in this process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RemoteConfig {
    /// Speech to text.
    pub stt: Option<PoolConfig>,
    /// Language model.
    pub llm: Option<PoolConfig>,
    /// Text to speech.
    pub tts: Option<PoolConfig>,
}

impl RemoteConfig {
    /// What is wrong with the values, if anything; names the key.
    ///
    /// # Errors
    /// The complaint.
    pub fn check(&self) -> Result<(), String> {
        let pools = [("stt", &self.stt), ("llm", &self.llm), ("tts", &self.tts)];
        for (name, pool) in pools {
            if let Some(pool) = pool {
                pool.check().map_err(|why| format!("remote.{name}.{why}"))?;
            }
        }
        Ok(())
    }
}

/// The endpoints that serve one model, in the order in which they are tried, and how long each
/// part of a request may take.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    /// What the model is called there.
    pub model: String,
    /// Where it is served.
    pub endpoint: Vec<EndpointConfig>,
    /// Milliseconds to a connection, TLS included.
    #[serde(default = "connect_ms")]
    pub connect_ms: u32,
    /// Milliseconds from the request to the first token or sound.
    #[serde(default = "first_ms")]
    pub first_ms: u32,
    /// Milliseconds to the end of the answer, all attempts together.
    #[serde(default = "total_ms")]
    pub total_ms: u32,
}

fn connect_ms() -> u32 {
    1_000
}

fn first_ms() -> u32 {
    5_000
}

fn total_ms() -> u32 {
    60_000
}

fn max_requests() -> usize {
    32
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// `unix:/path/of/the.socket`, `http://host:port/v1` or `https://host/v1`.
    pub url: String,
    /// What the model is called here, where it is called otherwise.
    pub model: Option<String>,
    /// Keys that take turns. None where the endpoint asks for none.
    #[serde(default)]
    pub key: Vec<KeySource>,
    /// Requests at once for each key.
    #[serde(default = "max_requests")]
    pub max_requests: usize,
    /// PEM certificates of the authorities that are trusted here, instead of the public ones.
    pub ca_file: Option<PathBuf>,
}

impl PoolConfig {
    fn check(&self) -> Result<(), String> {
        if self.model.is_empty() {
            return Err("model: it is empty".to_owned());
        }
        if self.endpoint.is_empty() {
            return Err("endpoint: there is none".to_owned());
        }
        let budgets = [
            ("connect_ms", self.connect_ms),
            ("first_ms", self.first_ms),
            ("total_ms", self.total_ms),
        ];
        if let Some((name, _)) = budgets.iter().find(|(_, ms)| *ms == 0) {
            return Err(format!("{name}: it must be 1 or more"));
        }
        for (index, endpoint) in self.endpoint.iter().enumerate() {
            let at = |field: &str, why: &str| format!("endpoint.{index}.{field}: {why}");
            let target = Target::parse(&endpoint.url);
            target.map_err(|error| at("url", &error.to_string()))?;
            if endpoint.max_requests == 0 {
                return Err(at("max_requests", "it must be 1 or more"));
            }
            for key in &endpoint.key {
                key.check().map_err(|why| at("key", &why))?;
            }
        }
        Ok(())
    }

    pub(super) fn budgets(&self) -> Budgets {
        Budgets {
            connect: Duration::from_millis(self.connect_ms.into()),
            first: Duration::from_millis(self.first_ms.into()),
            total: Duration::from_millis(self.total_ms.into()),
        }
    }
}

/// How long each part of a request may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budgets {
    /// To a connection.
    pub(super) connect: Duration,
    /// To the first token or sound, of each attempt.
    pub(super) first: Duration,
    /// To the end, all attempts together.
    pub(super) total: Duration,
}
