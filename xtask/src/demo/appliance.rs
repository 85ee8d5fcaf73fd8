//! `trunkline serve` for the demo, and the other commands of the program that look at it.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::CallFiles;
use crate::process::{self, Background, StopFlag};
use crate::tree::Tree;

/// Loading the models takes seconds; more is a fault.
const READY_LIMIT: Duration = Duration::from_secs(120);

/// Longer than the server's own drain time in the demo's configuration.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// The end of a call is written a moment after the caller has seen it.
const RECORDED_LIMIT: Duration = Duration::from_secs(10);

/// How many lines of its log are shown when something went wrong.
const LOG_TAIL: usize = 30;

/// The appliance: prepared, then running.
pub(super) struct Appliance {
    program: PathBuf,
    root: PathBuf,
    config: PathBuf,
    log: PathBuf,
    sip: SocketAddr,
    http: SocketAddr,
    server: Option<Background>,
}

impl Appliance {
    /// Chooses ports and writes the configuration.
    pub(super) fn prepare(tree: &Tree, folder: &Path) -> Result<Self> {
        let sip = free_udp(5060)?;
        let http = free_tcp(8088)?;
        let config = folder.join("trunkline.toml");
        std::fs::write(&config, configuration(sip, http))
            .with_context(|| format!("cannot write {}", config.display()))?;
        Ok(Self {
            program: tree.program("trunkline"),
            root: tree.root().to_owned(),
            config,
            log: folder.join("server.log"),
            sip,
            http,
            server: None,
        })
    }

    /// What to call.
    pub(super) fn uri(&self) -> String {
        format!("sip:demo@{}", self.sip)
    }

    /// Gets the models that are not there yet, each checked against its sha256.
    pub(super) fn pull_models(&self, names: &[&str]) -> Result<()> {
        println!("==> starter models");
        process::run(self.command(&["models", "pull"]).args(names))
    }

    /// Starts the server and waits until it is ready.
    pub(super) fn start(&mut self, stop: &StopFlag) -> Result<()> {
        println!("==> starting trunkline serve on {}", self.sip);
        let log = File::create(&self.log)
            .with_context(|| format!("cannot write {}", self.log.display()))?;
        let server = Background::start(
            self.command(&["serve"])
                .stdin(std::process::Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log),
        )?;
        let server = self.server.insert(server);
        let deadline = Instant::now() + READY_LIMIT;
        while !is_healthy(self.http) {
            if let Some(status) = server.ended()? {
                let said = std::fs::read_to_string(&self.log).unwrap_or_default();
                bail!(
                    "trunkline serve ended ({status}) and said:\n{}",
                    tail(&said)
                );
            }
            if stop.raised() {
                bail!("stopped by a signal");
            }
            if Instant::now() >= deadline {
                bail!("trunkline serve was not ready within {READY_LIMIT:?}");
            }
            process::pause(Duration::from_millis(50));
        }
        Ok(())
    }

    /// The live view in our terminal; ends after the next call.
    pub(super) fn watch(&self) -> Result<Background> {
        Background::start(&mut self.command(&["watch", "--once"]))
    }

    /// The server's record of the call that the caller's report is about.
    pub(super) fn call_of(&self, caller: &Value) -> Result<Value> {
        let sip_call_id = caller["sip_call_id"].as_str().unwrap_or_default();
        let deadline = Instant::now() + RECORDED_LIMIT;
        loop {
            let list = self.json(&["calls", "list", "--limit", "5", "--json"])?;
            let calls = list.as_array().or_else(|| list["calls"].as_array());
            let call = calls
                .into_iter()
                .flatten()
                .find(|call| call["carrier_call_id"] == sip_call_id);
            if let Some(call) = call
                && !call["end_reason"].is_null()
            {
                let id = call["id"].as_str().context("a call without an id")?;
                return self.json(&["calls", "show", id, "--json"]);
            }
            if Instant::now() >= deadline {
                bail!("the appliance has no finished call with the SIP Call-ID {sip_call_id:?}");
            }
            process::pause(Duration::from_millis(100));
        }
    }

