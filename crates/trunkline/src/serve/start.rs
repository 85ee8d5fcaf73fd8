//! Brings the parts up in the order in which they need each other, and down again.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use trunkline_agent::{Agent, AgentSettings, PublishedWorkflow};
use trunkline_engine::{Elsewhere, Models, ModelsConfig};
use trunkline_gateway::Gateway;
use trunkline_leg::CallLeg;
use trunkline_media::MediaWheel;
use trunkline_openai::remote::{RemoteChat, RemoteConfig, RemoteTranscriber, RemoteVoice};
use trunkline_store::{Recorder, Store};
use trunkline_telemetry::Metrics;

use super::appliance::{About, Appliance, now};
use crate::config::Config;
use crate::data_dir::{DataDir, Owned};
use crate::{http, workflows};

/// Calls that may wait for the agent's loop; it does no more than start a task for each.
const INCOMING: usize = 64;

/// What a power cut may take of the database.
const DURABLE_EVERY: Duration = Duration::from_secs(1);

/// How long open pages get to end.
const PAGES_END: Duration = Duration::from_secs(2);

/// The appliance with the tasks that keep it going.
pub(super) struct Running {
    pub(super) appliance: Arc<Appliance>,
    recorder: Option<Recorder>,
    address: SocketAddr,
    pages: JoinHandle<()>,
    incoming: JoinHandle<()>,
    durable: JoinHandle<()>,
    _owned: Owned,
}

/// Brings everything up.
pub(super) async fn start(config: Config) -> Result<Running> {
    let (data, owned) = DataDir::new(&config.node.data_dir).own()?;
    let listener = listen(config.http.listen).await?;
    let metrics = Metrics::install()?;
    let workflows = workflows::load(config.workflows.dir.as_deref())?;
    workflows::check_numbers(&config.gateway.numbers, &workflows)?;
    let store = open_store(&data).await?;
    let models = load_models(
        elsewhere(&config.remote)?,
        config.models.clone(),
        config.node.models_dir(),
    )
    .await?;
    let recorder = match config.recording.enabled {
        true => Some(Recorder::start(&data.recordings())?),
        false => None,
    };
    models.warm_up(workflows::constant_prompts(&workflows));
    let agent = Agent::new(AgentSettings {
        store: store.clone(),
        recorder: recorder.clone(),
        transcriber: Arc::clone(&models.transcriber),
        chat: Arc::clone(&models.chat),
        voice: Arc::clone(&models.voice),
        voice_name: config.models.voice.clone(),
        workflows: workflows.clone(),
    });
    let media = Arc::new(MediaWheel::start(config.media)?);
    let (sender, incoming) = mpsc::channel(INCOMING);
    let max_calls = config.gateway.sip.max_calls;
    let gateway = Box::pin(Gateway::start(config.gateway, Arc::clone(&media), sender)).await?;
    let about = About {
        started: Instant::now(),
        database: data.database(),
        recordings: recorder.is_some().then(|| data.recordings()),
        listeners: listeners(&gateway),
        workflows: names(&workflows),
        max_calls,
    };
    let appliance = Arc::new(Appliance::new(
        about,
        store.clone(),
        models,
        agent.clone(),
        gateway,
        media,
        metrics,
    ));
    Ok(Running {
        address: listener.local_addr()?,
        pages: tokio::spawn(serve_pages(listener, Arc::clone(&appliance))),
        incoming: tokio::spawn(take_calls(incoming, agent)),
        durable: tokio::spawn(keep_durable(store)),
        appliance,
        recorder,
        _owned: owned,
    })
}

