//! What goes into the turn core and what comes out, in the words of the call's event log.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use trunkline_types::{CallTime, UtteranceId};

/// What the agent waits for. Sent as soon as the line that asks for it is queued: the caller may
/// answer before the line is over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectation {
    /// Silence that ends the turn, instead of the settings' own.
    pub end_silence_ms: Option<u32>,
    /// The kind of answer.
    pub kind: AnswerKind,
    /// For digits: how many, where that is known.
    #[serde(default)]
    pub digits: Option<DigitCount>,
}

/// How many digits an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigitCount {
    /// At least.
    pub least: u32,
    /// At most: with so many the answer is complete.
    pub most: u32,
}

/// What the agent does during a tick.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentVoice {
    /// Nothing of it is on the wire.
    #[default]
    Silent,
    /// It speaks, and the caller's voice stops it.
    Interruptible,
    /// It speaks what must be heard out. The caller's speech is collected all the same.
    Protected,
}

impl AgentVoice {
    /// Whether agent speech is on the wire.
    pub fn is_heard(self) -> bool {
        self != Self::Silent
    }
}

/// The kind of answer that the agent waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerKind {
    /// Anything.
    #[default]
    Free,
    /// Yes or no.
    YesNo,
    /// Dictated digits: people pause between the groups.
    Digits,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TurnInput {
    /// One tick (20 ms) of the caller's audio, which ended at the time of the input.
    Frame {
        /// Probability of speech, 0 to 255.
        speech: u8,
        /// What the agent did during this tick.
        agent: AgentVoice,
    },
    /// The transcript of an open utterance so far.
    Partial {
        /// Which utterance.
        utterance: UtteranceId,
        /// Its text so far.
        text: String,
        /// The end of the audio that the text covers.
        until: CallTime,
    },
    /// The agent now waits for this.
    Expect(Expectation),
    /// The caller pressed a key, so the line is not idle.
    KeyPressed,
    /// The agent is about to speak: idle time stops.
    AgentQueued,
    /// Everything that was queued has been played or dropped: idle time runs again.
    AgentFinished,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TurnOutput {
    /// The caller began to speak. Closed by exactly one [`TurnOutput::EndOfTurn`] or
    /// [`TurnOutput::FalseStart`]; at most one utterance is open at a time.
    SpeechStarted {
        /// The new utterance.
        utterance: UtteranceId,
        /// Where its audio begins: the onset less the pre-roll. Feed buffered audio from here.
        from: CallTime,
    },
    /// The caller fell silent, perhaps only for breath. A good moment to ask for an early
    /// transcript.
    SpeechPaused {
        /// The open utterance.
        utterance: UtteranceId,
    },
    /// The caller went on after a pause, within the turn.
    SpeechResumed {
        /// The open utterance.
        utterance: UtteranceId,
    },
    /// It was too short to be speech. Nothing is to be transcribed.
    FalseStart {
        /// The utterance, now closed.
        utterance: UtteranceId,
    },
    /// The caller is done; the agent's turn.
    EndOfTurn {
        /// The utterance, now closed.
        utterance: UtteranceId,
        /// End of the last voiced frame.
        speech_end: CallTime,
        /// Time from `speech_end` to this decision.
        decided_after: Duration,
    },
    /// The caller speaks over an interruptible line: the agent stops now. Follows
    /// [`TurnOutput::SpeechStarted`] of the same utterance.
    BargeIn {
        /// The open utterance.
        utterance: UtteranceId,
        /// Start of the first voiced frame.
        onset: CallTime,
    },
    /// The caller went on after [`TurnOutput::EndOfTurn`] before the agent was heard, or spoke for
    /// longer than one utterance may last. The pending reply is cancelled and the texts joined.
    /// An utterance that joins another always closes with [`TurnOutput::EndOfTurn`].
    TurnContinued {
        /// The open utterance.
        utterance: UtteranceId,
        /// The one before it.
        joins: UtteranceId,
    },
    /// Both sides have been silent for the idle time.
    Idle {
        /// How often in a row, from 1. Speech and key presses start over.
        count: u32,
    },
    /// The call has lasted for as long as it may. Sent once.
    MaximumDuration,
}
