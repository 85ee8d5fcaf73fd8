//! The times and thresholds of turn-taking.

use serde::{Deserialize, Serialize};

/// How turns are taken. All times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TurnSettings {
    /// Probability from which a frame begins speech, 0 to 1. Speech goes on down to 0.15 below it.
    pub speech_threshold: f32,
    /// Speech needed before an utterance begins while the agent is silent.
    pub onset_ms: u32,
    /// Speech needed before an utterance begins, and an interruptible line stops, while the agent
    /// speaks. With the default the agent is silent within 120 ms of the caller's first packet: the
    /// jitter buffer and two beats of the media wheel take what is left. At most 100.
    pub barge_in_ms: u32,
    /// Silence after which a caller who speaks is reported to pause.
    pub pause_ms: u32,
    /// Silence that ends the caller's turn.
    pub end_silence_ms: u32,
    /// The same where the words are a whole answer.
    pub complete_silence_ms: u32,
    /// The same where the last word asks for another, and the most that is granted to a caller who
    /// uses to pause for long.
    pub incomplete_silence_ms: u32,
    /// The same while digits are dictated, where people pause between groups.
    pub digits_end_silence_ms: u32,
    /// Less speech than this in all is a false start.
    pub min_utterance_ms: u32,
    /// Audio before the onset that belongs to the utterance.
    pub preroll_ms: u32,
    /// An utterance is cut at this length, or at a pause shortly before it; what follows joins it.
    pub max_utterance_ms: u32,
    /// Speech that begins this soon after the end of a turn, before the agent is heard, continues
    /// that turn.
    pub resume_ms: u32,
    /// Silence of both sides before the agent is told.
    pub idle_ms: u32,
    /// The longest call.
    pub max_call_ms: u32,
}

impl Default for TurnSettings {
    fn default() -> Self {
        Self {
            speech_threshold: 0.5,
            onset_ms: 80,
            barge_in_ms: 60,
            pause_ms: 200,
            end_silence_ms: 600,
            complete_silence_ms: 300,
            incomplete_silence_ms: 1_400,
            digits_end_silence_ms: 1_200,
            min_utterance_ms: 140,
            preroll_ms: 300,
            max_utterance_ms: 9_000,
            resume_ms: 2_000,
            idle_ms: 7_000,
            max_call_ms: 900_000,
        }
    }
}

/// How patient the agent is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnPreset {
    /// Answers fast; cuts off a caller who thinks aloud now and then.
    Brisk,
    /// For most callers.
    #[default]
    Balanced,
    /// For callers who speak slowly, or have much to say.
    Patient,
    /// For numbers and spellings that are read out in groups.
    Digits,
}

impl TurnSettings {
    /// The settings of a preset; what it says nothing about is the default.
    pub fn of(preset: TurnPreset) -> Self {
        let [complete, usual, incomplete, digits] = match preset {
            TurnPreset::Brisk => [240, 450, 1_000, 1_000],
            TurnPreset::Balanced => return Self::default(),
            TurnPreset::Patient => [600, 1_000, 2_200, 2_000],
            TurnPreset::Digits => [500, 1_200, 2_000, 1_800],
        };
        Self {
            complete_silence_ms: complete,
            end_silence_ms: usual,
            incomplete_silence_ms: incomplete,
            digits_end_silence_ms: digits,
            ..Self::default()
        }
    }
}

/// A setting has a value that cannot work.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{setting} is {value}, but must be {allowed}")]
pub struct InvalidTurnSetting {
    /// The name of the setting.
    pub setting: &'static str,
    /// Its value as written.
    pub value: String,
    /// What would be accepted.
    pub allowed: String,
}

impl TurnSettings {
    /// Checks that the values can work together.
    ///
    /// # Errors
    /// [`InvalidTurnSetting`] names the first one that cannot.
    pub fn check(&self) -> Result<(), InvalidTurnSetting> {
        if !(0.05..=0.95).contains(&self.speech_threshold) {
            return Err(InvalidTurnSetting {
                setting: "speech_threshold",
                value: self.speech_threshold.to_string(),
                allowed: "from 0.05 to 0.95".to_owned(),
            });
        }
        let ranges = [
            ("onset_ms", self.onset_ms, 20, 500),
            ("barge_in_ms", self.barge_in_ms, 20, 100),
            ("pause_ms", self.pause_ms, 60, 2_000),
            ("end_silence_ms", self.end_silence_ms, self.pause_ms, 10_000),
            (
                "digits_end_silence_ms",
                self.digits_end_silence_ms,
                self.pause_ms,
                10_000,
            ),
            (
                "complete_silence_ms",
                self.complete_silence_ms,
                self.pause_ms,
                10_000,
            ),
            (
                "incomplete_silence_ms",
                self.incomplete_silence_ms,
                self.pause_ms,
                10_000,
            ),
            ("min_utterance_ms", self.min_utterance_ms, 20, 2_000),
            ("preroll_ms", self.preroll_ms, 0, 2_000),
            ("max_utterance_ms", self.max_utterance_ms, 2_000, 600_000),
            ("resume_ms", self.resume_ms, 0, 30_000),
            ("idle_ms", self.idle_ms, 1_000, 600_000),
            ("max_call_ms", self.max_call_ms, 10_000, 86_400_000),
        ];
        for (setting, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(InvalidTurnSetting {
                    setting,
                    value: value.to_string(),
                    allowed: format!("from {least} to {most}"),
                });
            }
        }
        Ok(())
    }
}
