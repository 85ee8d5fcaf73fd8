//! One wait of a caller, in words.

use trunkline_agent::log::Latency;

/// The parts of one wait in milliseconds; those that did not happen are absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LatencyParts {
    pub(crate) end_of_turn_ms: Option<u32>,
    pub(crate) stt_final_ms: Option<u32>,
    pub(crate) llm_first_token_ms: Option<u32>,
    pub(crate) first_audio_ms: Option<u32>,
    pub(crate) voice_to_voice_ms: Option<u32>,
}

impl From<Latency> for LatencyParts {
    fn from(latency: Latency) -> Self {
        Self {
            end_of_turn_ms: latency.end_of_turn_ms,
            stt_final_ms: latency.stt_final_ms,
            llm_first_token_ms: latency.llm_first_token_ms,
            first_audio_ms: latency.first_audio_ms,
            voice_to_voice_ms: latency.voice_to_voice_ms,
        }
    }
}

impl LatencyParts {
    /// `answered after 812 ms: end of turn 400, transcript 120, model 200, voice 92`; empty when
    /// nobody waited.
    pub(crate) fn in_words(self) -> String {
        let parts: Vec<String> = [
            ("end of turn", self.end_of_turn_ms),
            ("transcript", self.stt_final_ms),
            ("model", self.llm_first_token_ms),
            ("voice", self.first_audio_ms),
        ]
        .into_iter()
        .filter_map(|(name, ms)| Some(format!("{name} {}", ms?)))
        .collect();
        match (self.voice_to_voice_ms, parts.is_empty()) {
            (None, true) => String::new(),
            (None, false) => parts.join(", "),
            (Some(whole), true) => format!("answered after {whole} ms"),
            (Some(whole), false) => format!("answered after {whole} ms: {}", parts.join(", ")),
        }
    }
}
