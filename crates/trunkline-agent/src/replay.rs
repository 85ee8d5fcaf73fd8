//! Feeds an event log through the core again and compares every decision.

use trunkline_types::CallTime;

use crate::core::CallCore;
use crate::log::{Decision, Input, LogEntry, LogEvent};

/// A log that was replayed and gave the same decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    /// Inputs fed, each frame counted.
    pub inputs: usize,
    /// Decisions compared.
    pub decisions: usize,
    /// The call's last moment.
    pub until: CallTime,
}

/// Why a log does not replay.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// An entry cannot be read.
    #[error("entry {seq} of the event log cannot be read: {detail}")]
    Unreadable {
        /// Its position.
        seq: u64,
        /// What is wrong.
        detail: String,
    },
    /// The log has a hole or is out of order.
    #[error("the event log goes from entry {before} to entry {after}: entries are missing")]
    Gap {
        /// The last one in order.
        before: u64,
        /// The one after it.
        after: u64,
    },
    /// The log does not begin with the opening of a call.
    #[error("the event log does not begin with the opening of a call")]
    NoOpening,
    /// The workflow in the log cannot run any more.
    #[error("the workflow in the event log is not valid: {0}")]
    Workflow(String),
    /// The core decided otherwise.
    #[error("the core decides otherwise at entry {seq} ({at}): logged {logged}, now {now}")]
    Differs {
        /// Position of the logged decision, or of where one is missing.
        seq: u64,
        /// When.
        at: CallTime,
        /// What the log says.
        logged: String,
        /// What the core says now.
        now: String,
    },
}

/// Replays a log, given as the JSON text of its entries in order.
///
/// # Errors
/// [`ReplayError`]: the log is damaged, or a decision differs.
pub fn replay<'a>(bodies: impl IntoIterator<Item = &'a str>) -> Result<Replay, ReplayError> {
    let entries = read(bodies)?;
    let Some(LogEvent::In(Input::Opened(opening))) = entries.first().map(|e| &e.event) else {
        return Err(ReplayError::NoOpening);
    };
    let mut core = CallCore::open(opening).map_err(ReplayError::Workflow)?;
    let mut replay = Replay {
        inputs: 0,
        decisions: 0,
        until: CallTime::ZERO,
    };
    let mut decided: Vec<Decision> = Vec::new();
    for entry in &entries {
        replay.until = entry.at;
        match &entry.event {
            LogEvent::In(input) => {
                nothing_left(&decided, entry)?;
                decided.clear();
                replay.inputs += feed(&mut core, entry.at, input, &mut decided);
                decided.reverse();
            }
            LogEvent::Out(logged) => {
                let now = decided.pop();
                if now.as_ref() != Some(logged) {
                    return Err(differs(entry, format!("{logged:?}"), format!("{now:?}")));
                }
                replay.decisions += 1;
            }
        }
    }
    Ok(replay)
}

fn read<'a>(bodies: impl IntoIterator<Item = &'a str>) -> Result<Vec<LogEntry>, ReplayError> {
    let mut entries: Vec<LogEntry> = Vec::new();
    for (expected, body) in (0_u64..).zip(bodies) {
        let entry: LogEntry =
            serde_json::from_str(body).map_err(|error| ReplayError::Unreadable {
                seq: expected,
                detail: error.to_string(),
            })?;
        if entry.seq != expected {
            return Err(ReplayError::Gap {
                before: expected.saturating_sub(1),
                after: entry.seq,
            });
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn feed(core: &mut CallCore, at: CallTime, input: &Input, decided: &mut Vec<Decision>) -> usize {
    if let Input::Frames(run) = input {
        let frames = run.frames();
        for frame in &frames {
            core.frame(*frame, decided);
        }
        return frames.len();
    }
    core.handle(at, input, decided);
    1
}

fn nothing_left(decided: &[Decision], next: &LogEntry) -> Result<(), ReplayError> {
    match decided.last() {
        Some(extra) => Err(differs(
            next,
            "no decision".to_owned(),
            format!("{extra:?}"),
        )),
        None => Ok(()),
    }
}

fn differs(entry: &LogEntry, logged: String, now: String) -> ReplayError {
    ReplayError::Differs {
        seq: entry.seq,
        at: entry.at,
        logged,
        now,
    }
}
