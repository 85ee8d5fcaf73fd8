//! Speech to text.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::{InferenceError, ModelInfo};

/// Turns the utterances of callers into text. One session is one utterance.
pub trait Transcriber: Send + Sync {
    /// What serves.
    fn info(&self) -> ModelInfo;

    /// Opens a session. Returns at once; audio may be sent immediately.
    ///
    /// # Errors
    /// [`InferenceError::Overloaded`] or [`InferenceError::Unavailable`].
    fn open(&self, options: TranscribeOptions) -> Result<TranscriptionSession, InferenceError>;
}

/// How to transcribe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TranscribeOptions {
    /// ISO 639-1 code, e.g. `en`; `None` lets the model decide.
    pub language: Option<String>,
    /// Whether to send [`TranscriptEvent::Partial`]s while audio arrives.
    pub partials: bool,
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
        /// How much audio it covers.
        audio: Duration,
        /// Time the computation took after [`TranscriberInput::Finish`] reached the worker.
        compute: Duration,
    },
    /// The session failed.
    Failed(InferenceError),
}
