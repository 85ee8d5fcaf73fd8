//! How a call went and why it ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who placed the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallDirection {
    /// The far end called us.
    Inbound,
    /// We called the far end.
    Outbound,
}

impl CallDirection {
    /// The name as stored and printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// A side of the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// The far end, whoever dialled.
    Caller,
    /// Our agent.
    Agent,
}

/// Why a call ended. Stored and printed by its snake-case name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The workflow reached an end node and the agent hung up.
    WorkflowEnded,
    /// The far end hung up (BYE).
    CallerHungUp,
    /// The far end gave up before the answer (CANCEL).
    Cancelled,
    /// The caller stayed silent through every reprompt.
    CallerSilent,
    /// The longest duration that the workflow allows was reached.
    MaximumDuration,
    /// No RTP arrived for the configured time.
    MediaTimeout,
    /// The far end missed its session-timer refresh (RFC 4028).
    SessionExpired,
    /// The far end refused the call that we placed.
    Refused,
    /// Nobody answered the call that we placed.
    NoAnswer,
    /// A model or another part of the agent failed.
    AgentFailed,
    /// The appliance was told to stop and the drain time ran out.
    ShutDown,
    /// The process died during the call; found at the next start.
    Interrupted,
}

impl EndReason {
    /// The name as stored and printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WorkflowEnded => "workflow_ended",
            Self::CallerHungUp => "caller_hung_up",
            Self::Cancelled => "cancelled",
            Self::CallerSilent => "caller_silent",
            Self::MaximumDuration => "maximum_duration",
            Self::MediaTimeout => "media_timeout",
            Self::SessionExpired => "session_expired",
            Self::Refused => "refused",
            Self::NoAnswer => "no_answer",
            Self::AgentFailed => "agent_failed",
            Self::ShutDown => "shut_down",
            Self::Interrupted => "interrupted",
        }
    }

    /// What the end means for whoever counts calls.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::WorkflowEnded => Outcome::Completed,
            Self::CallerHungUp
            | Self::Cancelled
            | Self::CallerSilent
            | Self::MaximumDuration
            | Self::NoAnswer => Outcome::Abandoned,
            Self::MediaTimeout
            | Self::SessionExpired
            | Self::Refused
            | Self::AgentFailed
            | Self::ShutDown
            | Self::Interrupted => Outcome::Failed,
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The short word for how a call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The workflow ran to its end.
    Completed,
    /// A person ended it early, or never came.
    Abandoned,
    /// Something broke.
    Failed,
}

impl Outcome {
    /// The name as stored and printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Abandoned => "abandoned",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
