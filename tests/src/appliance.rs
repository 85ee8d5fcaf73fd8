//! The appliance under test: the built `trunkline serve` with a folder of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Finished, Signal, free_udp_port, pause, program, run, signal};

/// What differs from the configuration that most tests use: measuring models that take no time,
/// one trunk for this machine, and the starter workflow under `demo`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Lines of `[node]`.
    pub node: String,
    /// Lines of `[sip]`.
    pub sip: String,
    /// Lines of `[media]`.
    pub media: String,
    /// The `[[trunk]]` tables.
    pub trunks: String,
    /// The `[models]` table.
    pub models: String,
    /// Whole further tables.
    pub more: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node: String::new(),
            sip: String::new(),
            media: String::new(),
            trunks: "[[trunk]]\nname = \"local\"\npeers = [\"127.0.0.0/8\"]\n".to_owned(),
            models: "[models]\nstt = \"instant\"\nllm = \"instant\"\ntts = \"instant\"\n"
                .to_owned(),
            more: String::new(),
        }
    }
}

/// A running appliance.
pub struct Appliance {
    process: Child,
    folder: TempDir,
    sip_port: u16,
    http_port: u16,
}

impl Appliance {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// It did not become ready; what it said is in the error.
    pub fn start(settings: &Settings) -> Result<Self> {
        Self::start_with_data(settings, Path::new("var"))
    }

    /// Starts one that keeps its data in this folder.
    ///
    /// # Errors
    /// As [`Appliance::start`].
    pub fn start_with_data(settings: &Settings, data: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (sip_port, http_port) = (free_udp_port(), free_udp_port());
        let media_port = free_udp_port();
        let config = format!(
            "[node]\ndata_dir = {data:?}\ndrain_timeout_s = 2\n{}\n\
             [sip]\nlisten_udp = [\"127.0.0.1:{sip_port}\"]\nlisten_tcp = [\"127.0.0.1:{sip_port}\"]\n{}\n\
             [media]\nport_min = {media_port}\nport_max = {}\n{}\n\
             [http]\nlisten = \"127.0.0.1:{http_port}\"\n{}\n{}\n\
             [[number]]\nnumber = \"demo\"\nworkflow = \"front-desk\"\n{}\n",
            settings.node,
            settings.sip,
            media_port + 199,
            settings.media,
            settings.models,
            settings.trunks,
            settings.more,
        );
        std::fs::write(folder.path().join("trunkline.toml"), config)?;
        let process = serve(folder.path())?;
        let mut appliance = Self {
            process,
            folder,
            sip_port,
            http_port,
        };
        appliance.wait_until_ready()?;
        Ok(appliance)
    }

    /// Starts the same appliance again after it ended.
    ///
    /// # Errors
    /// As [`Appliance::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.process = serve(self.folder.path())?;
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let output = self.process.stdout.take().context("no standard output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        if !line.starts_with("trunkline is ready") {
            let _ = self.process.kill();
            let mut said = String::new();
            if let Some(mut errors) = self.process.stderr.take() {
                errors.read_to_string(&mut said)?;
            }
            bail!("the appliance did not become ready: {line}{said}");
        }
        drain(self.process.stderr.take());
        Ok(())
    }

    /// Where it speaks SIP, by UDP and TCP.
    pub fn sip_port(&self) -> u16 {
        self.sip_port
    }

    /// Its folder, in which `var` lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command of the same program on the same configuration.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn command(&self, args: &[&str]) -> Result<Finished> {
        run(Command::new(program("trunkline")?)
            .current_dir(self.folder.path())
            .args(args))
    }

    /// Gets a page of the operations HTTP.
    ///
    /// # Errors
    /// No connection, or an answer that is not 200.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test looks at the appliance from outside, without a runtime"
    )]
    pub fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http_port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{path} answers {head}");
        Ok(body.to_owned())
    }

    /// The stored calls, newest first, as `calls show --json` gives them.
    ///
    /// # Errors
    /// The command failed.
    pub fn calls(&self) -> Result<Vec<Value>> {
        let listed = self.command(&["calls", "list", "--json"])?;
        ensure!(listed.code == Some(0), "calls list: {}", listed.stderr);
        let calls: Value = serde_json::from_str(&listed.stdout)
            .with_context(|| format!("calls list printed {}", listed.stdout))?;
        calls
            .as_array()
            .cloned()
            .context("calls list printed no list")
    }

    /// Waits until the newest call has an end, and gives it.
    ///
    /// # Errors
    /// It has none within ten seconds.
    pub fn ended_call(&self) -> Result<Value> {
        let mut last = Value::Null;
        for _ in 0..100 {
            last = self.calls()?.into_iter().next().unwrap_or_default();
            if last["end_reason"].is_string() {
                return Ok(last);
            }
            pause(Duration::from_millis(100));
        }
        bail!("the call has no end: {last}")
    }

    /// How many calls run, by the metrics.
    ///
    /// # Errors
    /// As [`Appliance::get`].
    pub fn active_calls(&self) -> Result<f64> {
        let metrics = self.get("/metrics")?;
        let line = metrics
            .lines()
            .find(|line| line.starts_with("trunkline_calls_active"));
        let value = line
            .and_then(|line| line.split_whitespace().last())
            .unwrap_or("0");
        Ok(value.parse()?)
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

    /// The file of a call's recording.
    pub fn recording(&self, call: &Value) -> Option<PathBuf> {
        call["recording"]
            .as_str()
            .map(|path| self.folder.path().join(path))
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn serve(folder: &Path) -> Result<Child> {
    Command::new(program("trunkline")?)
        .current_dir(folder)
        .args(["serve", "--config", "trunkline.toml"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start trunkline serve")
}

/// Reads a log to its end, so that the program never waits for a full pipe.
fn drain(errors: Option<impl Read + Send + 'static>) {
    if let Some(mut errors) = errors {
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
    }
}
