//! How one window of audio is to be decoded.

use std::sync::Arc;

use super::dictionary::Dictionary;
use super::guards::Guards;

/// How to transcribe.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WhisperOptions {
    /// ISO 639-1 code such as `en`; a region after it is ignored. `None` lets the model decide.
    /// Models of one language ignore it.
    pub language: Option<String>,
    /// Pads to the longest window, as in training, at its full cost. For comparison.
    pub full_window: bool,
    /// Has the model say time marks, which cut its text into segments. Ignored by models that
    /// have none.
    pub time_marks: bool,
    /// Finds when each word was spoken, by one more pass over the text.
    pub words: bool,
    /// Text that came before, or that sets spelling and topic.
    pub prompt: Option<String>,
    /// Phrases to expect.
    pub dictionary: Option<Arc<Dictionary>>,
    /// What is done about results that are not to be believed.
    pub guards: Guards,
    /// Seed of what is drawn at temperatures above 0.
    pub seed: u64,
    /// Says exactly so many tokens, ending or not. For measuring.
    pub exact_tokens: Option<usize>,
}
