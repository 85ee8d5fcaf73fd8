//! The call: one owner for each, from the leg that a gateway hands over to the last line in the
//! store.
//!
//! [`core::CallCore`] decides, without I/O; the driver carries out. What the core is told and
//! what it decides is the call's event log ([`log`]): the live view, the trace and the replay.
//! This crate knows nothing of carriers, and nothing of what serves the models.
#![forbid(unsafe_code)]

mod ahead;
pub mod core;
mod driver;
pub mod frames;
mod journal;
pub mod log;
mod measure;
mod memory;
mod replay;
mod sound;
mod streams;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, broadcast, watch};
use trunkline_inference::{ChatModel, Synthesizer, Transcriber};
use trunkline_leg::{CallLeg, LegEvent, RejectReason, SignallingCommand};
use trunkline_store::{CallEnd, NewCall, Recorder, Store, StoreError};
use trunkline_types::{CallId, EndReason};

use crate::core::CallCore;
use crate::driver::{Driver, Finished, now};
use crate::journal::Journal;
use crate::log::{LiveEntry, Opening};

pub use replay::{Replay, ReplayError, replay};

/// How many live entries a slow watcher may fall behind before it misses some.
const LIVE_BACKLOG: usize = 4096;

/// A workflow that calls can be routed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedWorkflow {
    /// What tells this text from another of the same name, e.g. a hash.
    pub version: String,
    /// The document, already validated.
    pub document: String,
}

/// What an agent works with.
pub struct AgentSettings {
    /// Where calls are kept.
    pub store: Store,
    /// Where recordings are written; `None` records nothing.
    pub recorder: Option<Recorder>,
    /// What hears.
    pub transcriber: Arc<dyn Transcriber>,
    /// What chooses and replies.
    pub chat: Arc<dyn ChatModel>,
    /// What speaks.
    pub voice: Arc<dyn Synthesizer>,
    /// Which of its voices; `None` is its own.
    pub voice_name: Option<String>,
    /// By the name that numbers are routed to.
    pub workflows: BTreeMap<String, PublishedWorkflow>,
}

/// Takes calls.
#[derive(Clone)]
pub struct Agent {
    parts: Arc<AgentParts>,
}

pub(crate) struct AgentParts {
    pub(crate) store: Store,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) transcriber: Arc<dyn Transcriber>,
    pub(crate) chat: Arc<dyn ChatModel>,
    pub(crate) voice: Arc<dyn Synthesizer>,
    pub(crate) voice_name: Option<String>,
    pub(crate) journal: Journal,
    pub(crate) live: broadcast::Sender<Arc<LiveEntry>>,
    workflows: BTreeMap<String, PublishedWorkflow>,
    running: AtomicUsize,
    one_ended: Notify,
    shutdown: watch::Sender<bool>,
}

/// Why a call could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The number is routed to a workflow that is not there.
    #[error("the workflow {name:?} that {number} is routed to does not exist")]
    UnknownWorkflow {
        /// The name in the route.
        name: String,
        /// The called number.
        number: String,
    },
    /// The workflow cannot run.
    #[error("the workflow {name:?} is not valid: {problem}")]
    InvalidWorkflow {
        /// Its name.
        name: String,
        /// The first of its problems.
        problem: String,
    },
    /// The store refused the call.
    #[error("the call cannot be stored: {0}")]
    Store(#[from] StoreError),
}

impl Agent {
    /// Makes an agent. Must be called inside a tokio runtime: it starts the task that writes.
    pub fn new(settings: AgentSettings) -> Self {
        let journal = Journal::start(settings.store.clone());
        let parts = AgentParts {
            store: settings.store,
            recorder: settings.recorder,
            transcriber: settings.transcriber,
            chat: settings.chat,
            voice: settings.voice,
            voice_name: settings.voice_name,
            journal,
            live: broadcast::channel(LIVE_BACKLOG).0,
            workflows: settings.workflows,
            running: AtomicUsize::new(0),
            one_ended: Notify::new(),
            shutdown: watch::channel(false).0,
        };
        Self {
            parts: Arc::new(parts),
        }
    }

    /// Everything that happens in all calls from now on.
    pub fn watch(&self) -> broadcast::Receiver<Arc<LiveEntry>> {
        self.parts.live.subscribe()
    }

    /// How many calls run.
    pub fn running(&self) -> usize {
        self.parts.running.load(Ordering::Acquire)
    }

    /// Takes a call and runs it on a task of its own. A call that cannot be taken is refused.
    pub fn take(&self, leg: CallLeg) {
        let parts = Arc::clone(&self.parts);
        parts.running.fetch_add(1, Ordering::AcqRel);
        tokio::spawn(async move {
            let guard = RunningCall(Arc::clone(&parts));
            Box::pin(run_call(parts, leg)).await;
            drop(guard);
        });
    }

