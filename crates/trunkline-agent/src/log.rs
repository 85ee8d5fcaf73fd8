//! The call's event log: everything that the core sees and decides, in order.
//!
//! One entry is one JSON object. The same entries are the live view, the trace, the replay and
//! the regression test of a call. Frames are kept in runs (see [`crate::frames`]), so that a
//! minute of call costs a few kilobytes.

use serde::{Deserialize, Serialize};
use trunkline_inference::{ChatMessage, ModelInfo};
use trunkline_types::{CallDirection, CallId, CallTime, Digit, EndReason, UtteranceId};
use trunkline_workflow::Provenance;

use crate::frames::FrameRun;

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Position in the call's log, from 0, without gaps.
    pub seq: u64,
    /// When, on the call's clock.
    #[serde(rename = "at_us")]
    pub at: CallTime,
    /// What.
    #[serde(flatten)]
    pub event: LogEvent,
}

/// An input of the core, or a decision of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "direction", rename_all = "snake_case")]
pub enum LogEvent {
    /// What the core was told.
    In(Input),
    /// What the core decided.
    Out(Decision),
}

impl LogEvent {
    /// The kind of the entry, as stored beside its body, e.g. `in.final`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::In(input) => input.kind(),
            Self::Out(decision) => decision.kind(),
        }
    }
}

/// An entry together with its call, as the live feed carries it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveEntry {
    /// Whose.
    pub call_id: CallId,
    /// The kind, e.g. `out.speak`.
    pub kind: String,
    /// The entry.
    #[serde(flatten)]
    pub entry: LogEntry,
}

/// What a call's core is told. Replay feeds exactly these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "input", rename_all = "snake_case")]
pub enum Input {
    /// Always the first: what the core needs to know of the call.
    Opened(Opening),
    /// Media flows.
    Answered {
        /// The codec on the wire.
        codec: String,
    },
    /// A run of 20 ms frames.
    Frames(FrameRun),
    /// The caller pressed a key.
    Digit {
        /// The key.
        digit: Digit,
    },
    /// The transcript of an open utterance so far.
    Partial {
        /// The caller's utterance.
        utterance: UtteranceId,
        /// Text so far.
        text: String,
        /// How much of the utterance's audio it covers, from its beginning.
        #[serde(default)]
        audio_ms: u64,
    },
    /// The transcript of a finished utterance.
    Final {
        /// The caller's utterance.
        utterance: UtteranceId,
        /// Text, trimmed; empty when nobody spoke.
        text: String,
        /// Mean log-probability per token.
        mean_log_prob: f32,
        /// Probability that there was no speech.
        no_speech_prob: f32,
        /// Time that the recogniser took after the end of the audio.
        compute_us: u64,
    },
    /// An utterance could not be transcribed.
    TranscriptFailed {
        /// The caller's utterance.
        utterance: UtteranceId,
        /// Why.
        why: String,
    },
    /// A closed choice was scored.
    Chosen {
        /// Whose answer this is.
        request: u32,
        /// Index of the likeliest option.
        best: usize,
        /// One per option.
        probabilities: Vec<f32>,
        /// Time that the model took.
        compute_us: u64,
    },
    /// More of a generated reply.
    ReplyText {
        /// Whose answer this is.
        request: u32,
        /// More text.
        text: String,
    },
    /// A generated reply is complete.
    ReplyDone {
        /// Whose answer this is.
        request: u32,
        /// Tokens of the prompt.
        prompt_tokens: usize,
        /// Tokens of the reply.
        reply_tokens: usize,
        /// Time that the model took to the first token.
        first_token_us: u64,
    },
    /// What was computed ahead of the caller's last turn, and what it was good for.
    Anticipated {
        /// Tokens computed.
        computed: usize,
        /// Those that the request of the turn began with.
        used: usize,
    },
    /// The language model gave no answer.
    ModelFailed {
        /// Whose answer this would have been.
        request: u32,
        /// Why.
        why: String,
    },
    /// A clause is synthesised and queued for playout.
    ClauseReady {
        /// The agent's utterance.
        utterance: UtteranceId,
        /// The clause in it.
        clause: u32,
        /// How long it plays.
        duration_ms: u32,
        /// Where in it the first sound begins.
        #[serde(default)]
        sounds_from_ms: u32,
        /// Where in it the last sound ends; absent in logs that do not say.
        #[serde(default)]
        sounds_until_ms: Option<u32>,
    },
    /// A clause could not be synthesised.
    ClauseFailed {
        /// The agent's utterance.
        utterance: UtteranceId,
        /// The clause in it.
        clause: u32,
        /// Why.
        why: String,
    },
    /// The far end put us on hold.
    Held,
    /// The far end took us off hold.
    Resumed,
    /// The appliance stops and the drain time ran out.
    ShutDown,
    /// The leg is gone.
    Ended {
        /// Why.
        reason: EndReason,
        /// What the network said.
        detail: Option<String>,
    },
}

