//! The commands. Each does its work and returns; `serve` stays.

mod call;
mod calls;
mod config;
mod models;
mod show;
mod workflow;

pub(crate) use show::WholeCall;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cli::{Cli, Command, Settings};
use crate::config::{Loaded, load};

/// How long work that nobody waits for may keep the process.
const LEFT_BEHIND: Duration = Duration::from_secs(1);

/// Does what the command line asks for.
pub(crate) fn run(cli: Cli) -> Result<ExitCode> {
    let settings = cli.settings;
    match cli.command {
        Command::Serve => {
            let loaded = configuration(&settings)?;
            in_runtime(crate::serve::run(loaded.config))
        }
        Command::Engine => {
            let loaded = configuration(&settings)?;
            in_runtime(crate::serve::engine::run(loaded.config))
        }
        Command::Config(command) => config::run(&command, &configuration(&settings)?),
        Command::Workflow(command) => workflow::run(&command),
        Command::Models(command) => models::run(command, &configuration(&settings)?.config),
        Command::Calls(command) => {
            let loaded = configuration(&settings)?;
            in_runtime(calls::run(command, &loaded.config))
        }
        Command::Call(args) => call::run(&args, &configuration(&settings)?.config),
        Command::Watch(args) => crate::watch::run(&args, &configuration(&settings)?.config),
    }
}

fn configuration(settings: &Settings) -> Result<Loaded> {
    // A variable that is not Unicode cannot be one of ours.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Ok(load(settings.config.as_deref(), variables)?)
}

/// Runs to the end of the work. What still runs on other threads then (a model being loaded when
/// the signal to stop came) is not waited for long.
fn in_runtime(work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(LEFT_BEHIND);
    done
}
