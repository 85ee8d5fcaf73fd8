//! The running parts, as the operations page and the shutdown see them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use trunkline_agent::Agent;
use trunkline_engine::Models;
use trunkline_gateway::{Gateway, GatewayError, OutboundCall};
use trunkline_media::MediaWheel;
use trunkline_store::Store;
use trunkline_telemetry::Metrics;
use trunkline_types::{CallId, Timestamp};

use crate::http::PlaceCall;
use crate::workflows::STARTER;

/// What does not change while the appliance runs.
#[derive(Debug)]
pub(crate) struct About {
    /// When it came up.
    pub(crate) started: Instant,
    /// The database file.
    pub(crate) database: PathBuf,
    /// Where recordings lie; `None` when calls are not recorded.
    pub(crate) recordings: Option<PathBuf>,
    /// Where SIP is answered, in words.
    pub(crate) listeners: String,
    /// The workflows that calls can be routed to.
    pub(crate) workflows: BTreeSet<String>,
    /// `sip.max_calls`.
    pub(crate) max_calls: usize,
}

impl About {
    /// The names of the workflows in a row.
    pub(crate) fn workflow_names(&self) -> String {
        let names: Vec<&str> = self.workflows.iter().map(String::as_str).collect();
        names.join(", ")
    }
}

/// How far the shutdown has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    Draining,
    Closed,
}

/// The running parts.
pub(crate) struct Appliance {
    pub(crate) about: About,
    pub(crate) store: Store,
    pub(crate) models: Models,
    pub(crate) agent: Agent,
    pub(crate) gateway: Gateway,
    pub(crate) media: Arc<MediaWheel>,
    pub(crate) metrics: Metrics,
    phase: watch::Sender<Phase>,
}

/// Why a call could not be placed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    /// There is no such workflow.
    #[error("there is no workflow {name:?}; there is {known}")]
    UnknownWorkflow {
        /// As asked for.
        name: String,
        /// Those that are there.
        known: String,
    },
    /// Signalling refused.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// No id could be made.
    #[error("the system gives no random numbers")]
    Random,
}

impl Appliance {
    pub(crate) fn new(
        about: About,
        store: Store,
        models: Models,
        agent: Agent,
        gateway: Gateway,
        media: Arc<MediaWheel>,
        metrics: Metrics,
    ) -> Self {
        Self {
            about,
            store,
            models,
            agent,
            gateway,
            media,
            metrics,
            phase: watch::Sender::new(Phase::Open),
        }
    }

    /// What serves, in words.
    pub(crate) fn models_in_words(&self) -> String {
        let infos = [
            self.models.transcriber.info(),
            self.models.chat.info(),
            self.models.voice.info(),
        ];
        let words = infos.map(|info| format!("{} ({})", info.name, info.engine));
        words.join(", ")
    }

    /// Takes no new calls from now on.
    pub(crate) fn drain(&self) {
        self.phase.send_replace(Phase::Draining);
        self.gateway.drain();
    }

    /// Ends the live feeds.
    pub(crate) fn close(&self) {
        self.phase.send_replace(Phase::Closed);
    }

    /// Whether new calls are refused.
    pub(crate) fn is_draining(&self) -> bool {
        *self.phase.borrow() >= Phase::Draining
    }

    /// Completes when the appliance closes.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut phase = self.phase.subscribe();
        async move {
            // An appliance that is gone has closed as well.
            let _ = phase.wait_for(|phase| *phase == Phase::Closed).await;
        }
    }

    /// Places a call and hands it to the agent.
    pub(crate) async fn place(&self, call: PlaceCall) -> Result<CallId, PlaceError> {
        let workflow = call.workflow.unwrap_or_else(|| STARTER.to_owned());
        if !self.about.workflows.contains(&workflow) {
            return Err(PlaceError::UnknownWorkflow {
                name: workflow,
                known: self.about.workflow_names(),
            });
        }
        let mut random = [0; 10];
        getrandom::fill(&mut random).map_err(|_| PlaceError::Random)?;
        let call_id = CallId::new(now(), random);
        let outbound = OutboundCall {
            to: call.to,
            trunk: call.trunk,
            from: None,
            workflow,
            call_id,
        };
        let leg = self.gateway.dial(outbound).await?;
        self.agent.take(leg);
        Ok(call_id)
    }
}

/// The wall clock.
pub(super) fn now() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
}
