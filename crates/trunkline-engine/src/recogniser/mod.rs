//! Whisper behind [`Transcriber`], for all calls at once.
//!
//! One thread owns the model: windows of all utterances are encoded and decoded together there
//! (`worker`), in the order of what waits for them: ends of utterances, then what is computed
//! ahead, then recordings. Spectra are made beside it (`ears`). Each session's audio is carried
//! to the queue by a task of [`Sessions`].
//!
//! While the caller speaks, the text so far is computed whenever there is room; when the caller
//! falls silent, the text is computed ahead, so that the final is known when the end of the turn
//! is decided. That text is only used when nothing but silence came after it.

mod ears;
mod network;
mod queue;
mod silence;
#[cfg(test)]
mod tests;
mod utterance;
mod worker;

use std::any::Any;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc;
use trunkline_inference::{
    InferenceError, ModelInfo, TranscribeOptions, Transcriber, TranscriberCapabilities,
    TranscriberInput, TranscriptionSession,
};

use crate::chat::in_full;
use crate::sessions::Sessions;
use crate::{EngineError, InstalledModel};
use ears::Ears;
use network::{RecogniserNetwork, WhisperNetwork};
use queue::Queue;
use trunkline_nn::Window;
use worker::{Ready, Worker};

/// Whisper on a worker thread.
#[derive(Debug)]
pub struct WhisperTranscriber<W = Window> {
    name: String,
    capabilities: TranscriberCapabilities,
    shared: Arc<Shared<W>>,
    /// Kept by each open session as well.
    sessions: Arc<Sessions>,
}

/// What the worker and the sessions share.
struct Shared<W> {
    state: Mutex<State<W>>,
    changed: Condvar,
}

struct State<W> {
    queue: Queue,
    ready: Vec<Ready<W>>,
}

impl<W> Shared<W> {
    fn lock(&self) -> MutexGuard<'_, State<W>> {
        // The model runs outside the lock, so a panic of the model cannot spoil the state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W> std::fmt::Debug for Shared<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Loads the model, the first time and after a panic.
type Load<N> = Box<dyn Fn() -> Result<N, String> + Send>;

impl WhisperTranscriber {
    /// Loads a model, has it compute once and starts its worker.
    ///
    /// # Errors
    /// [`EngineError::Start`] naming what is wrong with which file.
    pub fn load(model: &InstalledModel) -> Result<Self, EngineError> {
        let folder: PathBuf = model.folder.clone();
        Self::start::<WhisperNetwork>(
            &model.manifest.name,
            Box::new(move || WhisperNetwork::load(&folder).map_err(|error| in_full(&error))),
        )
    }
}

impl<W: Send + 'static> WhisperTranscriber<W> {
    /// Opens no more sessions. Those that are open are served to their end; then the worker ends,
    /// also when this is dropped before.
    pub(crate) fn finish(&self) {
        let reason = "another model has taken its place";
        self.shared.lock().queue.finish_all(reason);
        self.shared.changed.notify_all();
    }

    /// Gone when the worker is, and its memory.
    pub(crate) fn worker(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::clone(&self.shared) as Arc<dyn Any + Send + Sync>
    }

    fn start<N: RecogniserNetwork<Window = W>>(
        name: &str,
        load: Load<N>,
    ) -> Result<Self, EngineError> {
        let refused = |reason: String| EngineError::Start {
            name: name.to_owned(),
            reason,
        };
        let network = load().map_err(refused)?;
        let capabilities = network.capabilities();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                queue: Queue::new(name),
                ready: Vec::new(),
            }),
            changed: Condvar::new(),
        });
        let told = Arc::downgrade(&shared);
        let ears = Ears::start(name, move |pass, heard| {
            if let Some(shared) = told.upgrade() {
                shared.lock().ready.push((pass, heard));
                shared.changed.notify_one();
            }
        })
        .map_err(|error| refused(error.to_string()))?;
        let worker = Worker::new(Arc::clone(&shared), network, load, ears).map_err(refused)?;
        std::thread::Builder::new()
            .name(format!("stt {name}"))
            .spawn(move || worker.serve())
            .map_err(|error| refused(error.to_string()))?;
        Ok(Self {
            name: name.to_owned(),
            capabilities,
            shared,
            sessions: Arc::new(Sessions::start(name)?),
        })
    }
}

impl<W: Send + 'static> Transcriber for WhisperTranscriber<W> {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            name: self.name.clone(),
            engine: "candle-cpu".to_owned(),
        }
    }

    fn capabilities(&self) -> TranscriberCapabilities {
        self.capabilities.clone()
    }

    fn open(&self, mut options: TranscribeOptions) -> Result<TranscriptionSession, InferenceError> {
        // `en-GB` is English.
        if let Some(language) = &mut options.language {
            let code = language.split(['-', '_']).next().unwrap_or_default();
            *language = code.to_ascii_lowercase();
        }
        self.capabilities.check(&self.name, &options)?;
        let (audio, heard) = mpsc::unbounded_channel();
        let (text, events) = mpsc::unbounded_channel();
        let id = self.shared.lock().queue.open(options, text)?;
        let (shared, sessions) = (Arc::clone(&self.shared), Arc::clone(&self.sessions));
        self.sessions.spawn(async move {
            listen(shared, id, heard).await;
            drop(sessions);
        });
        Ok(TranscriptionSession { audio, events })
    }
}

impl<W> Drop for WhisperTranscriber<W> {
    fn drop(&mut self) {
        if self.shared.lock().queue.is_finishing() {
            return;
        }
        self.shared.lock().queue.close("it was shut down");
        self.shared.changed.notify_all();
    }
}

/// Carries one session's audio to the worker.
async fn listen<W>(
    shared: Arc<Shared<W>>,
    id: u64,
    mut heard: mpsc::UnboundedReceiver<TranscriberInput>,
) {
    let mut ended = false;
    while let Some(input) = heard.recv().await {
        match input {
            TranscriberInput::Audio(pcm) => {
                if !shared.lock().queue.push(id, &pcm) {
                    return;
                }
            }
            TranscriberInput::Finish => {
                shared.lock().queue.finish(id, Instant::now());
                ended = true;
            }
        }
        shared.changed.notify_one();
        if ended {
            return;
        }
    }
    shared.lock().queue.leave(id);
    shared.changed.notify_one();
}
