//! The figures that a call leaves in the metrics.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use trunkline_telemetry::names;
use trunkline_types::{EndReason, Timestamp};

use crate::log::{Input, Turn};

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

/// From the INVITE to now.
pub(crate) fn call_lasted(started: Timestamp, ended: Timestamp) {
    let micros = ended.as_micros().saturating_sub(started.as_micros());
    histogram!(names::CALL_DURATION_SECONDS).record(micros as f64 / 1e6);
}

pub(crate) fn recording_fault() {
    counter!(names::RECORDING_FAULTS_TOTAL).increment(1);
}

/// What a call was told: that a model gave no answer, or what came of computing ahead.
pub(crate) fn input(input: &Input) {
    let part = match input {
        Input::Anticipated { computed, used } => return anticipated(*computed, *used),
        Input::TranscriptFailed { .. } => "stt",
        Input::ModelFailed { .. } => "llm",
        Input::ClauseFailed { .. } => "tts",
        _ => return,
    };
    counter!(names::MODEL_FAILURES_TOTAL, names::PART => part).increment(1);
}

fn anticipated(computed: usize, used: usize) {
    let wasted = computed.saturating_sub(used);
    for (label, tokens) in [("used", used), ("wasted", wasted)] {
        counter!(names::LLM_ANTICIPATED_TOKENS_TOTAL, names::USE => label).increment(tokens as u64);
    }
}

/// The agent fell silent for a caller who cut in, so long after the caller's first sound.
pub(crate) fn barged_in(silent_after: Duration) {
    counter!(names::BARGE_INS_TOTAL).increment(1);
    histogram!(names::BARGE_IN_MS).record(silent_after.as_secs_f64() * 1000.0);
}

/// A turn that the agent answered, with the parts of its wait, those that happened.
pub(crate) fn turn(turn: &Turn) {
    if !turn.agent_said.is_empty() {
        counter!(names::TURNS_TOTAL).increment(1);
    }
    let latency = &turn.latency;
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
