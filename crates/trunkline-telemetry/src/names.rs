//! Every name of a metric, a label and a log attribute, spelt once.
//!
//! Metrics carry the unit at the end (`_ms`, `_seconds`, `_total` for counts). Labels are few and
//! bounded: never a call id, never a telephone number.

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// One metric: its name, kind and meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// As printed.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it means, for the operator.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($kind:ident $constant:ident = $name:literal, $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*

        /// Every metric.
        pub const ALL: &[Metric] = &[
            $(Metric { name: $name, kind: Kind::$kind, help: $help },)*
        ];
    };
}

metrics! {
    Gauge CALLS_ACTIVE = "trunkline_calls_active", "Calls that run now.";
    Counter CALLS_TOTAL = "trunkline_calls_total", "Calls that ended, by outcome.";
    Histogram CALL_DURATION_SECONDS = "trunkline_call_duration_seconds", "Length of calls, from the INVITE to the end.";
    Histogram CALL_SETUP_MS = "trunkline_call_setup_ms", "From the INVITE to our final answer.";
    Counter TURNS_TOTAL = "trunkline_turns_total", "Turns that the agent answered.";
    Histogram VOICE_TO_VOICE_MS = "trunkline_voice_to_voice_ms", "From the caller's last sound to the agent's first sample sent.";
    Histogram END_OF_TURN_MS = "trunkline_end_of_turn_ms", "From the caller's last sound to the decision that the turn is over.";
    Histogram STT_FINAL_MS = "trunkline_stt_final_ms", "From the end of the turn to the final transcript.";
    Histogram LLM_FIRST_TOKEN_MS = "trunkline_llm_first_token_ms", "From the final transcript to the language model's first token or choice.";
    Counter LLM_ANTICIPATED_TOKENS_TOTAL = "trunkline_llm_anticipated_tokens_total", "Tokens of prompts that were computed while callers spoke, by use: used by the request that followed, or wasted.";
    Histogram FIRST_AUDIO_MS = "trunkline_first_audio_ms", "From the last part before it (first token, transcript or key) to the first sample sent.";
    Counter BARGE_INS_TOTAL = "trunkline_barge_ins_total", "Times that a caller cut the agent short.";
    Histogram BARGE_IN_MS = "trunkline_barge_in_ms", "From the caller's voice over the agent's to the agent's last sample sent.";
    Counter MODEL_FAILURES_TOTAL = "trunkline_model_failures_total", "Requests that a model did not answer, by part.";
    Counter JOURNAL_ENTRIES_LOST_TOTAL = "trunkline_journal_entries_lost_total", "Entries of call logs that could not be written to the store.";
    Counter RECORDING_FAULTS_TOTAL = "trunkline_recording_faults_total", "Recordings that are missing or shorter than their call.";
    Counter RTP_PACKETS_RECEIVED_TOTAL = "trunkline_rtp_packets_received_total", "RTP packets received.";
    Counter RTP_PACKETS_SENT_TOTAL = "trunkline_rtp_packets_sent_total", "RTP packets sent.";
    Counter RTP_PACKETS_LOST_TOTAL = "trunkline_rtp_packets_lost_total", "RTP packets that never came.";
    Counter MEDIA_TICKS_DROPPED_TOTAL = "trunkline_media_ticks_dropped_total", "20 ms ticks that a call's channel had no room for.";
    Gauge MEDIA_SEND_ERROR_P99_MS = "trunkline_media_send_error_p99_ms", "How far from its moment on the 20 ms grid 1 packet in 100 was sent at least, since the last reading.";
    Gauge MEDIA_LEGS = "trunkline_media_legs", "Legs on the media wheel.";
    Counter SIP_REQUESTS_TOTAL = "trunkline_sip_requests_total", "SIP requests received, by method.";
    Counter SIP_RESPONSES_TOTAL = "trunkline_sip_responses_total", "Final SIP answers that we gave, by status code.";
    Counter SIP_STRANGERS_TOTAL = "trunkline_sip_strangers_total", "SIP requests from addresses that belong to no trunk, left without an answer.";
    Gauge TRUNK_REGISTERED = "trunkline_trunk_registered", "Whether a trunk's registration stands (1) or not (0), by trunk.";
    Gauge GPU_MONITORED = "trunkline_gpu_monitored", "Whether the driver tells about the cards (1) or there is none or no answer (0).";
    Gauge GPU_BUSY_RATIO = "trunkline_gpu_busy_ratio", "Share of the last moments in which some kernel ran, by card.";
    Gauge GPU_MEMORY_BUSY_RATIO = "trunkline_gpu_memory_busy_ratio", "Share of the last moments in which the card's memory was read or written.";
    Gauge GPU_MEMORY_USED_BYTES = "trunkline_gpu_memory_used_bytes", "Memory in use on a card.";
    Gauge GPU_MEMORY_BYTES = "trunkline_gpu_memory_bytes", "Memory of a card.";
    Gauge GPU_POWER_W = "trunkline_gpu_power_w", "Power that a card draws.";
    Gauge GPU_POWER_LIMIT_W = "trunkline_gpu_power_limit_w", "Power that a card may draw.";
    Gauge GPU_SM_CLOCK_MHZ = "trunkline_gpu_sm_clock_mhz", "Clock of a card's multiprocessors.";
    Gauge GPU_MEMORY_CLOCK_MHZ = "trunkline_gpu_memory_clock_mhz", "Clock of a card's memory.";
    Gauge GPU_TEMPERATURE_C = "trunkline_gpu_temperature_c", "Temperature of a card.";
    Gauge GPU_THROTTLED = "trunkline_gpu_throttled", "Whether a card's clocks are held down (1) or not (0), by reason.";
    Gauge GPU_UNCORRECTED_ERRORS = "trunkline_gpu_uncorrected_errors", "Memory errors of a card that could not be corrected, since the driver was loaded.";
    Gauge GPU_MIG = "trunkline_gpu_mig", "Whether a card is cut into instances (1) or not (0).";
    Gauge GPU_PROCESSES = "trunkline_gpu_processes", "Programs that compute on a card.";
    Gauge LIVE_WATCHERS = "trunkline_live_watchers", "Readers of the live event stream.";
}

