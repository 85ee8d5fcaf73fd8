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
            eprintln!("trunkline: {}", sentence(&error));
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

/// The error and its causes in one sentence. Many errors already say their cause; it is not said
/// twice.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    #[test]
    fn a_cause_is_said_once() {
        let io = || std::io::Error::other("the disk is on fire");
        let twice = anyhow::Error::from(io()).context("cannot read x: the disk is on fire");
        assert_eq!(
            super::sentence(&twice),
            "cannot read x: the disk is on fire"
        );
        let once = Err::<(), _>(io()).context("cannot read y").unwrap_err();
        assert_eq!(super::sentence(&once), "cannot read y: the disk is on fire");
    }
}
