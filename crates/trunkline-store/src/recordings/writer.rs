//! One growing file.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trunkline_types::CallId;

use super::{FinishedRecording, finished_path, unfinished_path, wav};
use crate::StoreError;

/// Frames that may wait in memory: 400 ms. A killed process loses no more than this and what is
/// on its way here.
const FLUSH_FRAMES: u64 = 6_400;

/// Writes one recording. Works on the caller's thread; calls should go through
/// [`Recorder`](super::Recorder), which has a thread of its own.
#[derive(Debug)]
pub struct RecordingWriter {
    dir: PathBuf,
    call: CallId,
    path: PathBuf,
    file: Arc<File>,
    /// Frames that are in the file.
    written: u64,
    /// Interleaved samples that are not.
    waiting: Vec<u8>,
    broken: bool,
}

impl RecordingWriter {
    /// Creates the file in `dir`, and `dir` itself where it is missing.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], or [`StoreError::File`], e.g. when the call already has a
    /// recording.
    pub fn create(dir: &Path, call: CallId) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(|error| StoreError::file("create", dir, error))?;
        let path = unfinished_path(dir, call);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| StoreError::file("create", &path, error))?;
        file.write_all_at(&wav::header(0), 0)
            .map_err(|error| StoreError::file("write", &path, error))?;
        Ok(Self {
            dir: dir.to_owned(),
            call,
            path,
            file: Arc::new(file),
            written: 0,
            waiting: Vec::new(),
            broken: false,
        })
    }

    /// Appends what both sides sounded like: `left` is the caller, `right` the agent. Where one is
    /// shorter it is filled up with silence. Returns whether the file has grown.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] or [`StoreError::File`], once; after that the recording stays as
    /// long as it is, and pushing does nothing.
    pub fn push(&mut self, left: &[i16], right: &[i16]) -> Result<bool, StoreError> {
        if self.broken {
            return Ok(false);
        }
        for at in 0..left.len().max(right.len()) {
            for side in [left, right] {
                let sample = side.get(at).copied().unwrap_or(0);
                self.waiting.extend_from_slice(&sample.to_le_bytes());
            }
        }
        if (self.waiting.len() as u64) < FLUSH_FRAMES * wav::FRAME_BYTES {
            return Ok(false);
        }
        self.flush()?;
        Ok(true)
    }

    /// Hands what waits to the operating system and makes the header true.
    ///
    /// # Errors
    /// As [`RecordingWriter::push`].
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if self.broken || self.waiting.is_empty() {
            return Ok(());
        }
        let end = wav::HEADER_BYTES + self.written * wav::FRAME_BYTES;
        let frames = self.waiting.len() as u64 / wav::FRAME_BYTES;
        let grown = self
            .file
            .write_all_at(&self.waiting, end)
            .and_then(|()| {
                self.file
                    .write_all_at(&wav::header(self.written + frames), 0)
            })
            .map_err(|error| StoreError::file("write", &self.path, error));
        self.waiting.clear();
        match grown {
            Ok(()) => self.written += frames,
            Err(error) => {
                self.broken = true;
                self.keep_what_fits();
                return Err(error);
            }
        }
        Ok(())
    }

    /// The file, for a thread that flushes it to the disk.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// After a failed write: the whole frames that did reach the file are the recording.
    fn keep_what_fits(&mut self) {
        match wav::repair(&self.path) {
            Ok(frames) => self.written = frames,
            Err(error) => tracing::warn!(%error, "the recording may not play to its end"),
        }
    }

    /// Closes the recording and gives it its final name. A recording that broke on the way is
    /// closed all the same, as long as it got.
    ///
    /// # Errors
    /// [`StoreError::File`] when it cannot be renamed.
    pub fn finish(mut self) -> Result<FinishedRecording, StoreError> {
        let fault = self.flush().err();
        if let Err(error) = self.file.sync_data() {
            tracing::warn!(path = %self.path.display(), %error, "a recording may not survive a power cut");
        }
        let path = finished_path(&self.dir, self.call);
        fs::rename(&self.path, &path)
            .map_err(|error| StoreError::file("rename", &self.path, error))?;
        Ok(FinishedRecording {
            path,
            duration: wav::duration(self.written),
            fault,
        })
    }
}