/// Label: how a call went; `completed`, `abandoned` or `failed`.
pub const OUTCOME: &str = "outcome";

/// Label: why a call ended, e.g. `caller_hung_up`.
pub const END_REASON: &str = "end_reason";

/// Label: the SIP method.
pub const METHOD: &str = "method";

/// Label: the SIP status code.
pub const STATUS: &str = "status";

/// Label: the trunk's name in the configuration.
pub const TRUNK: &str = "trunk";

/// Label: the part of the appliance: `stt`, `llm`, `tts`.
pub const PART: &str = "part";

/// Label: what became of work that was done ahead of need: `used` or `wasted`.
pub const USE: &str = "use";

/// Label: the card, by number.
pub const GPU: &str = "gpu";

/// Label: why something is so.
pub const REASON: &str = "reason";

/// Label: `inbound` or `outbound`.
pub const DIRECTION: &str = "direction";

/// Log attribute: the call's id.
pub const CALL_ID: &str = "call_id";

/// Log attribute: the turn's index.
pub const TURN: &str = "turn";

/// Log attribute: the workflow's name.
pub const WORKFLOW: &str = "workflow";

/// Log attribute: the workflow node's id.
pub const NODE: &str = "node";

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_counters_end_in_total() {
        let unique: HashSet<&str> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(unique.len(), ALL.len());
        for metric in ALL {
            assert!(metric.name.starts_with("trunkline_"), "{}", metric.name);
            assert_eq!(
                metric.kind == Kind::Counter,
                metric.name.ends_with("_total"),
                "{}",
                metric.name
            );
        }
    }
}
