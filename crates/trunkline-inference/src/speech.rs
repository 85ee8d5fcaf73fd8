//! Text to speech.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::{InferenceError, ModelInfo, Tenant, Urgency};

/// Speaks. One request is one clause, so that the first clause is heard early.
pub trait Synthesizer: Send + Sync {
    /// What serves.
    fn info(&self) -> ModelInfo;

    /// The voices that may be asked for; empty where that is not known.
    fn voices(&self) -> Vec<String> {
        Vec::new()
    }

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
    /// What goes first when there is not room for everything.
    pub urgency: Urgency,
    /// Who asks.
    pub tenant: Tenant,
    /// When the first audio is wanted, from now on; `None` is as soon as possible.
    pub due: Option<Duration>,
}

impl Default for SpeechRequest {
    fn default() -> Self {
        Self {
            text: String::new(),
            voice: None,
            speed: 1.0,
            urgency: Urgency::default(),
            tenant: Tenant::default(),
            due: None,
        }
    }
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
