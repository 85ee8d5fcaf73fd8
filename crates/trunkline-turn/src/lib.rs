//! Turn-taking: when the caller speaks, when the caller is done, when the agent must stop, and when
//! the line has gone quiet.
//!
//! [`TurnCore`] is sans-IO. Every input carries its [`trunkline_types::CallTime`]; the same inputs
//! give the same outputs, so a call's event log replays to the same decisions. It never sees audio,
//! only the probability of speech per 20 ms frame, and never a clock.
//!
//! It does not transcribe, keep audio or know what the agent says: the driver buffers audio (from
//! [`TurnOutput::SpeechStarted`] on) and reports what is on the wire.
#![forbid(unsafe_code)]

mod completeness;
mod core;
mod endpoint;
mod event;
mod habit;
mod idle;
mod onset;
mod settings;
mod utterance;
mod vad;

#[cfg(test)]
mod tests;

pub use core::TurnCore;
pub use endpoint::{EndpointModel, FixedSilence, Fused, TurnSoFar};
pub use event::{AgentVoice, AnswerKind, DigitCount, Expectation, TurnInput, TurnOutput};
pub use settings::{InvalidTurnSetting, TurnPreset, TurnSettings};
pub use vad::SpeechDetector;
