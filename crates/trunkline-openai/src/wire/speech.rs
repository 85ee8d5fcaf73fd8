//! Answers of `/v1/audio/transcriptions`.

use serde::{Deserialize, Serialize};

/// A transcript; with the format `json` it has its text alone.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Transcript {
    #[serde(default)]
    pub(crate) text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) task: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) language: Option<String>,
    /// Seconds of audio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) duration: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) segments: Option<Vec<WireSegment>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) words: Option<Vec<WireWord>>,
}

/// A part of a transcript. Times are seconds from the beginning.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct WireSegment {
    #[serde(default)]
    pub(crate) id: usize,
    #[serde(default)]
    pub(crate) seek: usize,
    pub(crate) start: f64,
    pub(crate) end: f64,
    pub(crate) text: String,
    /// Ids in the model's vocabulary.
    #[serde(default)]
    pub(crate) tokens: Vec<u32>,
    #[serde(default)]
    pub(crate) temperature: f32,
    #[serde(default)]
    pub(crate) avg_logprob: f32,
    /// Length of the text over its compressed length; repetition makes it high.
    #[serde(default)]
    pub(crate) compression_ratio: Option<f32>,
    #[serde(default)]
    pub(crate) no_speech_prob: f32,
}

/// A word. Times are seconds from the beginning.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct WireWord {
    pub(crate) word: String,
    pub(crate) start: f64,
    pub(crate) end: f64,
    /// Beyond OpenAI's: 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) probability: Option<f32>,
}
