//! The figures that a call leaves in the metrics.

use metrics::{counter, gauge, histogram};
use trunkline_telemetry::names;
use trunkline_types::EndReason;

use crate::log::Latency;

pub(crate) fn call_taken() {
    gauge!(names::CALLS_ACTIVE).increment(1.0);
}

pub(crate) fn call_left() {
    gauge!(names::CALLS_ACTIVE).decrement(1.0);
}

pub(crate) fn call_ended(reason: EndReason) {
    let outcome = reason.outcome().as_str();
    counter!(names::CALLS_TOTAL, names::OUTCOME => outcome, names::END_REASON => reason.as_str())
        .increment(1);
}

/// The parts of one wait, those that happened.
pub(crate) fn turn(latency: &Latency) {
    let parts = [
        (names::END_OF_TURN_MS, latency.end_of_turn_ms),
        (names::STT_FINAL_MS, latency.stt_final_ms),
        (names::LLM_FIRST_TOKEN_MS, latency.llm_first_token_ms),
        (names::FIRST_AUDIO_MS, latency.first_audio_ms),
        (names::VOICE_TO_VOICE_MS, latency.voice_to_voice_ms),
    ];
    for (name, part) in parts {
        if let Some(millis) = part {
            histogram!(name).record(f64::from(millis));
        }
    }
}
