//! The thread that writes the recordings of all calls, so that no call ever waits for a disk.
//!
//! A call's handle gathers 100 ms and hands it over a bounded queue. Where the queue is full, the
//! samples are lost and silence of the same length takes their place, so both sides stay aligned
//! with the call's clock. A second thread flushes the files to the disk once a second.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use trunkline_types::CallId;

use super::{FinishedRecording, RecordingWriter};
use crate::StoreError;

/// Messages that may wait: half a second of 800 calls.
const QUEUE: usize = 4_096;

/// Frames that a handle gathers before it sends: 100 ms.
const GATHER_FRAMES: usize = 1_600;

/// What a power cut may take.
const DISK_FLUSH_EVERY: Duration = Duration::from_secs(1);

enum Message {
    Begin(CallId),
    Audio {
        call: CallId,
        /// Frames of silence that stand for what was lost before.
        lost: usize,
        left: Vec<i16>,
        right: Vec<i16>,
    },
    Finish {
        call: CallId,
        reply: Option<oneshot::Sender<Result<FinishedRecording, StoreError>>>,
    },
    CloseAll(oneshot::Sender<()>),
}

/// Writes the recordings of all calls into one folder. Clones share the thread, which ends when
/// the last clone and the last [`CallRecording`] are gone.
#[derive(Debug, Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Message>,
}

impl Recorder {
    /// Starts the thread. The folder is created with the first recording.
    ///
    /// # Errors
    /// [`StoreError::File`] when the system gives no thread.
    pub fn start(dir: &Path) -> Result<Self, StoreError> {
        let (queue, messages) = mpsc::channel(QUEUE);
        let no_thread = |error| StoreError::file("start the recorder for", dir, error);
        let (to_flush, files) = sync_channel::<Vec<Arc<File>>>(1);
        std::thread::Builder::new()
            .name("recording-sync".to_owned())
            .spawn(move || {
                for file in files.iter().flatten() {
                    if let Err(error) = file.sync_data() {
                        tracing::warn!(%error, "a recording could not be flushed to the disk");
                    }
                }
            })
            .map_err(no_thread)?;
        let disk = Disk::new(dir, to_flush);
        std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || disk.run(messages))
            .map_err(no_thread)?;
        Ok(Self { queue })
    }

    /// Begins the recording of a call. Never fails here: what goes wrong is logged, and told by
    /// [`CallRecording::finish`].
    pub fn begin(&self, call: CallId) -> CallRecording {
        let begun = self.queue.try_send(Message::Begin(call)).is_ok();
        CallRecording {
            call,
            queue: self.queue.clone(),
            begun,
            lost: 0,
            left: Vec::with_capacity(GATHER_FRAMES),
            right: Vec::with_capacity(GATHER_FRAMES),
            finished: false,
        }
    }

    /// Closes all recordings, those of calls that still run as well, and returns when that is
    /// done. For the end of the process.
    pub async fn close(&self) {
        let (reply, done) = oneshot::channel();
        if self.queue.send(Message::CloseAll(reply)).await.is_ok() {
            let _ = done.await;
        }
    }
}

/// The recording of one call. Dropping it closes the file as well.
#[derive(Debug)]
pub struct CallRecording {
    call: CallId,
    queue: mpsc::Sender<Message>,
    begun: bool,
    lost: usize,
    left: Vec<i16>,
    right: Vec<i16>,
    finished: bool,
}

