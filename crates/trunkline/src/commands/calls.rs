//! `trunkline calls list | show | export | replay`: reads the database, whether the server runs
//! or not.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use trunkline_store::Store;
use trunkline_types::CallId;

use super::show;
use crate::cli::CallsCommand;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::terminal::Paint;

pub(super) async fn run(command: CallsCommand, config: &Config) -> Result<ExitCode> {
    let store = DataDir::new(&config.node.data_dir).open_existing().await?;
    match command {
        CallsCommand::List {
            limit,
            before,
            json,
        } => list(&store, limit, before, json).await?,
        CallsCommand::Show { id, json } => show_call(&store, id, json).await?,
        CallsCommand::Export { id, out } => export(&store, id, &out).await?,
        CallsCommand::Replay { id } => replay(&store, id).await?,
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn list(store: &Store, limit: u32, before: Option<CallId>, json: bool) -> Result<()> {
    let calls = store.list_calls(limit, before).await?;
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &calls)?;
        writeln!(out)?;
        return Ok(());
    }
    if calls.is_empty() {
        writeln!(out, "no calls")?;
    }
    for call in &calls {
        writeln!(out, "{}", show::line(call, Paint::for_stdout()))?;
    }
    Ok(())
}

async fn show_call(store: &Store, id: CallId, json: bool) -> Result<()> {
    let whole = show::WholeCall::read(store, id).await?;
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &whole)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", whole.for_people(Paint::for_stdout()))?;
    }
    Ok(())
}

async fn export(store: &Store, id: CallId, dir: &Path) -> Result<()> {
    let files = store.export(id, dir).await?;
    let mut out = std::io::stdout().lock();
    let recording = files.recording.iter();
    for path in recording.chain([&files.transcript, &files.transcript_json, &files.events]) {
        writeln!(out, "{}", path.display())?;
    }
    Ok(())
}

async fn replay(store: &Store, id: CallId) -> Result<()> {
    store.get_call(id).await?;
    let events = store.events_of(id).await?;
    if events.is_empty() {
        bail!("the call {id} has no event log");
    }
    let replay = trunkline_agent::replay(events.iter().map(|event| event.body.as_str()))
        .with_context(|| format!("the call {id} does not replay"))?;
    writeln!(
        std::io::stdout(),
        "the call {id} replays: {} inputs until {}, all {} decisions the same",
        replay.inputs,
        replay.until,
        replay.decisions
    )?;
    Ok(())
}
