//! llama.cpp in a process of its own: installs it where it is not, starts it, gives it jobs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

/// As the product's bench of models was compared with.
const PACKAGE: &str = "llama-cpp-python==0.3.36";
const PROGRAM: &str = include_str!("llamacpp.py");

/// Prompts that come at once, each to be continued by so many tokens.
#[derive(Serialize)]
pub(crate) struct Job<'a> {
    pub(crate) prompts: &'a [Vec<u32>],
    pub(crate) tokens: usize,
}

/// What became of a job.
#[derive(Debug, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) seconds: f64,
    pub(crate) replies: Vec<Vec<u32>>,
}

pub(crate) struct LlamaCpp {
    process: Child,
    jobs: Option<ChildStdin>,
    outcomes: BufReader<ChildStdout>,
}

impl LlamaCpp {
    pub(crate) fn start(model: &Path, threads: usize) -> anyhow::Result<Self> {
        let mut process = Command::new(python()?)
            .args(["-c", PROGRAM])
            .arg(model)
            .arg(threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start llama.cpp")?;
        let jobs = process.stdin.take();
        let outcomes = process.stdout.take().context("llama.cpp has no output")?;
        let mut peer = Self {
            process,
            jobs,
            outcomes: BufReader::new(outcomes),
        };
        peer.line()?;
        Ok(peer)
    }

    pub(crate) fn run(&mut self, job: &Job<'_>) -> anyhow::Result<Outcome> {
        let jobs = self.jobs.as_mut().context("llama.cpp has no input")?;
        writeln!(jobs, "{}", serde_json::to_string(job)?)?;
        jobs.flush()?;
        Ok(serde_json::from_str(&self.line()?)?)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        if self.outcomes.read_line(&mut line)? == 0 {
            bail!("llama.cpp ended: {:?}", self.process.wait()?);
        }
        Ok(line)
    }
}

impl Drop for LlamaCpp {
    fn drop(&mut self) {
        // The end of its input is the end of its work.
        self.jobs.take();
        let _ = self.process.wait();
    }
}

/// The Python that has llama.cpp, in the cache folder; builds it when it is not there, which
/// takes as long as compiling llama.cpp.
fn python() -> anyhow::Result<PathBuf> {
    let cache = trunkline_engine::default_models_dir();
    let cache = cache.parent().context("the models folder has no parent")?;
    let home = cache.join("peers").join(PACKAGE);
    let python = home.join("bin/python");
    if has_package(&python) {
        return Ok(python);
    }
    eprintln!("building {PACKAGE} in {}", home.display());
    run(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
    run(Command::new(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-binary",
            "llama-cpp-python",
            PACKAGE,
        ])
        .env("CMAKE_ARGS", "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF"))?;
    Ok(python)
}

fn has_package(python: &Path) -> bool {
    let imported = Command::new(python)
        .args(["-c", "import llama_cpp, numpy"])
        .stderr(Stdio::null())
        .status();
    imported.is_ok_and(|status| status.success())
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed: {status}");
    }
    Ok(())
}
