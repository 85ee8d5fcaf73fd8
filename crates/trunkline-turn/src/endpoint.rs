//! How long a silence ends a turn: the door for a semantic end-of-turn model.
//!
//! A model reads the partial transcript ("my number is" calls for patience, "yes please" for none).
//! The one here looks only at the kind of answer.

use std::time::Duration;

use crate::{AnswerKind, Expectation, TurnSettings};

/// Decides how much silence ends the turn.
pub trait EndpointModel: Send {
    /// The silence needed after `partial`, the transcript of the open utterance so far (empty when
    /// none came yet). Must be a pure function of its arguments, or a replay would decide otherwise.
    fn end_silence(
        &self,
        partial: &str,
        expecting: &Expectation,
        settings: &TurnSettings,
    ) -> Duration;
}

/// A fixed silence per kind of answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct FixedSilence;

impl EndpointModel for FixedSilence {
    fn end_silence(
        &self,
        _partial: &str,
        expecting: &Expectation,
        settings: &TurnSettings,
    ) -> Duration {
        let usual = match expecting.kind {
            AnswerKind::Free | AnswerKind::YesNo => settings.end_silence_ms,
            AnswerKind::Digits => settings.digits_end_silence_ms,
        };
        Duration::from_millis(u64::from(expecting.end_silence_ms.unwrap_or(usual)))
    }
}
