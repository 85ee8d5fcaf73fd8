//! The system voice: Debian's program `flite`, run once a clause on a small pool of threads.
//!
//! Running the program costs 20 ms for a short clause, its start included, and keeps a large
//! C library and its crashes out of this process; linking it would save some ten of them and
//! need `unsafe`. What was said once is kept, so that greetings and prompts cost nothing.
//!
//! The clauses of all calls wait in one queue, by class and deadline. The voice speaks one
//! clause at a time on each of its threads; one that speaks several together takes larger
//! batches from the same queue.

mod cache;
mod program;
mod queue;
#[cfg(test)]
mod tests;
mod text;
mod trim;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use trunkline_inference::{
    InferenceError, ModelInfo, SpeechEvent, SpeechRequest, SpeechStream, Synthesizer,
};

use crate::{EngineError, InstalledModel, Source};
use cache::{Cache, Key};
use program::Flite;
use queue::{Clause, ClauseQueue, Measures};

/// The voice that is used when none is asked for: clear at telephone band.
const DEFAULT_VOICE: &str = "slt";
/// A clause is a line or two; this bounds the work of one request.
const MAX_TEXT_BYTES: usize = 2000;
/// Requests that may wait.
const MAX_WAITING: usize = 64;
/// Sent at a time: 200 ms, so that playing can start on the first piece.
const PIECE_SAMPLES: usize = 3200;
/// Kept speech: some 17 minutes.
const CACHE_BYTES: usize = 32 << 20;

/// The system voice.
#[derive(Debug)]
pub struct FliteVoice {
    shared: Arc<Shared>,
    queue: Arc<ClauseQueue>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    program: Flite,
    voice: String,
    cache: Mutex<Cache>,
}

impl FliteVoice {
    /// Finds the program, asks it for its voices, and starts the pool.
    ///
    /// # Errors
    /// [`EngineError::ProgramMissing`] naming the Debian package, or
    /// [`EngineError::UnknownVoice`].
    pub fn load(model: &InstalledModel, voice: Option<&str>) -> Result<Self, EngineError> {
        let name = &model.manifest.name;
        let program = match &model.manifest.source {
            Source::DebianPackage { package, program } => Flite::find(program, package)?,
            _ => Flite::find("flite", "flite")?,
        };
        let voice = voice.unwrap_or(DEFAULT_VOICE).to_owned();
        if !program.has_voice(&voice) {
            return Err(EngineError::UnknownVoice {
                model: name.clone(),
                voice,
                known: program.voices().join(", "),
            });
        }
        let shared = Arc::new(Shared {
            name: name.clone(),
            program,
            voice,
            cache: Mutex::new(Cache::new(CACHE_BYTES)),
        });
        let measures = Measures {
            batch: 1,
            waiting: MAX_WAITING,
            longest: MAX_TEXT_BYTES,
        };
        let queue = Arc::new(ClauseQueue::new(name, measures)?);
        let threads = thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 4));
        for index in 0..threads {
            let (shared, queue) = (Arc::clone(&shared), Arc::clone(&queue));
            thread::Builder::new()
                .name(format!("tts {name} {index}"))
                .spawn(move || serve(&shared, &queue))
                .map_err(|error| EngineError::Start {
                    name: name.clone(),
                    reason: error.to_string(),
                })?;
        }
        Ok(Self { shared, queue })
    }

    fn bad_request(&self, reason: String) -> InferenceError {
        InferenceError::BadRequest {
            model: self.shared.name.clone(),
            reason,
        }
    }
}

impl Synthesizer for FliteVoice {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            name: self.shared.name.clone(),
            engine: "flite".to_owned(),
        }
    }

    fn voices(&self) -> Vec<String> {
        self.shared.program.voices().to_vec()
    }

    fn synthesize(&self, request: SpeechRequest) -> Result<SpeechStream, InferenceError> {
        let voice = request.voice.as_ref().unwrap_or(&self.shared.voice);
        if !self.shared.program.has_voice(voice) {
            let known = self.shared.program.voices().join(", ");
            return Err(self.bad_request(format!("no voice named {voice:?}, only {known}")));
        }
        if !(0.25..=4.0).contains(&request.speed) {
            return Err(self.bad_request(format!("speed {} is not 0.25 to 4", request.speed)));
        }
        let text = text::speakable(&request.text);
        if text.len() > MAX_TEXT_BYTES {
            return Err(self.bad_request(format!("more than {MAX_TEXT_BYTES} bytes of text")));
        }
        let (events, receiver) = mpsc::unbounded_channel();
        let stream = SpeechStream { events: receiver };
        let key = Key::new(voice, &text, request.speed);
        let kept = self.shared.cached(&key);
        if text.is_empty() || kept.is_some() {
            send(&events, &kept.unwrap_or_default(), Duration::ZERO);
            return Ok(stream);
        }
        let clause = Clause {
            key,
            events,
            tenant: request.tenant,
        };
        self.queue.push(clause, request.urgency, request.due)?;
        Ok(stream)
    }
}

impl Drop for FliteVoice {
    fn drop(&mut self) {
        self.queue.close("it was shut down");
    }
}

impl Shared {
    fn cached(&self, key: &Key) -> Option<Arc<[i16]>> {
        self.cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
    }

    fn speak(&self, key: &Key) -> Result<Arc<[i16]>, InferenceError> {
        // Another request for the same clause may have come first.
        if let Some(kept) = self.cached(key) {
            return Ok(kept);
        }
        let pcm = self
            .program
            .speak(key)
            .map_err(|error| InferenceError::Failed {
                model: self.name.clone(),
                reason: error.to_string(),
            })?;
        let pcm: Arc<[i16]> = trim::trim(pcm).into();
        self.cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key.clone(), Arc::clone(&pcm));
        Ok(pcm)
    }
}

fn serve(shared: &Shared, queue: &ClauseQueue) {
    for job in std::iter::from_fn(|| queue.pop()).flatten() {
        let begun = Instant::now();
        match shared.speak(&job.key) {
            Ok(pcm) => send(&job.events, &pcm, begun.elapsed()),
            Err(error) => {
                tracing::warn!(%error, "a clause could not be spoken");
                let _ = job.events.send(SpeechEvent::Failed(error));
            }
        }
    }
}

/// Sends a clause in pieces. Nobody listens any more when a send fails.
fn send(events: &mpsc::UnboundedSender<SpeechEvent>, pcm: &[i16], compute: Duration) {
    for piece in pcm.chunks(PIECE_SAMPLES) {
        let _ = events.send(SpeechEvent::Audio(piece.to_vec()));
    }
    let _ = events.send(SpeechEvent::Done { compute });
}
