//! Start-up after a crash: calls without an end get one, their recordings are closed.
//!
//! Only the process that owns the data folder may call this: a call of a running server has no
//! end either.

use std::path::{Path, PathBuf};

use trunkline_types::{CallId, CallTime, EndReason, Timestamp};

use crate::recordings::{self, RecoveredRecording};
use crate::{CallEnd, CallRecord, Store, StoreError};

/// What [`Store::recover`] did.
#[derive(Debug, Default)]
pub struct Recovery {
    /// The calls that got an end.
    pub calls: Vec<RecoveredCall>,
    /// The recordings that were closed.
    pub recordings: Vec<RecoveredRecording>,
    /// Recordings that could not be closed, each with the reason. They are left as they are.
    pub left_alone: Vec<(PathBuf, StoreError)>,
}

/// A call that the process died in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredCall {
    /// Which.
    pub id: CallId,
    /// The end that it got: the time of its last event.
    pub ended: Timestamp,
}

impl Store {
    /// Ends every call without an end with [`EndReason::Interrupted`], at the time of its last
    /// event (never after `now`), and closes the recordings that lie open in `recordings`.
    ///
    /// # Errors
    /// [`StoreError::Database`], or [`StoreError::File`] when the folder cannot be read. A single
    /// broken recording is no error; it is named in [`Recovery::left_alone`].
    pub async fn recover(&self, recordings: &Path, now: Timestamp) -> Result<Recovery, StoreError> {
        let mut recovery = Recovery::default();
        for result in recordings::recover(recordings)? {
            match result {
                Ok(recording) => recovery.recordings.push(recording),
                Err(failed) => recovery.left_alone.push(failed),
            }
        }
        for call in self.unfinished_calls().await? {
            let ended = self.last_sign_of_life(&call).await?.min(now);
            let end = CallEnd {
                at: ended,
                reason: EndReason::Interrupted,
                detail: Some("the process died during the call".to_owned()),
                disposition: None,
                recording: None,
            };
            self.end_call(call.id, &end).await?;
            recovery.calls.push(RecoveredCall { id: call.id, ended });
        }
        for recording in &recovery.recordings {
            let path = recording.path.to_string_lossy();
            match self.set_recording(recording.call_id, &path).await {
                // The crash came between the file and the row; the file alone is worth keeping.
                Ok(()) | Err(StoreError::UnknownCall(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(recovery)
    }

    async fn last_sign_of_life(&self, call: &CallRecord) -> Result<Timestamp, StoreError> {
        let media_began = call.answered.unwrap_or(call.started);
        let last = self.last_event_at(call.id).await?.unwrap_or(CallTime::ZERO);
        Ok(Timestamp::from_micros(
            media_began.as_micros().saturating_add(last.as_micros()),
        ))
    }
}
