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
    pub(crate) segments: Option<Vec<TranscriptSegment>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) words: Option<Vec<TranscriptWord>>,
}

/// A part of a transcript. Times are seconds from the beginning.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct TranscriptSegment {
    #[serde(default)]
    pub(crate) id: usize,
    #[serde(default)]
    pub(crate) seek: usize,
    pub(crate) start: f64,
    pub(crate) end: f64,
    pub(crate) text: String,
    /// Ids of tokens mean nothing outside of a model, so ours are not told.
    #[serde(default)]
    pub(crate) tokens: Vec<u32>,
    #[serde(default)]
    pub(crate) temperature: f32,
    #[serde(default)]
    pub(crate) avg_logprob: f32,
    /// Ours is `null`: the recogniser judges repetition itself.
    #[serde(default)]
    pub(crate) compression_ratio: Option<f32>,
    #[serde(default)]
    pub(crate) no_speech_prob: f32,
}

/// A word. Times are seconds from the beginning.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct TranscriptWord {
    pub(crate) word: String,
    pub(crate) start: f64,
    pub(crate) end: f64,
    /// Beyond OpenAI's: 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) probability: Option<f32>,
}
