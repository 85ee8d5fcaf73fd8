//! How long a silence ends a turn.
//!
//! [`Fused`] weighs three things: what the words say ("my number is" calls for patience, "yes
//! please" for none), what kind of answer is expected, and how long this caller uses to pause. It
//! hears no pitch and asks no model.

use std::time::Duration;

use crate::completeness::{Completeness, Cues};
use crate::{AnswerKind, Expectation, TurnSettings};

/// What is known of a turn that is not over.
#[derive(Debug, Clone, Copy, Default)]
pub struct TurnSoFar<'a> {
    /// Transcript so far; empty when none came yet.
    pub partial: &'a str,
    /// Whether the transcript covers all that was spoken. Where it does not, words may be missing
    /// at the end, and the last one says nothing.
    pub is_fresh: bool,
    /// The silence after which this caller uses to go on; zero while that is not known.
    pub usual_pause: Duration,
}

/// Decides how much silence ends the turn.
pub trait EndpointModel: Send {
    /// The silence needed after what was spoken so far. Must be a pure function of its arguments,
    /// or a replay would decide otherwise.
    fn end_silence(
        &self,
        turn: &TurnSoFar<'_>,
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
        _turn: &TurnSoFar<'_>,
        expecting: &Expectation,
        settings: &TurnSettings,
    ) -> Duration {
        millis(fixed(expecting, settings))
    }
}

fn fixed(expecting: &Expectation, settings: &TurnSettings) -> u32 {
    let usual = match expecting.kind {
        AnswerKind::Free | AnswerKind::YesNo => settings.end_silence_ms,
        AnswerKind::Digits => settings.digits_end_silence_ms,
    };
    expecting.end_silence_ms.unwrap_or(usual)
}

/// Words, the kind of answer and the caller's own pauses together.
#[derive(Debug, Clone, Copy)]
pub struct Fused {
    cues: Cues,
}

impl Fused {
    /// For callers of a language (ISO 639-1). The words of one that is not known decide nothing;
    /// digits and punctuation do.
    pub fn for_language(language: &str) -> Self {
        Self {
            cues: Cues::of(language),
        }
    }
}

impl EndpointModel for Fused {
    fn end_silence(
        &self,
        turn: &TurnSoFar<'_>,
        expecting: &Expectation,
        settings: &TurnSettings,
    ) -> Duration {
        let completeness = match turn.is_fresh {
            true => self.cues.judge(turn.partial, expecting),
            false => Completeness::Unclear,
        };
        let usual = fixed(expecting, settings);
        let silence = match completeness {
            // A fixed silence that was asked for is not undercut.
            Completeness::Complete if expecting.end_silence_ms.is_some() => usual,
            Completeness::Complete => return millis(settings.complete_silence_ms.min(usual)),
            Completeness::Unclear => usual,
            Completeness::Dictating => settings.digits_end_silence_ms.max(usual),
            Completeness::Incomplete => settings.incomplete_silence_ms.max(usual),
        };
        let silence = millis(silence);
        // As long as this caller's pauses and a little more, but no longer than for half a sentence.
        let habit = turn.usual_pause + turn.usual_pause / 4;
        silence.max(habit.min(millis(settings.incomplete_silence_ms)))
    }
}

fn millis(setting: u32) -> Duration {
    Duration::from_millis(u64::from(setting))
}
