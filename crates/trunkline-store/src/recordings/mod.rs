//! Recordings: one stereo WAV file a call, 16 kHz, signed 16-bit, the caller left and the agent
//! right, growing while the call runs.
//!
//! While it grows it is named `<call>.wav.part`, and each flush makes its header true, so that it
//! plays whenever the process dies. [`recover`] closes what a crash left. Nothing here encodes,
//! encrypts or deletes.

mod recorder;
mod wav;
mod writer;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use trunkline_types::CallId;

use crate::StoreError;

pub use recorder::{CallRecording, Recorder};
pub use writer::RecordingWriter;

/// Ends the name of a recording that still grows.
const UNFINISHED: &str = "wav.part";

/// A closed recording.
#[derive(Debug)]
pub struct FinishedRecording {
    /// The WAV file.
    pub path: PathBuf,
    /// How long it plays.
    pub duration: Duration,
    /// Why it is shorter than the call, where it is.
    pub fault: Option<StoreError>,
}

/// A recording that a crash left open and that is closed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredRecording {
    /// Whose.
    pub call_id: CallId,
    /// The WAV file.
    pub path: PathBuf,
    /// How long it plays.
    pub duration: Duration,
}

/// The path of a closed recording.
fn finished_path(dir: &Path, call: CallId) -> PathBuf {
    dir.join(format!("{call}.wav"))
}

fn unfinished_path(dir: &Path, call: CallId) -> PathBuf {
    dir.join(format!("{call}.{UNFINISHED}"))
}

/// Closes every recording in `dir` that a crash left open. A folder that does not exist holds
/// none.
///
/// # Errors
/// [`StoreError::File`] when the folder cannot be read. What is wrong with one file stands in its
/// place in the list.
#[expect(
    clippy::type_complexity,
    reason = "a list of what happened to each file"
)]
pub fn recover(
    dir: &Path,
) -> Result<Vec<Result<RecoveredRecording, (PathBuf, StoreError)>>, StoreError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::file("read the folder", dir, error)),
    };
    let mut unfinished: Vec<(CallId, PathBuf)> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter_map(|path| call_of(&path).map(|call| (call, path)))
        .collect();
    unfinished.sort();
    let close = |(call_id, path): (CallId, PathBuf)| match close_after_crash(dir, call_id, &path) {
        Ok(recording) => Ok(recording),
        Err(error) => Err((path, error)),
    };
    Ok(unfinished.into_iter().map(close).collect())
}

fn call_of(path: &Path) -> Option<CallId> {
    let name = path.file_name().and_then(OsStr::to_str)?;
    let (id, ending) = name.split_once('.')?;
    (ending == UNFINISHED).then(|| id.parse().ok()).flatten()
}

fn close_after_crash(
    dir: &Path,
    call_id: CallId,
    unfinished: &Path,
) -> Result<RecoveredRecording, StoreError> {
    let frames = wav::repair(unfinished)?;
    let path = finished_path(dir, call_id);
    fs::rename(unfinished, &path).map_err(|error| StoreError::file("rename", unfinished, error))?;
    Ok(RecoveredRecording {
        call_id,
        path,
        duration: wav::duration(frames),
    })
}

#[cfg(test)]
mod tests;