    /// Waits until no call runs, or the time is over; returns how many still run.
    pub async fn drain(&self, patience: Duration) -> usize {
        let until = tokio::time::Instant::now() + patience;
        while self.running() > 0 {
            let ended = self.parts.one_ended.notified();
            if self.running() == 0 || tokio::time::timeout_at(until, ended).await.is_err() {
                break;
            }
        }
        self.running()
    }

    /// Ends the calls that still run, and writes what is not yet written.
    pub async fn shut_down(&self) {
        self.parts.shutdown.send_replace(true);
        self.drain(Duration::from_secs(10)).await;
        self.parts.journal.flush_at_last().await;
    }
}

struct RunningCall(Arc<AgentParts>);

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
        self.0.one_ended.notify_waiters();
        measure::call_left();
    }
}

async fn run_call(parts: Arc<AgentParts>, leg: CallLeg) {
    measure::call_taken();
    let (call_id, started) = (leg.info.call_id, leg.info.started);
    let version = parts
        .workflows
        .get(&leg.info.workflow)
        .map(|w| w.version.clone());
    let stored = parts
        .store
        .insert_call(&new_call(&leg, version.unwrap_or_default()))
        .await;
    let prepared = stored
        .map_err(AgentError::from)
        .and_then(|()| prepare(&parts, &leg));
    let finished = match prepared {
        Ok((opening, core)) => {
            let shutdown = parts.shutdown.subscribe();
            Driver::new(Arc::clone(&parts), leg, core)
                .run(opening, shutdown)
                .await
        }
        Err(error) => {
            tracing::error!(%call_id, %error, "a call is refused");
            refuse(leg, &error).await
        }
    };
    measure::call_ended(finished.reason);
    measure::call_lasted(started, now());
    conclude(&parts, call_id, finished).await;
}

fn new_call(leg: &CallLeg, workflow_version: String) -> NewCall {
    let info = &leg.info;
    NewCall {
        id: info.call_id,
        direction: info.direction,
        from: info.from.clone(),
        to: info.to.clone(),
        trunk: info.trunk.clone(),
        workflow: info.workflow.clone(),
        workflow_version,
        carrier_call_id: info.carrier_call_id.clone(),
        started: info.started,
    }
}

fn prepare(parts: &AgentParts, leg: &CallLeg) -> Result<(Opening, CallCore), AgentError> {
    let info = &leg.info;
    let workflow =
        parts
            .workflows
            .get(&info.workflow)
            .ok_or_else(|| AgentError::UnknownWorkflow {
                name: info.workflow.clone(),
                number: info.to.to_string(),
            })?;
    let opening = Opening {
        call_direction: info.direction,
        from: info.from.clone(),
        to: info.to.to_string(),
        started_us: info.started.as_micros(),
        workflow: info.workflow.clone(),
        workflow_document: workflow.document.clone(),
        transcriber: parts.transcriber.info(),
        chat: parts.chat.info(),
        voice: parts.voice.info(),
    };
    let core = CallCore::open(&opening).map_err(|problem| AgentError::InvalidWorkflow {
        name: info.workflow.clone(),
        problem,
    })?;
    Ok((opening, core))
}

async fn refuse(mut leg: CallLeg, error: &AgentError) -> Finished {
    let _ = leg
        .signalling
        .send(SignallingCommand::Reject(RejectReason::Unavailable));
    let ended = async {
        while let Some(event) = leg.events.recv().await {
            if matches!(event, LegEvent::Ended { .. }) {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), ended).await;
    let detail = Some(error.to_string());
    Finished {
        reason: EndReason::AgentFailed,
        detail,
        disposition: None,
        recording: None,
    }
}

/// Closes the recording and writes the end. The event log goes first: a call that has an end
/// in the store is complete.
async fn conclude(parts: &AgentParts, call_id: CallId, finished: Finished) {
    let recording = match finished.recording {
        Some(recording) => match recording.finish().await {
            Ok(file) => {
                if let Some(fault) = file.fault {
                    measure::recording_fault();
                    tracing::error!(%call_id, error = %fault, "the recording is short");
                }
                Some(file.path.display().to_string())
            }
            Err(error) => {
                measure::recording_fault();
                tracing::error!(%call_id, %error, "the recording is lost");
                None
            }
        },
        None => None,
    };
    parts.journal.flush().await;
    let end = CallEnd {
        at: now(),
        reason: finished.reason,
        detail: finished.detail,
        disposition: finished.disposition,
        recording,
    };
    if let Err(error) = parts.store.end_call(call_id, &end).await {
        tracing::error!(%call_id, %error, "the end of a call could not be stored");
    }
    tracing::info!(%call_id, reason = %end.reason, "call ended");
}
