//! One call as a folder of files that anyone can open.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use trunkline_types::{CallId, Party};

use crate::{CallRecord, EventRow, Store, StoreError, TranscriptLine, TurnRecord};

/// The files of an exported call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// `recording.wav`; `None` when the call has none.
    pub recording: Option<PathBuf>,
    /// `transcript.txt`, for people.
    pub transcript: PathBuf,
    /// `transcript.json`: the call, its turns and its lines.
    pub transcript_json: PathBuf,
    /// `events.jsonl`: the event log, one entry a line.
    pub events: PathBuf,
}

#[derive(Serialize)]
struct Document<'a> {
    call: &'a CallRecord,
    turns: &'a [TurnRecord],
    lines: &'a [TranscriptLine],
}

impl Store {
    /// Writes a call into `dir`, which is created where it is missing.
    ///
    /// # Errors
    /// [`StoreError::UnknownCall`], [`StoreError::Database`], [`StoreError::File`] or
    /// [`StoreError::DiskFull`].
    pub async fn export(&self, id: CallId, dir: &Path) -> Result<Exported, StoreError> {
        let call = self.get_call(id).await?;
        let turns = self.turns_of(id).await?;
        let lines = self.transcript_of(id).await?;
        let events = self.events_of(id).await?;
        fs::create_dir_all(dir).map_err(|error| StoreError::file("create", dir, error))?;

        let document = Document {
            call: &call,
            turns: &turns,
            lines: &lines,
        };
        let json = serde_json::to_string_pretty(&document).map_err(|error| {
            StoreError::file("write", &dir.join("transcript.json"), error.into())
        })?;
        Ok(Exported {
            recording: copy_recording(&call, dir)?,
            transcript: write(dir, "transcript.txt", &readable(&call, &lines))?,
            transcript_json: write(dir, "transcript.json", &(json + "\n"))?,
            events: write(dir, "events.jsonl", &json_lines(&events))?,
        })
    }
}

fn copy_recording(call: &CallRecord, dir: &Path) -> Result<Option<PathBuf>, StoreError> {
    let Some(from) = call.recording.as_ref().map(PathBuf::from) else {
        return Ok(None);
    };
    let to = dir.join("recording.wav");
    fs::copy(&from, &to).map_err(|error| StoreError::file("copy", &from, error))?;
    Ok(Some(to))
}

fn write(dir: &Path, name: &str, text: &str) -> Result<PathBuf, StoreError> {
    let path = dir.join(name);
    fs::write(&path, text).map_err(|error| StoreError::file("write", &path, error))?;
    Ok(path)
}

fn readable(call: &CallRecord, lines: &[TranscriptLine]) -> String {
    let mut text = format!(
        "Call {} ({}) from {} to {}\n\n",
        call.id,
        call.direction.as_str(),
        call.from,
        call.to
    );
    for line in lines {
        let who = match line.party {
            Party::Caller => "Caller",
            Party::Agent => "Agent",
        };
        let cut = if line.intended.is_some() {
            " [cut short]"
        } else {
            ""
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}  {who:<6}  {}{cut}", line.at, line.text);
    }
    if let Some(reason) = call.end_reason {
        let _ = writeln!(text, "\nEnded: {reason} ({})", reason.outcome());
    }
    text
}

fn json_lines(events: &[EventRow]) -> String {
    let mut text = String::new();
    for event in events {
        text.push_str(&event.body);
        text.push('\n');
    }
    text
}