impl CallRecording {
    /// Appends what both sides sounded like: `left` is the caller, `right` the agent; of equal
    /// length, any length. Never blocks.
    pub fn push(&mut self, left: &[i16], right: &[i16]) {
        self.left.extend_from_slice(left);
        self.right.extend_from_slice(right);
        if self.left.len() >= GATHER_FRAMES {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        if !self.begun {
            self.begun = self.queue.try_send(Message::Begin(self.call)).is_ok();
        }
        let frames = self.left.len();
        let message = Message::Audio {
            call: self.call,
            lost: self.lost,
            left: std::mem::replace(&mut self.left, Vec::with_capacity(GATHER_FRAMES)),
            right: std::mem::replace(&mut self.right, Vec::with_capacity(GATHER_FRAMES)),
        };
        let sent = self.begun && self.queue.try_send(message).is_ok();
        self.lost = if sent { 0 } else { self.lost + frames };
    }

    /// Closes the recording. A recording that broke on the way (a full disk) is closed as long as
    /// it got, and [`FinishedRecording::fault`] says why it is short.
    ///
    /// # Errors
    /// What kept the file from being created or closed.
    pub async fn finish(mut self) -> Result<FinishedRecording, StoreError> {
        self.hand_over();
        self.finished = true;
        let (reply, answer) = oneshot::channel();
        let message = Message::Finish {
            call: self.call,
            reply: Some(reply),
        };
        self.queue
            .send(message)
            .await
            .map_err(|_| StoreError::RecorderStopped)?;
        answer.await.map_err(|_| StoreError::RecorderStopped)?
    }
}

impl Drop for CallRecording {
    fn drop(&mut self) {
        if !self.finished {
            self.hand_over();
            // Where even this finds no room, the file is closed with the thread.
            let _ = self.queue.try_send(Message::Finish {
                call: self.call,
                reply: None,
            });
        }
    }
}

/// The thread's own state.
struct Disk {
    dir: PathBuf,
    open: HashMap<CallId, Open>,
    to_flush: SyncSender<Vec<Arc<File>>>,
    grown: HashMap<CallId, Arc<File>>,
    flushed: Instant,
}

struct Open {
    writer: Result<RecordingWriter, StoreError>,
    fault: Option<StoreError>,
}

impl Disk {
    fn new(dir: &Path, to_flush: SyncSender<Vec<Arc<File>>>) -> Self {
        Self {
            dir: dir.to_owned(),
            open: HashMap::new(),
            to_flush,
            grown: HashMap::new(),
            flushed: Instant::now(),
        }
    }

    fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        while let Some(message) = messages.blocking_recv() {
            match message {
                Message::Begin(call) => self.begin(call),
                Message::Audio {
                    call,
                    lost,
                    left,
                    right,
                } => self.write(call, lost, &left, &right),
                Message::Finish { call, reply } => {
                    let result = self.finish(call);
                    if let Some(reply) = reply {
                        // Whoever asked may be gone; the file is closed all the same.
                        let _ = reply.send(result);
                    }
                }
                Message::CloseAll(reply) => {
                    self.close_all();
                    let _ = reply.send(());
                }
            }
            self.flush_to_disk();
        }
        self.close_all();
    }

    fn close_all(&mut self) {
        let left_open: Vec<CallId> = self.open.keys().copied().collect();
        for call in left_open {
            if let Err(error) = self.finish(call) {
                tracing::warn!(%call, %error, "a recording could not be closed");
            }
        }
    }

    fn begin(&mut self, call: CallId) {
        let writer = RecordingWriter::create(&self.dir, call).map_err(|error| {
            tracing::error!(%call, %error, "the call goes on without a recording");
            error
        });
        self.open.insert(
            call,
            Open {
                writer,
                fault: None,
            },
        );
    }

    fn write(&mut self, call: CallId, lost: usize, left: &[i16], right: &[i16]) {
        let Some(Open {
            writer: Ok(writer),
            fault,
        }) = self.open.get_mut(&call)
        else {
            return;
        };
        if lost > 0 {
            tracing::warn!(%call, frames = lost, "the recorder fell behind; silence fills the gap");
        }
        let silence = vec![0; lost];
        let grown = writer
            .push(&silence, &silence)
            .and_then(|before| Ok(writer.push(left, right)? || before));
        match grown {
            Ok(false) => {}
            Ok(true) => {
                self.grown.insert(call, writer.file());
            }
            Err(error) => {
                tracing::error!(%call, %error, "the recording ends here; the call goes on");
                *fault = Some(error);
            }
        }
    }

    fn finish(&mut self, call: CallId) -> Result<FinishedRecording, StoreError> {
        self.grown.remove(&call);
        let open = self.open.remove(&call);
        let Some(Open { writer, fault }) = open else {
            return Err(StoreError::RecorderStopped);
        };
        match writer {
            Ok(writer) => {
                let mut finished = writer.finish()?;
                finished.fault = fault.or(finished.fault);
                Ok(finished)
            }
            Err(error) => Err(error),
        }
    }

    fn flush_to_disk(&mut self) {
        if self.flushed.elapsed() < DISK_FLUSH_EVERY || self.grown.is_empty() {
            return;
        }
        let files: Vec<Arc<File>> = self.grown.values().cloned().collect();
        // Where the last round is still under way the files stay marked for the next.
        if self.to_flush.try_send(files).is_ok() {
            self.grown.clear();
        }
        self.flushed = Instant::now();
    }
}
