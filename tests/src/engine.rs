//! `trunkline engine` with the starter models, for clients of OpenAI's API.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::{Answer, Answering, Ask, Connection, Signal, program, signal};

/// The key that it asks for.
const KEY: &str = "sesame";

/// A running engine.
pub struct Engine {
    process: Child,
    folder: TempDir,
    address: String,
}

impl Engine {
    /// Starts one that listens as its configuration says, and waits until it is ready. It asks
    /// for the key `sesame`.
    ///
    /// # Errors
    /// It did not become ready; what it said is in the error.
    pub fn start(listen: &str) -> Result<Self> {
        Self::start_with(listen, "")
    }

    /// As [`Engine::start`], with more tables in its configuration.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub fn start_with(listen: &str, more: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("key"), KEY)?;
        let config = format!("[engine]\nlisten = {listen:?}\napi_key_file = \"key\"\n{more}\n");
        std::fs::write(folder.path().join("trunkline.toml"), config)?;
        let mut process = Command::new(program("trunkline")?)
            .current_dir(folder.path())
            .args(["engine", "--config", "trunkline.toml"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start trunkline engine")?;
        let output = process.stdout.take().context("no standard output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let Some(address) = line.trim().strip_prefix("trunkline engine is ready: ") else {
            let _ = process.kill();
            let mut said = String::new();
            if let Some(mut errors) = process.stderr.take() {
                errors.read_to_string(&mut said)?;
            }
            bail!("the engine did not become ready: {line}{said}");
        };
        let address = address.to_owned();
        if let Some(mut errors) = process.stderr.take() {
            std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        }
        Ok(Self {
            process,
            folder,
            address,
        })
    }

    /// Where it listens: `127.0.0.1:<port>`, or `unix:<path>`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its folder, to which a socket's path is relative.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Connects to it.
    ///
    /// # Errors
    /// It does not listen.
    pub fn connect(&self) -> Result<Connection> {
        match self.address.strip_prefix("unix:") {
            Some(path) => Connection::unix(&self.folder.path().join(path)),
            None => Connection::tcp(&self.address),
        }
    }

    /// Asks it with its key, and gives the answer from its head on.
    ///
    /// # Errors
    /// The connection broke off.
    pub fn begin(&self, ask: Ask) -> Result<Answering> {
        self.connect()?.ask(&ask.with_key(KEY))
    }

    /// Asks it with its key and waits for the whole answer.
    ///
    /// # Errors
    /// The connection broke off.
    pub fn ask(&self, ask: Ask) -> Result<Answer> {
        self.begin(ask)?.whole()
    }

    /// Its memory that lies in the machine's, in KiB.
    ///
    /// # Errors
    /// It is gone.
    pub fn resident_kib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let figure = line.and_then(|line| line.split_whitespace().next());
        Ok(figure.context("no VmRSS")?.parse()?)
    }

    /// Ends it at once, as a crash would.
    ///
    /// # Errors
    /// The signal could not be sent.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Asks it to stop and waits until it has.
    ///
    /// # Errors
    /// The signal could not be sent.
    pub fn terminate(&mut self) -> Result<Option<i32>> {
        signal(&self.process, Signal::TERM)?;
        Ok(self.process.wait()?.code())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The Python that has OpenAI's client, which `cargo xtask test --only setup` puts in place.
///
/// # Errors
/// It is not there.
pub fn python_with_openai() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")?;
    let python = cache.join("trunkline/tools/openai-client/bin/python");
    ensure!(
        python.exists(),
        "{} is missing: run `cargo xtask test --only setup`",
        python.display()
    );
    Ok(python)
}
