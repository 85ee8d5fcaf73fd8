//! The built programs, and running them to their end.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use anyhow::{Context, Result, ensure};
use rustix::process::Pid;
pub use rustix::process::Signal;

/// Where a program of the workspace was built: beside the tests themselves.
///
/// # Errors
/// The program is not there; says what builds it.
pub fn program(name: &str) -> Result<PathBuf> {
    let tests = std::env::current_exe().context("the test's own path is unknown")?;
    let built = tests
        .parent()
        .and_then(Path::parent)
        .context("the test lies in no folder")?;
    let program = built.join(name);
    ensure!(
        program.exists(),
        "{} is not built: run `cargo build --release -p {name}` with the same target folder",
        program.display()
    );
    Ok(program)
}

/// A file of tests/sipp.
pub fn scenario_file(name: &str) -> Result<PathBuf> {
    // Tests run in the folder of their package; SIPp runs elsewhere.
    std::path::absolute(Path::new("sipp").join(name)).context("finding a scenario")
}

/// Sends a signal to a program that was started.
///
/// # Errors
/// It is gone.
pub fn signal(child: &Child, signal: Signal) -> Result<()> {
    rustix::process::kill_process(Pid::from_child(child), signal).context("cannot send a signal")
}

/// Waits while another program goes on.
#[expect(
    clippy::disallowed_methods,
    reason = "a test lets real time pass for a real peer"
)]
pub fn pause(span: std::time::Duration) {
    std::thread::sleep(span);
}

/// How a program ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs a program to its end.
///
/// # Errors
/// It cannot be started.
pub fn run(command: &mut Command) -> Result<Finished> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    Ok(Finished {
        code: status.code(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    })
}
