//! Speech to text.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::{InferenceError, ModelInfo, Urgency};

/// Turns the utterances of callers into text. One session is one utterance.
pub trait Transcriber: Send + Sync {
    /// What serves.
    fn info(&self) -> ModelInfo;

    /// What it can do beyond text. A session that asks for more is refused with
    /// [`InferenceError::BadRequest`], never served without it.
    fn capabilities(&self) -> TranscriberCapabilities {
        TranscriberCapabilities::default()
    }

    /// Opens a session. Returns at once; audio may be sent immediately.
    ///
    /// # Errors
    /// [`InferenceError::Overloaded`], [`InferenceError::BadRequest`] or
    /// [`InferenceError::Unavailable`].
    fn open(&self, options: TranscribeOptions) -> Result<TranscriptionSession, InferenceError>;
}

/// What a recogniser can do beyond text. The default is nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TranscriberCapabilities {
    /// Gives [`Segment`]s, so that there are times.
    pub segments: bool,
    /// Honours [`TranscribeOptions::words`].
    pub words: bool,
    /// Honours [`TranscribeOptions::dictionary`].
    pub dictionary: bool,
    /// The longest utterance, where there is a limit.
    pub max_audio: Option<Duration>,
    /// ISO 639-1 codes of the languages that may be asked for; empty where that is not known.
    pub languages: Vec<String>,
}

impl TranscriberCapabilities {
    /// Refuses what a session asks for beyond this.
    ///
    /// # Errors
    /// [`InferenceError::BadRequest`] naming what `model` cannot do.
    pub fn check(&self, model: &str, options: &TranscribeOptions) -> Result<(), InferenceError> {
        let lacking = if options.words && !self.words {
            "it gives no times of words".to_owned()
        } else if !options.dictionary.is_empty() && !self.dictionary {
            "it takes no dictionary".to_owned()
        } else {
            match &options.language {
                Some(language)
                    if !self.languages.is_empty() && !self.languages.contains(language) =>
                {
                    let known = self.languages.join(", ");
                    format!("it does not know the language {language:?}, only {known}")
                }
                _ => return Ok(()),
            }
        };
        Err(InferenceError::BadRequest {
            model: model.to_owned(),
            reason: lacking,
        })
    }
}

/// How to transcribe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TranscribeOptions {
    /// ISO 639-1 code, e.g. `en`; `None` lets the model decide.
    pub language: Option<String>,
    /// Whether to send [`TranscriptEvent::Partial`]s while audio arrives.
    pub partials: bool,
    /// Whether [`TranscriptEvent::Final`] should say when each word was spoken.
    pub words: bool,
    /// Words and phrases that the caller is likely to use and a model is likely to miss: names,
    /// abbreviations.
    pub dictionary: Vec<String>,
    /// What goes first when there is not room for everything.
    pub urgency: Urgency,
}

/// The two ends of an open utterance.
#[derive(Debug)]
pub struct TranscriptionSession {
    /// Audio in, in order.
    pub audio: mpsc::UnboundedSender<TranscriberInput>,
    /// Text out. Ends after [`TranscriptEvent::Final`] or [`TranscriptEvent::Failed`].
    pub events: mpsc::UnboundedReceiver<TranscriptEvent>,
}

/// What a session takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TranscriberInput {
    /// More of the utterance: mono PCM at 16 kHz.
    Audio(Vec<i16>),
    /// No more audio follows, but it may turn out that the caller only paused. The worker
    /// transcribes what it has and sends a [`TranscriptEvent::Final`]; the session ends.
    Finish,
}

/// What a session gives.
#[derive(Debug, Clone, PartialEq)]
pub enum TranscriptEvent {
    /// The text so far; later ones may change it from `stable_bytes` on.
    Partial {
        /// Text so far.
        text: String,
        /// Length in bytes of the part that two consecutive partials agreed on.
        stable_bytes: usize,
        /// How much audio it covers.
        audio: Duration,
    },
    /// The text of the whole utterance. Empty when nobody spoke.
    Final {
        /// Text, trimmed.
        text: String,
        /// Mean log-probability per token (natural logarithm); nearer to 0 is surer.
        mean_log_prob: f32,
        /// Probability that there was no speech, 0 to 1.
        no_speech_prob: f32,
        /// ISO 639-1 code of the language, where the model was told or found out.
        language: Option<String>,
        /// The text in parts with times, where the model gives them.
        segments: Vec<Segment>,
        /// How much audio it covers.
        audio: Duration,
        /// Time the computation took after [`TranscriberInput::Finish`] reached the worker.
        compute: Duration,
    },
    /// The session failed.
    Failed(InferenceError),
}

/// A part of a transcript, a sentence or less.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Text, trimmed.
    pub text: String,
    /// From the beginning of the audio.
    pub start: Duration,
    /// From the beginning of the audio.
    pub end: Duration,
    /// Mean log-probability per token (natural logarithm).
    pub mean_log_prob: f32,
    /// Probability that there was no speech, 0 to 1.
    pub no_speech_prob: f32,
    /// Its words, where [`TranscribeOptions::words`] asked for them.
    pub words: Vec<Word>,
}

/// A word and when it was spoken.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// The word with the marks that belong to it, trimmed.
    pub text: String,
    /// From the beginning of the audio.
    pub start: Duration,
    /// From the beginning of the audio.
    pub end: Duration,
    /// Probability, 0 to 1.
    pub probability: f32,
}
