//! SIPp as a peer: one scenario file a behaviour.

use std::process::Command;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::{Appliance, Finished, Heard, RtpEnd, free_udp_port, run, scenario_file};

/// A run of SIPp.
pub struct Sipp {
    command: Command,
    folder: TempDir,
    scenario: String,
    port: u16,
}

impl Sipp {
    /// A caller that plays a scenario once against a server.
    ///
    /// # Errors
    /// No folder for its logs.
    pub fn caller(scenario: &str, server_port: u16) -> Result<Self> {
        let mut sipp = Self::new(scenario)?;
        sipp.command.arg(format!("127.0.0.1:{server_port}"));
        Ok(sipp)
    }

    /// A peer that waits for one call.
    ///
    /// # Errors
    /// No folder for its logs.
    pub fn callee(scenario: &str) -> Result<Self> {
        Self::new(scenario)
    }

    fn new(scenario: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = free_udp_port();
        let mut command = Command::new("sipp");
        command
            .current_dir(folder.path())
            .arg("-sf")
            .arg(scenario_file(scenario)?)
            .args(["-i", "127.0.0.1", "-p", &port.to_string()])
            .args(["-mi", "127.0.0.1", "-mp", &free_udp_port().to_string()])
            .args(["-m", "1", "-nostdin", "-timeout", "40s", "-timeout_error"])
            .args(["-trace_err", "-error_file", "errors.log"])
            .args(["-trace_msg", "-message_file", "messages.log"]);
        Ok(Self {
            command,
            folder,
            scenario: scenario.to_owned(),
            port,
        })
    }

    /// Where it speaks SIP.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sets `[name]` in the scenario.
    #[must_use]
    pub fn key(mut self, name: &str, value: impl ToString) -> Self {
        self.command.args(["-key", name, &value.to_string()]);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    /// Plays the scenario to its end.
    ///
    /// # Errors
    /// SIPp says that a step went otherwise; its log of messages is in the error.
    pub fn play(mut self) -> Result<()> {
        let finished = run(&mut self.command)?;
        self.judge(&finished)
    }

    /// Plays it on another thread.
    pub fn play_beside(self) -> std::thread::JoinHandle<Result<()>> {
        std::thread::spawn(move || self.play())
    }

    fn judge(&self, finished: &Finished) -> Result<()> {
        let log = |name| std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        ensure!(
            finished.code == Some(0),
            "sipp {} ended with {:?}\n{}\n{}\n{}",
            self.scenario,
            finished.code,
            finished.stderr,
            log("errors.log"),
            log("messages.log")
        );
        Ok(())
    }
}

/// A call that goes on beside the test.
pub struct RunningCall {
    caller: std::thread::JoinHandle<Result<()>>,
    /// The caller's audio.
    pub rtp: RtpEnd,
}

impl RunningCall {
    /// Places a call by this scenario and returns once the appliance runs it.
    ///
    /// # Errors
    /// The call ended before that.
    pub fn place(appliance: &Appliance, scenario: &str) -> Result<Self> {
        let rtp = RtpEnd::start(1000.0)?;
        let caller = Sipp::caller(scenario, appliance.sip_port())?
            .key("rtp_port", rtp.port())
            .play_beside();
        while appliance.active_calls()? < 1.0 {
            ensure!(!caller.is_finished(), "the call ended by itself");
        }
        Ok(Self { caller, rtp })
    }

    /// Waits until the scenario is played and gives what the caller heard.
    ///
    /// # Errors
    /// As [`Sipp::play`].
    pub fn end(self) -> Result<Heard> {
        let played = self.caller.join();
        played.map_err(|_| anyhow::anyhow!("the caller failed"))??;
        Ok(self.rtp.finish())
    }
}
