//! Text to speech.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::{InferenceError, ModelInfo};

/// Speaks. One request is one clause, so that the first clause is heard early.
pub trait Synthesizer: Send + Sync {
    /// What serves.
    fn info(&self) -> ModelInfo;

    /// Starts to speak a clause.
    ///
    /// # Errors
    /// [`InferenceError::Overloaded`], [`InferenceError::BadRequest`] or [`InferenceError::Unavailable`].
    fn synthesize(&self, request: SpeechRequest) -> Result<SpeechStream, InferenceError>;
}

/// A clause to be spoken.
#[derive(Debug, Clone, PartialEq)]
pub struct SpeechRequest {
    /// What to say, as written.
    pub text: String,
    /// Voice name; `None` is the model's own.
    pub voice: Option<String>,
    /// 1 is the voice's own pace; 2 is twice as fast.
    pub speed: f32,
}

/// Speech on its way. Dropping it cancels the work.
#[derive(Debug)]
pub struct SpeechStream {
    /// Ends after [`SpeechEvent::Done`] or [`SpeechEvent::Failed`].
    pub events: mpsc::UnboundedReceiver<SpeechEvent>,
}

/// A piece of speech.
#[derive(Debug, Clone, PartialEq)]
pub enum SpeechEvent {
    /// More audio: mono PCM at 16 kHz.
    Audio(Vec<i16>),
    /// The clause is complete.
    Done {
        /// Time the computation took.
        compute: Duration,
    },
    /// The clause failed.
    Failed(InferenceError),
}
