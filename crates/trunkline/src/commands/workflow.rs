//! `trunkline workflow check`.

use std::fs;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cli::WorkflowCommand;
use crate::workflows;

pub(super) fn run(command: &WorkflowCommand) -> Result<ExitCode> {
    let WorkflowCommand::Check { file } = command;
    let shown = file.display().to_string();
    let document =
        fs::read_to_string(file).with_context(|| format!("cannot read the workflow {shown}"))?;
    workflows::publish(&shown, &document)?;
    writeln!(std::io::stdout(), "the workflow {shown} is right")?;
    Ok(ExitCode::SUCCESS)
}