/// What the core needs to know of the call before anything happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// Who placed it.
    pub call_direction: CallDirection,
    /// The calling party.
    pub from: String,
    /// The called number.
    pub to: String,
    /// Microseconds since the Unix epoch at the INVITE.
    pub started_us: u64,
    /// Name of the workflow.
    pub workflow: String,
    /// The whole workflow document, so that a replay needs nothing else.
    pub workflow_document: String,
    /// What transcribes.
    pub transcriber: ModelInfo,
    /// What chooses and replies.
    pub chat: ModelInfo,
    /// What speaks.
    pub voice: ModelInfo,
}

/// What a call's core decides. Replay compares exactly these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// The workflow came to a node.
    Entered {
        /// Its id.
        node: String,
    },
    /// A variable got a value.
    Set {
        /// Its name.
        variable: String,
        /// Its value.
        value: serde_json::Value,
        /// Where the value comes from.
        provenance: Provenance,
    },
    /// The caller speaks: open a transcription, beginning with the audio of `from`.
    Listen {
        /// The caller's utterance.
        utterance: UtteranceId,
        /// The first audio that belongs to it.
        from: CallTime,
    },
    /// The utterance was no speech: drop the transcription.
    Discard {
        /// The caller's utterance.
        utterance: UtteranceId,
    },
    /// The turn is the agent's: finish the transcription.
    Finish {
        /// The caller's utterance.
        utterance: UtteranceId,
        /// When the caller fell silent.
        speech_end: CallTime,
    },
    /// An utterance of the caller is understood as these words.
    Heard {
        /// The caller's utterance.
        utterance: UtteranceId,
        /// When it began.
        began: CallTime,
        /// The words, those of joined utterances included.
        text: String,
    },
    /// While the caller speaks: if these were all the words, this would be asked of the language
    /// model. It may compute ahead.
    Anticipate {
        /// So many messages at the beginning are those expected before.
        kept: usize,
        /// The messages after them.
        messages: Vec<ChatMessage>,
    },
    /// The turn is over or came to nothing: nothing is computed ahead any more.
    EndAnticipation,
    /// The caller went on speaking: what was begun in answer is withdrawn.
    Withdraw {
        /// The utterance that goes on.
        joins: UtteranceId,
    },
    /// Score a closed list.
    Choose {
        /// Names the answer.
        request: u32,
        /// The conversation.
        messages: Vec<ChatMessage>,
        /// The same with nothing said in it.
        neutral: Vec<ChatMessage>,
        /// The list.
        options: Vec<String>,
    },
    /// Write a reply.
    Generate {
        /// Names the answer.
        request: u32,
        /// The conversation.
        messages: Vec<ChatMessage>,
        /// The reply ends after this many tokens.
        max_tokens: usize,
        /// The reply ends before any of these.
        stop: Vec<String>,
    },
    /// The answer is not wanted any more.
    CancelModel {
        /// Names the answer.
        request: u32,
    },
    /// Synthesise and play a clause after those before it.
    Speak {
        /// The agent's utterance.
        utterance: UtteranceId,
        /// The clause in it.
        clause: u32,
        /// What to say.
        text: String,
    },
    /// Stop speaking at once.
    StopSpeaking {
        /// The agent's utterance.
        utterance: UtteranceId,
        /// The first sound of the caller who cut in; else a key was pressed, the line was
        /// withdrawn, or the call ended.
        caller_from: Option<CallTime>,
    },
    /// An utterance of the agent is over.
    Spoken {
        /// The agent's utterance.
        utterance: UtteranceId,
        /// When its first sample was sent.
        from: CallTime,
        /// The whole of what it would have said.
        text: String,
        /// What the caller really heard of it.
        heard: String,
        /// Whether the caller cut it short.
        interrupted: bool,
    },
    /// A turn is over: what each side said and how long the caller waited.
    Turn(Turn),
    /// End the call.
    Hangup {
        /// Why.
        reason: EndReason,
    },
}

