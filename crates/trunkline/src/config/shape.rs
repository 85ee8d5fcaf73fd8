//! The sections of the configuration. Those of other rooms are defined there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use trunkline_engine::{ModelsConfig, default_models_dir};
use trunkline_gateway::{GatewayConfig, NumberConfig, SipConfig, TrunkConfig};
use trunkline_media::MediaConfig;
use trunkline_openai::remote::RemoteConfig;
use trunkline_openai::server::ServerConfig;
use trunkline_telemetry::{LogFormat, check_filter};

/// The document as it stands in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Document {
    pub(super) node: NodeConfig,
    pub(super) sip: SipConfig,
    pub(super) trunk: Vec<TrunkConfig>,
    pub(super) number: Vec<NumberConfig>,
    pub(super) media: MediaConfig,
    pub(super) models: ModelsConfig,
    pub(super) engine: ServerConfig,
    pub(super) remote: RemoteConfig,
    pub(super) workflows: WorkflowsConfig,
    pub(super) recording: RecordingConfig,
    pub(super) http: HttpConfig,
    pub(super) log: LogConfig,
}

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) node: NodeConfig,
    pub(crate) gateway: GatewayConfig,
    pub(crate) media: MediaConfig,
    pub(crate) models: ModelsConfig,
    pub(crate) engine: ServerConfig,
    pub(crate) remote: RemoteConfig,
    pub(crate) workflows: WorkflowsConfig,
    pub(crate) recording: RecordingConfig,
    pub(crate) http: HttpConfig,
    pub(crate) log: LogConfig,
}

/// The `[node]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NodeConfig {
    /// The database, the recordings and the lock of this node.
    pub(crate) data_dir: PathBuf,
    /// Where models are kept; the user's cache folder when unset.
    pub(crate) models_dir: Option<PathBuf>,
    /// Seconds that running calls get to end after SIGTERM.
    pub(crate) drain_timeout_s: u32,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./var"),
            models_dir: None,
            drain_timeout_s: 60,
        }
    }
}

impl NodeConfig {
    /// Where models are kept.
    pub(crate) fn models_dir(&self) -> PathBuf {
        self.models_dir.clone().unwrap_or_else(default_models_dir)
    }

    pub(crate) fn drain_timeout(&self) -> Duration {
        Duration::from_secs(self.drain_timeout_s.into())
    }
}

/// The `[workflows]` table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WorkflowsConfig {
    /// A folder of workflows beside the starter workflow.
    pub(crate) dir: Option<PathBuf>,
}

/// The `[recording]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RecordingConfig {
    /// Whether calls are recorded.
    pub(crate) enabled: bool,
}

impl Default for RecordingConfig {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// The `[http]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HttpConfig {
    /// Where health, metrics and the live view are served. Loopback only.
    pub(crate) listen: SocketAddr,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8088)),
        }
    }
}

/// The `[log]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogConfig {
    /// What is logged.
    pub(crate) filter: String,
    /// How it looks.
    pub(crate) format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            filter: "info,rsipstack=warn".to_owned(),
            format: LogFormat::Text,
        }
    }
}

impl From<Document> for Config {
    fn from(document: Document) -> Self {
        Self {
            node: document.node,
            gateway: GatewayConfig {
                sip: document.sip,
                trunks: document.trunk,
                numbers: document.number,
            },
            media: document.media,
            models: document.models,
            engine: document.engine,
            remote: document.remote,
            workflows: document.workflows,
            recording: document.recording,
            http: document.http,
            log: document.log,
        }
    }
}

impl Config {
    /// What is wrong with the values, if anything; names the key.
    pub(super) fn check(&self) -> Result<(), String> {
        self.gateway.check().map_err(|error| error.to_string())?;
        self.media.check().map_err(|error| error.to_string())?;
        self.engine.check()?;
        self.remote.check()?;
        check_filter(&self.log.filter).map_err(|error| format!("log.filter: {error}"))?;
        if !self.http.listen.ip().is_loopback() {
            return Err(format!(
                "http.listen: {} can be reached from other machines, and this server has no \
                 authentication yet; use a loopback address such as 127.0.0.1:8088",
                self.http.listen
            ));
        }
        Ok(())
    }
}
