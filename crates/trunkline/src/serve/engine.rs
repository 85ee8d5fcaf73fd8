//! `trunkline engine`: the models by themselves behind a socket, for other processes.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::sync::oneshot;
use trunkline_engine::{Elsewhere, EngineError, Models, load_embedder};
use trunkline_openai::server::{
    Address, Listening, Reload, ReloadError, Reloaded, Served, listen, router,
};

use super::signals::Signals;
use super::{environment, start};
use crate::config::Config;

/// Runs the models until a signal comes; open answers are then brought to their end, for as
/// long as `node.drain_timeout_s` says or until a second signal.
pub(crate) async fn run(config: Config) -> Result<ExitCode> {
    environment::ensure()?;
    trunkline_telemetry::init_logs(&config.log.filter, config.log.format)?;
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let patience = config.node.drain_timeout();
    let key = config.engine.key().read()?;
    let limits = config.engine.limits();
    let (listening, served) = tokio::select! {
        started = Box::pin(start(config)) => started?,
        () = signals.next() => {
            tracing::info!("told to stop while starting");
            return Ok(ExitCode::SUCCESS);
        }
    };
    announce(&listening)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move {
        // Nothing is ever sent: the other end is dropped.
        let _ = stopped.await;
    };
    let mut serving = tokio::spawn(listening.serve(router(served, limits, key), stopped));
    tokio::select! {
        ended = &mut serving => return ended?.map(|()| ExitCode::SUCCESS).map_err(Into::into),
        () = signals.next() => tracing::info!("stopping: open answers are brought to their end"),
    }
    drop(stop);
    tokio::select! {
        ended = &mut serving => ended??,
        () = tokio::time::sleep(patience) => tracing::warn!("open answers are given up"),
        () = signals.next() => tracing::warn!("open answers are given up"),
    }
    Ok(ExitCode::SUCCESS)
}

/// The address comes before the models, which take their time, so that one that is taken is found
/// out at once.
async fn start(config: Config) -> Result<(Listening, Served)> {
    if let Address::Unix(path) = &config.engine.listen
        && let Some(folder) = path.parent()
    {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let listening = listen(&config.engine.listen).await?;
    let models_dir = config.node.models_dir();
    let (embedding, dir) = (config.models.clone(), models_dir.clone());
    let embedder = tokio::task::spawn_blocking(move || load_embedder(&embedding, &dir));
    let embedder = embedder.await.context("loading a model failed")??;
    let has_key = config.engine.key().read()?.is_some();
    let models = start::load_models(Elsewhere::default(), config.models, models_dir).await?;
    // Who may open the socket, or shows the key, runs this machine.
    let is_guarded = has_key || matches!(listening.address(), Address::Unix(_));
    let exchange = Arc::new(Exchange(models.clone())) as Arc<dyn Reload>;
    let served = Served {
        chat: Some(models.chat),
        transcriber: Some(models.transcriber),
        voice: Some(models.voice),
        embedder,
        reload: is_guarded.then_some(exchange),
    };
    Ok((listening, served))
}

/// Exchanges models while they serve.
struct Exchange(Models);

impl Reload for Exchange {
    fn reload(&self, name: &str, with: Option<&str>) -> Result<Reloaded, ReloadError> {
        let exchanged = self.0.exchange(name, with).map_err(|error| {
            let told = error.to_string();
            match error {
                EngineError::UnknownModel { .. }
                | EngineError::NotExchangeable { .. }
                | EngineError::NotInstalled { .. }
                | EngineError::NotRunnable { .. }
                | EngineError::WrongTask { .. } => ReloadError::Wrong(told),
                EngineError::ExchangeUnderWay { .. } => ReloadError::Conflict(told),
                EngineError::NoMemory { .. } => ReloadError::NoMemory(told),
                _ => ReloadError::Failed(told),
            }
        })?;
        Ok(Reloaded {
            id: name.to_owned(),
            model: exchanged.model,
            took_ms: u64::try_from(exchanged.took.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

/// Says on standard output that requests are served now, and where.
fn announce(listening: &Listening) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "trunkline engine is ready: {}", listening.address())?;
    out.flush()?;
    Ok(())
}