impl Running {
    /// Says on standard output that calls are taken now, and where.
    pub(super) fn announce(&self) -> Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "trunkline is ready: SIP {}, operations http://{}",
            self.appliance.about.listeners, self.address
        )?;
        out.flush()?;
        Ok(())
    }

    /// Ends what still runs, writes what is not yet written, and closes everything.
    pub(super) async fn stop(self) {
        self.appliance.agent.shut_down().await;
        self.appliance.close();
        if tokio::time::timeout(PAGES_END, self.pages).await.is_err() {
            tracing::debug!("a page was still open");
        }
        self.incoming.abort();
        self.durable.abort();
        if let Some(recorder) = self.recorder {
            recorder.close().await;
        }
        let store = self.appliance.store.clone();
        if let Some(appliance) = Arc::into_inner(self.appliance) {
            appliance.gateway.shutdown().await;
        }
        if let Err(error) = store.make_durable().await {
            tracing::error!(%error, "the database could not be flushed to the disk");
        }
        store.close().await;
        tracing::info!("stopped");
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen for HTTP on {address} (http.listen); is another program using the port?"
        )
    })
}

async fn open_store(data: &DataDir) -> Result<Store> {
    let store = Store::open(&data.database()).await?;
    let recovery = store.recover(&data.recordings(), now()).await?;
    for call in &recovery.calls {
        tracing::warn!(call_id = %call.id, "the last run died during this call; it is marked interrupted");
    }
    for recording in &recovery.recordings {
        tracing::warn!(
            call_id = %recording.call_id,
            path = %recording.path.display(),
            seconds = recording.duration.as_secs(),
            "the recording of an interrupted call is closed"
        );
    }
    for (path, error) in &recovery.left_alone {
        tracing::error!(path = %path.display(), %error, "a recording cannot be closed");
    }
    Ok(store)
}

/// The models that others serve. Their endpoints need not be there yet.
fn elsewhere(config: &RemoteConfig) -> Result<Elsewhere> {
    let runtime = Handle::current();
    let mut parts = Elsewhere::default();
    if let Some(pool) = &config.stt {
        parts.transcriber = Some(Arc::new(RemoteTranscriber::new(pool, runtime.clone())?));
    }
    if let Some(pool) = &config.llm {
        parts.chat = Some(Arc::new(RemoteChat::new(pool, runtime.clone())?));
    }
    if let Some(pool) = &config.tts {
        parts.voice = Some(Arc::new(RemoteVoice::new(pool, runtime)?));
    }
    Ok(parts)
}

pub(super) async fn load_models(
    elsewhere: Elsewhere,
    config: ModelsConfig,
    dir: PathBuf,
) -> Result<Models> {
    let began = Instant::now();
    let models = tokio::task::spawn_blocking(move || Models::load_beside(elsewhere, &config, &dir))
        .await
        .context("loading the models failed")??;
    tracing::info!(
        took_ms = began.elapsed().as_millis(),
        ?models,
        "the models are loaded"
    );
    Ok(models)
}

fn names(workflows: &BTreeMap<String, PublishedWorkflow>) -> std::collections::BTreeSet<String> {
    workflows.keys().cloned().collect()
}

fn listeners(gateway: &Gateway) -> String {
    let udp = gateway
        .local_udp()
        .into_iter()
        .map(|at| format!("udp {at}"));
    let tcp = gateway
        .local_tcp()
        .into_iter()
        .map(|at| format!("tcp {at}"));
    let all: Vec<String> = udp.chain(tcp).collect();
    all.join(", ")
}

async fn serve_pages(listener: TcpListener, appliance: Arc<Appliance>) {
    let closed = appliance.closed();
    let served = axum::serve(listener, http::router(appliance)).with_graceful_shutdown(closed);
    if let Err(error) = served.await {
        tracing::error!(%error, "the operations page has stopped");
    }
}

async fn take_calls(mut incoming: mpsc::Receiver<CallLeg>, agent: Agent) {
    while let Some(leg) = incoming.recv().await {
        agent.take(leg);
    }
}

async fn keep_durable(store: Store) {
    let mut beat = tokio::time::interval(DURABLE_EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        if let Err(error) = store.make_durable().await {
            tracing::error!(%error, "the database could not be flushed to the disk");
        }
    }
}
