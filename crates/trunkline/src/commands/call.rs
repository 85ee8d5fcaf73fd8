//! `trunkline call`: the running server places the call.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

use crate::cli::CallArgs;
use crate::client::Server;
use crate::config::Config;
use crate::http::PlaceCall;

pub(super) fn run(args: &CallArgs, config: &Config) -> Result<ExitCode> {
    let server = Server::new(args.url.as_deref(), config);
    let placed = server.place_call(&PlaceCall {
        to: args.number.clone(),
        trunk: args.trunk.clone(),
        workflow: Some(args.workflow.clone()),
    })?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "call {} to {} is under way",
        placed.call_id, args.number
    )?;
    writeln!(out, "watch it: trunkline watch --call {}", placed.call_id)?;
    Ok(ExitCode::SUCCESS)
}
