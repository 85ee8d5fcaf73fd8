//! llama.cpp, built here from its source by pip, and the jobs that it knows.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::peer::{Environment, Peer};

const ENVIRONMENT: Environment = Environment {
    name: "llama.cpp",
    packages: &["llama-cpp-python==0.3.36"],
    modules: "llama_cpp, numpy",
    arguments: &["--no-binary", "llama-cpp-python"],
    variables: &[("CMAKE_ARGS", "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF")],
};
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

/// How its threads wait for one another: by its own choice they spin for a moment, which is best
/// where they have the cores to themselves, and ruins it where they have not.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Waiting {
    Spinning,
    Sleeping,
}

pub(crate) fn start(model: &Path, waiting: Waiting) -> anyhow::Result<Peer> {
    let threads = std::thread::available_parallelism()?.get();
    let home = ENVIRONMENT.install()?;
    let mut program = Command::new(home.join("bin/python"));
    program
        .args(["-c", PROGRAM])
        .arg(model)
        .arg(threads.to_string());
    if matches!(waiting, Waiting::Sleeping) {
        program.env("OMP_WAIT_POLICY", "passive");
    }
    Peer::start(&mut program)
}
