//! Running other programs: to the end, or in the background with the promise that they are
//! stopped whatever happens to us.

use std::fmt::Write as _;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Runs to the end with our own terminal; a non-zero exit is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = shown(command);
    let status = command
        .status()
        .with_context(|| format!("cannot start: {line}"))?;
    if !status.success() {
        bail!("{line}: {status}");
    }
    Ok(())
}

/// Runs to the end and returns what it printed on stdout; its stderr is shown.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let line = shown(command);
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start: {line}"))?;
    if !output.status.success() {
        bail!("{line}: {}", output.status);
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("{line} printed something else than text"))
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let mut line = program.rsplit('/').next().unwrap_or_default().to_owned();
    for arg in command.get_args() {
        // Writing to a String cannot fail.
        let _ = write!(line, " {}", arg.to_string_lossy());
    }
    line
}

/// Pauses between two looks at something outside of us.
#[expect(
    clippy::disallowed_methods,
    reason = "a plain command-line program without a runtime polls another process"
)]
pub(crate) fn pause(span: Duration) {
    std::thread::sleep(span);
}

/// A program in the background. It stands in its own process group, so a Ctrl-C on the terminal
/// reaches only us and we stop it in good order; it is stopped when this is dropped.
pub(crate) struct Background {
    name: String,
    child: Child,
}

impl Background {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let name = shown(command);
        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start: {name}"))?;
        Ok(Self { name, child })
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("cannot ask after: {}", self.name))
    }

    /// Waits for the end, no longer than `limit`, and stops early when asked to by a signal.
    pub(crate) fn wait(&mut self, limit: Duration, stop: &StopFlag) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if stop.raised() {
                bail!("stopped by a signal");
            }
            if Instant::now() >= deadline {
                bail!("{} did not end within {limit:?}", self.name);
            }
            pause(Duration::from_millis(50));
        }
    }

    /// Asks it to end (SIGTERM) and waits; after `limit` it is killed, which is an error.
    pub(crate) fn stop(mut self, limit: Duration) -> Result<ExitStatus> {
        self.terminate(limit)
    }

    fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        kill_process(Pid::from_child(&self.child), Signal::TERM)
            .with_context(|| format!("cannot stop {}", self.name))?;
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            pause(Duration::from_millis(20));
        }
        self.child.kill().context("cannot kill")?;
        self.child.wait().context("cannot wait")?;
        bail!("{} did not stop within {limit:?} and was killed", self.name);
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Err(error) = self.terminate(Duration::from_secs(5)) {
            eprintln!("xtask: {error:#}");
        }
    }
}

/// Set when somebody presses Ctrl-C or sends SIGTERM, so that the loops end and clean up.
#[derive(Clone)]
pub(crate) struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Takes over SIGINT, SIGTERM and SIGHUP of this process; a second signal ends it at once.
    pub(crate) fn install() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [
            signal_hook::consts::SIGINT,
            signal_hook::consts::SIGTERM,
            signal_hook::consts::SIGHUP,
        ] {
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag)))
                .context("cannot take over signals")?;
        }
        Ok(Self(flag))
    }

    /// Whether a signal came.
    pub(crate) fn raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