    /// Writes the call's files.
    pub(super) fn export(&self, call: &Value, folder: &Path) -> Result<CallFiles> {
        let id = call["call"]["id"]
            .as_str()
            .context("a call without an id")?;
        let out = folder.join("call");
        if out.exists() {
            std::fs::remove_dir_all(&out)
                .with_context(|| format!("cannot remove {}", out.display()))?;
        }
        process::capture(
            self.command(&["calls", "export", id])
                .arg("--out")
                .arg(&out),
        )?;
        let there = |name: &str| Some(out.join(name)).filter(|path| path.is_file());
        Ok(CallFiles {
            recording: there("recording.wav"),
            transcript: there("transcript.txt").context("the export holds no transcript.txt")?,
            event_log: there("events.jsonl").context("the export holds no events.jsonl")?,
        })
    }

    /// Shows the end of the server's log.
    pub(super) fn show_log(&self) {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        if !text.is_empty() {
            eprintln!("the end of {}:\n{}", self.log.display(), tail(&text));
        }
    }

    /// Says how to call it and shows every call until somebody presses Ctrl-C.
    pub(super) fn invite(&mut self, stop: &StopFlag) -> Result<()> {
        println!("\nThe appliance goes on. From this machine, call it with a softphone:");
        println!("    {}", self.uri());
        println!("    baresip -e \"/dial {}\"", self.uri());
        println!("Ctrl-C stops it.\n");
        let mut watch = Background::start(&mut self.command(&["watch"]))?;
        while !stop.raised() {
            if let Some(status) = self
                .server
                .as_mut()
                .map(Background::ended)
                .transpose()?
                .flatten()
            {
                bail!("trunkline serve ended: {status}");
            }
            if let Some(status) = watch.ended()? {
                bail!("trunkline watch ended: {status}");
            }
            process::pause(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Stops the server in good order.
    pub(super) fn stop(self) -> Result<()> {
        let Some(server) = self.server else {
            return Ok(());
        };
        let status = server.stop(STOP_LIMIT)?;
        if !status.success() {
            bail!(
                "trunkline serve ended badly: {status}; see {}",
                self.log.display()
            );
        }
        Ok(())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .arg("--config")
            .arg(&self.config)
            .current_dir(&self.root);
        command
    }

    fn json(&self, args: &[&str]) -> Result<Value> {
        let text = process::capture(&mut self.command(args))?;
        serde_json::from_str(&text).with_context(|| format!("{} printed no JSON", args.join(" ")))
    }
}

fn configuration(sip: SocketAddr, http: SocketAddr) -> String {
    format!(
        "# Written by `cargo xtask demo`, anew each time. What is not here is as in\n\
         # crates/trunkline/trunkline.default.toml.\n\
         \n\
         [node]\n\
         data_dir = \"./var\"\n\
         drain_timeout_s = 3\n\
         \n\
         [sip]\n\
         listen_udp = [\"{sip}\"]\n\
         \n\
         [models]\n\
         # Another voice than the caller's, so that a listener can tell them apart.\n\
         voice = \"rms\"\n\
         \n\
         [http]\n\
         listen = \"{http}\"\n"
    )
}

/// The usual port if nobody has it, else one that the system chooses.
fn free_udp(usual: u16) -> Result<SocketAddr> {
    let socket = UdpSocket::bind(("127.0.0.1", usual))
        .or_else(|_| UdpSocket::bind(("127.0.0.1", 0)))
        .context("no free UDP port on 127.0.0.1")?;
    Ok(socket.local_addr()?)
}

fn free_tcp(usual: u16) -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", usual))
        .or_else(|_| TcpListener::bind(("127.0.0.1", 0)))
        .context("no free TCP port on 127.0.0.1")?;
    Ok(listener.local_addr()?)
}

/// Whether `GET /health` is answered by 200.
fn is_healthy(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let limit = Duration::from_secs(1);
        let mut stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream
            .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.split(' ').nth(1) == Some("200"))
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_passed_over() {
        let taken = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_ne!(free_udp(port).unwrap().port(), port);
    }

    #[test]
    fn health_is_what_answers_200() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            for status in ["503 Service Unavailable", "200 OK"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 512];
                assert!(stream.read(&mut request).unwrap() > 0);
                write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").unwrap();
            }
        });
        assert!(!is_healthy(address));
        assert!(is_healthy(address));
        server.join().unwrap();
        assert!(!is_healthy(address));
    }
}
