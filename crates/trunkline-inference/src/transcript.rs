//! Speech to text.

use std::time::Duration;

use serde::{Deserialize, Serialize};
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
    /// Honours [`TranscribeOptions::segments`].
    pub segments: bool,
    /// Honours [`TranscribeOptions::words`].
    pub words: bool,
    /// Honours [`TranscribeOptions::prompt`].
    pub prompt: bool,
    /// Honours [`TranscribeOptions::phrases`].
    pub phrases: bool,
    /// Honours [`TranscribeOptions::temperature`] beyond 0.
    pub temperature: bool,
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
        } else if options.segments && !self.segments {
            "it gives no times of segments".to_owned()
        } else if options.prompt.is_some() && !self.prompt {
            "it takes no prompt".to_owned()
        } else if !options.phrases.is_empty() && !self.phrases {
            "it takes no dictionary".to_owned()
        } else if options.temperature.is_some_and(|warmth| warmth > 0.0) && !self.temperature {
            "it does not draw by chance".to_owned()
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

/// How to transcribe. Build it with `..TranscribeOptions::default()`: options are added over time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TranscribeOptions {
    /// ISO 639-1 code, e.g. `en`; `None` lets the model decide.
    pub language: Option<String>,
    /// Whether to send [`TranscriptEvent::Partial`]s while audio arrives.
    pub partials: bool,
    /// Whether the final says when each word was spoken.
    pub words: bool,
    /// Whether the final's segments follow the model's own time marks, where it knows any.
    /// Without, there is one segment for each window of audio that the model heard.
    pub segments: bool,
    /// Text that came before, or that sets spelling and topic.
    pub prompt: Option<String>,
    /// The custom dictionary: names and terms to expect, as they should be written.
    pub phrases: Vec<String>,
    /// 0 takes the likeliest word; up to 1 draws by chance. `None` begins at 0 and draws only
    /// when the result fails the model's own checks.
    pub temperature: Option<f32>,
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
        /// How much audio it covers.
        audio: Duration,
        /// Time the computation took after [`TranscriberInput::Finish`] reached the worker.
        compute: Duration,
        /// Language, segments and words.
        detail: TranscriptDetail,
    },
    /// The session failed.
    Failed(InferenceError),
}

/// What a final says beyond its text.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TranscriptDetail {
    /// ISO 639-1 code of the language that was asked for or found; `None` when the model does
    /// not tell.
    pub language: Option<String>,
    /// The text in order of time. Empty when nobody spoke, or when the model does not tell.
    pub segments: Vec<TranscriptSegment>,
}

/// A stretch of speech.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TranscriptSegment {
    /// From the start of the audio.
    pub start: Duration,
    /// From the start of the audio.
    pub end: Duration,
    /// Text, trimmed.
    pub text: String,
    /// Its tokens in the model's vocabulary, time marks included.
    pub tokens: Vec<u32>,
    /// The temperature at which it was decoded.
    pub temperature: f32,
    /// Mean log-probability per token of the window that it came from.
    pub mean_log_prob: f32,
    /// Length of the text over its compressed length; more than about 2.4 is a loop.
    pub compression_ratio: f32,
    /// Probability that there was no speech in the window, 0 to 1.
    pub no_speech_prob: f32,
    /// Its words, when [`TranscribeOptions::words`] asked for them.
    pub words: Vec<TranscriptWord>,
}

/// When a word was spoken.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TranscriptWord {
    /// From the start of the audio.
    pub start: Duration,
    /// From the start of the audio.
    pub end: Duration,
    /// The word with its punctuation, without spaces.
    pub text: String,
    /// Mean probability of its tokens, 0 to 1.
    pub probability: f32,
}
