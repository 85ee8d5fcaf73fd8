//! A test phone in a process of its own. It places real SIP calls with the same gateway and media
//! code as the appliance, speaks by a scenario, and measures what comes back on the ticks of its
//! own media wheel, so nothing that the appliance believes about itself enters the figures.
//!
//! It does not judge: gates stand in the scenario and are passed on in the report.
#![forbid(unsafe_code)]

mod band;
mod call;
mod conversation;
mod line;
mod load;
mod report;
mod scenario;
mod speech;
mod target;
mod voice;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::target::Target;

/// Places SIP calls and measures what it hears
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    scenario: Option<ScenarioArgs>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Place many calls at once and check that each hears the agent
    Load(load::LoadArgs),
}

/// Without a command: play one scenario.
#[derive(Debug, Args)]
struct ScenarioArgs {
    /// What the caller says and does
    #[arg(long)]
    scenario: PathBuf,
    /// Whom to call
    #[arg(long, value_name = "sip:USER@HOST[:PORT]")]
    to: Target,
    /// Where to write what happened, as JSON
    #[arg(long)]
    report: Option<PathBuf>,
    /// Where to write what this phone sent (left) and heard (right), as WAV
    #[arg(long)]
    record: Option<PathBuf>,
    /// The lowest and highest port for audio
    #[arg(long, value_name = "FROM-TO", default_value = "22000-26999")]
    rtp_ports: line::PortSpan,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("trunkline-caller: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<bool> {
    if let Some(Command::Load(args)) = cli.command {
        return load::run(args).await;
    }
    let args = cli
        .scenario
        .context("give --scenario and --to, or a command; see --help")?;
    play(args).await
}

/// Returns when somebody presses Ctrl-C or sends SIGTERM, so that the far end gets its BYE.
async fn told_to_stop() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        },
        // Without handlers a signal ends the process the usual way.
        Err(_) => std::future::pending().await,
    }
}

async fn play(args: ScenarioArgs) -> Result<bool> {
    let scenario = scenario::Scenario::read(&args.scenario)?;
    let lines = speech::speak_all(&scenario).await?;
    let line = line::Line::open(&args.to, args.rtp_ports).await?;
    let report = tokio::select! {
        report = call::place(&line, &args.to, &scenario, &lines, args.record.as_deref()) => report,
        () = told_to_stop() => Err(anyhow!("stopped by a signal")),
    };
    line.close().await;
    let report = report?;
    if let Some(path) = &args.report {
        let json = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, json + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    report.print();
    Ok(report.failure.is_none())
}