/// One exchange: what the caller said or keyed, and the agent's answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// From 0; turn 0 is the greeting.
    pub index: u32,
    /// The node that answered.
    pub node: String,
    /// When the caller began, or the agent where nobody spoke before.
    pub began: CallTime,
    /// What the recogniser heard.
    pub heard: String,
    /// The keys pressed.
    pub dtmf: String,
    /// The agent's whole answer.
    pub agent_said: String,
    /// What of the answer was played to the caller.
    pub agent_heard: String,
    /// Whether the caller cut the answer short.
    pub interrupted: bool,
    /// How long the caller waited, and for what.
    pub latency: Latency,
}

/// The parts of one wait. Where a part did not happen it is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// From the caller's last sound to the decision that the turn is over.
    pub end_of_turn_ms: Option<u32>,
    /// From that decision to the final transcript.
    pub stt_final_ms: Option<u32>,
    /// From the final transcript to the language model's first token or choice.
    pub llm_first_token_ms: Option<u32>,
    /// From where the last part before it ended (or the key) to the first sample sent.
    pub first_audio_ms: Option<u32>,
    /// From the caller's last sound (or key) to the agent's first sample sent.
    pub voice_to_voice_ms: Option<u32>,
}

impl Input {
    /// The kind, as stored.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Opened(_) => "in.opened",
            Self::Answered { .. } => "in.answered",
            Self::Frames(_) => "in.frames",
            Self::Digit { .. } => "in.digit",
            Self::Partial { .. } => "in.partial",
            Self::Final { .. } => "in.final",
            Self::TranscriptFailed { .. } => "in.transcript_failed",
            Self::Chosen { .. } => "in.chosen",
            Self::ReplyText { .. } => "in.reply_text",
            Self::ReplyDone { .. } => "in.reply_done",
            Self::Anticipated { .. } => "in.anticipated",
            Self::ModelFailed { .. } => "in.model_failed",
            Self::ClauseReady { .. } => "in.clause_ready",
            Self::ClauseFailed { .. } => "in.clause_failed",
            Self::Held => "in.held",
            Self::Resumed => "in.resumed",
            Self::ShutDown => "in.shut_down",
            Self::Ended { .. } => "in.ended",
        }
    }
}

impl Decision {
    /// The kind, as stored.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Entered { .. } => "out.entered",
            Self::Set { .. } => "out.set",
            Self::Listen { .. } => "out.listen",
            Self::Discard { .. } => "out.discard",
            Self::Finish { .. } => "out.finish",
            Self::Heard { .. } => "out.heard",
            Self::Anticipate { .. } => "out.anticipate",
            Self::EndAnticipation => "out.end_anticipation",
            Self::Withdraw { .. } => "out.withdraw",
            Self::Choose { .. } => "out.choose",
            Self::Generate { .. } => "out.generate",
            Self::CancelModel { .. } => "out.cancel_model",
            Self::Speak { .. } => "out.speak",
            Self::StopSpeaking { .. } => "out.stop_speaking",
            Self::Spoken { .. } => "out.spoken",
            Self::Turn(_) => "out.turn",
            Self::Hangup { .. } => "out.hangup",
        }
    }
}
