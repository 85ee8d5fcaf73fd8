//! A peer in a Python of its own: installs it where it is not, starts it, gives it jobs. A job is
//! a line of JSON, and so is its outcome.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a peer's Python needs.
pub(crate) struct Environment {
    /// The name of its folder among the peers.
    pub(crate) name: &'static str,
    /// As pip names them, each with its version.
    pub(crate) packages: &'static [&'static str],
    /// Modules that can be imported when all of them are there.
    pub(crate) modules: &'static str,
    /// More arguments of pip.
    pub(crate) arguments: &'static [&'static str],
    /// Variables for what pip compiles.
    pub(crate) variables: &'static [(&'static str, &'static str)],
}

impl Environment {
    /// Its folder in the cache; made when it is not there.
    pub(crate) fn install(&self) -> anyhow::Result<PathBuf> {
        let cache = trunkline_engine::default_models_dir();
        let cache = cache.parent().context("the models folder has no parent")?;
        let home = cache.join("peers").join(self.name);
        let python = home.join("bin/python");
        if self.is_installed(&python) {
            return Ok(home);
        }
        eprintln!(
            "installing {} in {}",
            self.packages.join(", "),
            home.display()
        );
        run(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet"])
            .args(self.arguments)
            .args(self.packages)
            .envs(self.variables.iter().copied()))?;
        Ok(home)
    }

    fn is_installed(&self, python: &PathBuf) -> bool {
        let imported = Command::new(python)
            .args(["-c", &format!("import {}", self.modules)])
            .stderr(Stdio::null())
            .status();
        imported.is_ok_and(|status| status.success())
    }
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed: {status}");
    }
    Ok(())
}

/// A peer that waits for jobs; it ends when this is dropped.
pub(crate) struct Peer {
    process: Child,
    jobs: Option<ChildStdin>,
    outcomes: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts it; returns when it has said that it is ready.
    pub(crate) fn start(program: &mut Command) -> anyhow::Result<Self> {
        let mut process = program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {:?}", program.get_program()))?;
        let jobs = process.stdin.take();
        let outcomes = process.stdout.take().context("the peer has no output")?;
        let mut peer = Self {
            process,
            jobs,
            outcomes: BufReader::new(outcomes),
        };
        peer.line()?;
        Ok(peer)
    }

    /// What becomes of a job.
    pub(crate) fn run<O: DeserializeOwned>(&mut self, job: &impl Serialize) -> anyhow::Result<O> {
        let jobs = self.jobs.as_mut().context("the peer has no input")?;
        writeln!(jobs, "{}", serde_json::to_string(job)?)?;
        jobs.flush()?;
        Ok(serde_json::from_str(&self.line()?)?)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        if self.outcomes.read_line(&mut line)? == 0 {
            bail!("a peer ended: {}", self.process.wait()?);
        }
        Ok(line)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The end of its input is the end of its work.
        self.jobs.take();
        let _ = self.process.wait();
    }
}
