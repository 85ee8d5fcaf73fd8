//! The environment that a process which computes on the CPU starts with.
//!
//! The libraries below read these variables once, when their first thread starts, and a running
//! process cannot set its own environment safely. So a `serve` that lacks one replaces itself
//! by itself with it. The process id stays the same.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};
use trunkline_engine::CPU_ENVIRONMENT;

/// Returns at once where every variable is set, whatever its value.
pub(super) fn ensure() -> Result<()> {
    let missing: Vec<_> = CPU_ENVIRONMENT
        .iter()
        .filter(|(name, _)| std::env::var_os(name).is_none())
        .copied()
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let program = std::env::current_exe().context("the program's own path is unknown")?;
    let failed = Command::new(program)
        .args(std::env::args_os().skip(1))
        .envs(missing)
        .exec();
    Err(failed).context("the program cannot start itself again with the variables it needs")
}
