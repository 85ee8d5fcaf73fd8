//! `trunkline serve`: brings every part up, runs until a signal, and takes every part down.
//!
//! Whatever cannot work is found out before the ready line: a taken port, a missing model, a
//! folder that cannot be written. After it, calls are taken.

mod appliance;
pub(crate) mod engine;
mod environment;
mod signals;
mod start;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

pub(crate) use appliance::{Appliance, PlaceError};

use crate::config::Config;
use signals::Signals;
use start::Running;

/// Runs the appliance.
pub(crate) async fn run(config: Config) -> Result<ExitCode> {
    environment::ensure()?;
    trunkline_telemetry::init_logs(&config.log.filter, config.log.format)?;
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let patience = config.node.drain_timeout();
    let running = tokio::select! {
        started = Box::pin(start::start(config)) => started?,
        () = signals.next() => {
            tracing::info!("told to stop while starting");
            return Ok(ExitCode::SUCCESS);
        }
    };
    running.announce()?;
    signals.next().await;
    drain(&running, &mut signals, patience).await;
    running.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Takes no new calls and waits for the running ones: until they have ended, the time is over, or
/// a second signal comes.
async fn drain(running: &Running, signals: &mut Signals, patience: Duration) {
    running.appliance.drain();
    let calls = running.appliance.agent.running();
    tracing::info!(
        calls,
        patience_s = patience.as_secs(),
        "stopping: no new calls; a second signal ends the running ones at once"
    );
    let left = tokio::select! {
        left = running.appliance.agent.drain(patience) => left,
        () = signals.next() => running.appliance.agent.running(),
    };
    if left > 0 {
        tracing::warn!(calls = left, "the calls that still run are ended");
    }
}
