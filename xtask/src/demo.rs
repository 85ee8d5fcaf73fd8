//! One whole call.
use crate::tree::Tree;
use anyhow::Result;
use std::process::ExitCode;
pub(crate) fn run(_tree: &Tree, _args: &[String]) -> Result<ExitCode> {
    anyhow::bail!("x")
}
