//! The appliance: one program with the commands that run it, look into it and set it up.
//!
//! This is where the rooms are wired together; what a call does is decided in
//! `trunkline-agent`, what is on the wire in `trunkline-gateway` and `trunkline-media`.
//! Whatever goes wrong ends as one sentence on standard error and a non-zero exit code.
#![forbid(unsafe_code)]

mod cli;
mod client;
mod commands;
mod config;
mod data_dir;
mod http;
mod serve;
mod terminal;
mod watch;
mod workflows;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trunkline: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whoever read our output (`| head`) has seen enough.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
