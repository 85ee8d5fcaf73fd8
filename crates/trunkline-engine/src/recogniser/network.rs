//! What the worker needs of a recogniser, and how `trunkline-nn` gives it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use trunkline_inference::{TranscribeOptions, TranscriberCapabilities, Urgency};
use trunkline_nn::{Guards, NnError, Passage, RowId, Rows, Whisper, WhisperOptions, Window};

use super::queue::{Kind, MAX_SAMPLES, Pass};
use crate::instant::duration_of;

/// Windows that are decoded at once. Each needs memory for what it heard and said.
const ROWS: usize = 16;
/// When a caller waits, only text that repeats itself is worth another attempt, and not many.
const ATTEMPTS_ON_A_LINE: [f32; 3] = [0.0, 0.4, 0.8];

/// A pass that ended, with what was heard.
pub(super) type Ended = (u64, Result<Passage, NnError>);

/// A recogniser that decodes many windows at once. It lives on one thread.
pub(super) trait RecogniserNetwork: Send + 'static {
    /// What the front end makes of a stretch of audio.
    type Window: Send + 'static;

    /// What it can do beyond text.
    fn capabilities(&self) -> TranscriberCapabilities;

    /// The part that runs elsewhere.
    fn front_end(&self) -> Arc<dyn FrontEnd<Self::Window>>;

    /// How many windows may join.
    fn free(&self) -> usize;

    /// Windows of one length begin to be decoded, each under a number of the caller's. What
    /// cannot be served fails alone; an error of the whole says that none has joined.
    fn join(
        &mut self,
        windows: Vec<(u64, &Self::Window, WhisperOptions)>,
    ) -> Result<Vec<Result<(), NnError>>, NnError>;

    /// Each window that has joined goes on by a token. Gives those that are complete. After an
    /// error of the whole, none goes on.
    fn step(&mut self) -> Result<Vec<Ended>, NnError>;

    /// Nobody wants a window any more.
    fn cancel(&mut self, number: u64);
}

/// Turns audio into windows. It needs no weights and runs on any thread.
pub(super) trait FrontEnd<W>: Send + Sync {
    fn listen(&self, pass: &Pass) -> Result<Heard<W>, NnError>;
}

/// What is to be decoded for a pass.
pub(super) struct Heard<W> {
    pub(super) parts: Vec<Part<W>>,
    pub(super) options: WhisperOptions,
}

/// One window of a pass.
pub(super) struct Part<W> {
    pub(super) window: W,
    /// Samples of audio in it.
    pub(super) samples: usize,
    /// Its length; windows of one length join together.
    pub(super) frames: usize,
}

/// Whisper of any size.
pub(super) struct WhisperNetwork {
    model: Arc<Whisper>,
    rows: Rows,
    numbers: HashMap<RowId, u64>,
}

impl WhisperNetwork {
    /// Loads a folder and computes once, so that the first caller does not wait for memory.
    pub(super) fn load(folder: &Path) -> Result<Self, NnError> {
        let model = Whisper::load(folder, &trunkline_nn::cpu())?;
        model.transcribe(
            &[0.0; 16_000],
            &WhisperOptions {
                guards: Guards::once(),
                ..WhisperOptions::default()
            },
        )?;
        Ok(Self {
            rows: model.rows(ROWS)?,
            model: Arc::new(model),
            numbers: HashMap::new(),
        })
    }
}

impl RecogniserNetwork for WhisperNetwork {
    type Window = Window;

    fn capabilities(&self) -> TranscriberCapabilities {
        TranscriberCapabilities {
            segments: true,
            words: true,
            prompt: self.model.takes_prompt(),
            phrases: true,
            temperature: true,
            max_audio: Some(duration_of(MAX_SAMPLES)),
            languages: self.model.languages(),
        }
    }

    fn front_end(&self) -> Arc<dyn FrontEnd<Window>> {
        Arc::clone(&self.model) as Arc<dyn FrontEnd<Window>>
    }

    fn free(&self) -> usize {
        self.rows.free()
    }

    fn join(
        &mut self,
        windows: Vec<(u64, &Window, WhisperOptions)>,
    ) -> Result<Vec<Result<(), NnError>>, NnError> {
        let numbers: Vec<u64> = windows.iter().map(|(number, ..)| *number).collect();
        let windows = windows
            .into_iter()
            .map(|(_, window, options)| (window, options));
        let joined = self.model.join(&mut self.rows, windows.collect())?;
        let mut outcomes = Vec::with_capacity(numbers.len());
        for (id, number) in joined.into_iter().zip(numbers) {
            outcomes.push(id.map(|id| {
                self.numbers.insert(id, number);
            }));
        }
        Ok(outcomes)
    }

    fn step(&mut self) -> Result<Vec<Ended>, NnError> {
        let ended = self.model.step(&mut self.rows)?.into_iter();
        Ok(ended
            .filter_map(|(id, passage)| Some((self.numbers.remove(&id)?, passage)))
            .collect())
    }

    fn cancel(&mut self, number: u64) {
        let id = self.numbers.iter().find(|(_, own)| **own == number);
        if let Some(id) = id.map(|(id, _)| *id) {
            self.numbers.remove(&id);
            self.rows.cancel(id);
        }
    }
}

impl FrontEnd<Window> for Whisper {
    fn listen(&self, pass: &Pass) -> Result<Heard<Window>, NnError> {
        let pcm: Vec<f32> = pass
            .pcm
            .iter()
            .map(|sample| f32::from(*sample) / 32_768.0)
            .collect();
        let mut options = decoding(&pass.options, pass.kind);
        if pass.kind != Kind::Partial && !pass.options.phrases.is_empty() {
            options.dictionary = Some(Arc::new(self.dictionary(&pass.options.phrases)?));
        }
        let parts = self
            .parts(&pcm)
            .into_iter()
            .map(|part| {
                let window = self.window(part, &options)?;
                Ok(Part {
                    samples: window.samples,
                    frames: window.frames,
                    window,
                })
            })
            .collect::<Result<_, NnError>>()?;
        Ok(Heard { parts, options })
    }
}

/// How a pass is decoded. A partial is replaced soon, so it has no extras.
fn decoding(options: &TranscribeOptions, kind: Kind) -> WhisperOptions {
    let guards = match (kind, options.temperature) {
        (_, Some(temperature)) => Guards {
            temperatures: vec![temperature.clamp(0.0, 1.0)],
            ..Guards::default()
        },
        (Kind::Partial, None) => Guards::once(),
        (_, None) if options.urgency == Urgency::Background => Guards::default(),
        (_, None) => Guards {
            temperatures: ATTEMPTS_ON_A_LINE.to_vec(),
            retries_guesses: false,
            ..Guards::default()
        },
    };
    WhisperOptions {
        language: options.language.clone(),
        time_marks: options.segments,
        words: options.words && kind != Kind::Partial,
        prompt: options.prompt.clone(),
        guards,
        ..WhisperOptions::default()
    }
}
