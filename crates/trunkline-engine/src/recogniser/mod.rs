//! Whisper behind [`Transcriber`].
//!
//! One worker thread serves all utterances. Each session's audio is carried to it by a task of
//! [`Sessions`]. While the caller speaks, the text so far is computed whenever the worker is
//! free; when the caller falls silent, the text is computed ahead, so that the final is known
//! when the end of the turn is decided. That text is only used when nothing but silence came
//! after it.

mod network;
mod queue;
mod silence;
#[cfg(test)]
mod tests;
mod utterance;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc;
use trunkline_inference::{
    InferenceError, ModelInfo, TranscribeOptions, Transcriber, TranscriberCapabilities,
    TranscriberInput, TranscriptionSession,
};

use crate::chat::in_full;
use crate::instant::duration_of;
use crate::sessions::Sessions;
use crate::work_queue::panic_message;
use crate::{EngineError, InstalledModel};
use network::{RecogniserNetwork, WhisperNetwork};
use queue::Queue;

/// Whisper on a worker thread.
#[derive(Debug)]
pub struct WhisperTranscriber {
    name: String,
    shared: Arc<Shared>,
    sessions: Sessions,
}

/// What the worker and the sessions share.
#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // The model runs outside the lock, so a panic of the model cannot spoil the queue.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Loads the model, the first time and after a panic.
type Load = Box<dyn Fn() -> Result<Box<dyn RecogniserNetwork>, String> + Send>;

impl WhisperTranscriber {
    /// Loads a model and starts its worker.
    ///
    /// # Errors
    /// [`EngineError::Start`] naming what is wrong with which file.
    pub fn load(model: &InstalledModel) -> Result<Self, EngineError> {
        let folder: PathBuf = model.folder.clone();
        Self::start(
            &model.manifest.name,
            Box::new(move || {
                let network = WhisperNetwork::load(&folder).map_err(|error| in_full(&error))?;
                Ok(Box::new(network) as Box<dyn RecogniserNetwork>)
            }),
        )
    }

    fn start(name: &str, load: Load) -> Result<Self, EngineError> {
        let refused = |reason: String| EngineError::Start {
            name: name.to_owned(),
            reason,
        };
        let network = load().map_err(refused)?;
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::new(name)),
            changed: Condvar::new(),
        });
        let worker = Arc::clone(&shared);
        std::thread::Builder::new()
            .name(format!("stt {name}"))
            .spawn(move || serve(&worker, network, &load))
            .map_err(|error| refused(error.to_string()))?;
        Ok(Self {
            name: name.to_owned(),
            shared,
            sessions: Sessions::start(name)?,
        })
    }
}

impl Transcriber for WhisperTranscriber {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            name: self.name.clone(),
            engine: "candle-cpu".to_owned(),
        }
    }

    fn capabilities(&self) -> TranscriberCapabilities {
        TranscriberCapabilities {
            max_audio: Some(duration_of(queue::MAX_SAMPLES)),
            ..TranscriberCapabilities::default()
        }
    }

    fn open(&self, options: TranscribeOptions) -> Result<TranscriptionSession, InferenceError> {
        self.capabilities().check(&self.name, &options)?;
        let (audio, heard) = mpsc::unbounded_channel();
        let (text, events) = mpsc::unbounded_channel();
        let id = self.shared.lock().open(options, text)?;
        self.sessions
            .spawn(listen(Arc::clone(&self.shared), id, heard));
        Ok(TranscriptionSession { audio, events })
    }
}

impl Drop for WhisperTranscriber {
    fn drop(&mut self) {
        self.shared.lock().close("it was shut down");
        self.shared.changed.notify_all();
    }
}

/// Carries one session's audio to the worker.
async fn listen(
    shared: Arc<Shared>,
    id: u64,
    mut heard: mpsc::UnboundedReceiver<TranscriberInput>,
) {
    let mut ended = false;
    while let Some(input) = heard.recv().await {
        match input {
            TranscriberInput::Audio(pcm) => {
                if !shared.lock().push(id, &pcm) {
                    return;
                }
            }
            TranscriberInput::Finish => {
                shared.lock().finish(id, Instant::now());
                ended = true;
            }
        }
        shared.changed.notify_one();
        if ended {
            return;
        }
    }
    shared.lock().leave(id);
}

/// The worker thread: one pass after the other until the queue is closed.
fn serve(shared: &Shared, mut network: Box<dyn RecogniserNetwork>, load: &Load) {
    loop {
        let pass = {
            let mut queue = shared.lock();
            loop {
                if queue.is_closed() {
                    return;
                }
                if let Some(pass) = queue.next() {
                    break pass;
                }
                queue = shared
                    .changed
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            network.transcribe(&pass.pcm, pass.language.as_deref())
        }));
        match outcome {
            Ok(outcome) => shared.lock().complete(&pass, outcome, Instant::now()),
            Err(panic) => {
                let reason = panic_message(panic.as_ref());
                tracing::error!(reason, "the recogniser panicked, reloading");
                shared.lock().fail(pass.id, &reason);
                match load() {
                    Ok(fresh) => network = fresh,
                    Err(reason) => {
                        tracing::error!(reason, "the recogniser is gone");
                        shared.lock().close(&reason);
                    }
                }
            }
        }
    }
}
