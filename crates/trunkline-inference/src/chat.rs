//! Language model: free text, and choices scored rather than generated.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::{InferenceError, ModelInfo};

/// A chat-tuned language model.
pub trait ChatModel: Send + Sync {
    /// What serves.
    fn info(&self) -> ModelInfo;

    /// Streams a reply.
    ///
    /// # Errors
    /// [`InferenceError::Overloaded`], [`InferenceError::BadRequest`] or [`InferenceError::Unavailable`].
    fn generate(&self, request: ChatRequest) -> Result<ChatStream, InferenceError>;

    /// Scores a closed list of replies and says which is likeliest. Always an answer from
    /// the list, never free text.
    ///
    /// # Errors
    /// As [`ChatModel::generate`]; [`InferenceError::BadRequest`] when the list is empty.
    fn choose(&self, request: ChoiceRequest) -> Result<PendingChoice, InferenceError>;
}

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChatRole {
    /// The instructions.
    System,
    /// The caller.
    User,
    /// The agent.
    Assistant,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Who says it.
    pub role: ChatRole,
    /// What is said.
    pub content: String,
}

impl ChatMessage {
    /// A message of the instructions.
    pub fn system(content: impl Into<String>) -> Self {
        Self {
            role: ChatRole::System,
            content: content.into(),
        }
    }

    /// A message of the caller.
    pub fn user(content: impl Into<String>) -> Self {
        Self {
            role: ChatRole::User,
            content: content.into(),
        }
    }

    /// A message of the agent.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self {
            role: ChatRole::Assistant,
            content: content.into(),
        }
    }
}

/// How tokens are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f32,
    /// Nucleus; 1 keeps everything.
    pub top_p: f32,
    /// 1 is off.
    pub repetition_penalty: f32,
    /// The same seed and prompt give the same text.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            repetition_penalty: 1.0,
            seed: 0,
        }
    }
}

/// Asks for a reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// The conversation, oldest first. The longest prefix seen before is not computed again.
    pub messages: Vec<ChatMessage>,
    /// The reply ends after this many tokens at the latest.
    pub max_tokens: usize,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// The reply ends before any of these strings.
    pub stop: Vec<String>,
}

/// A reply on its way. Dropping it cancels the work.
#[derive(Debug)]
pub struct ChatStream {
    /// Ends after [`ChatDelta::Done`] or [`ChatDelta::Failed`].
    pub deltas: mpsc::UnboundedReceiver<ChatDelta>,
}

/// A piece of a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum ChatDelta {
    /// More text.
    Text(String),
    /// The reply is complete.
    Done {
        /// Tokens of the prompt, all of them.
        prompt_tokens: usize,
        /// Tokens of the prompt that were taken from the cache.
        cached_tokens: usize,
        /// Tokens of the reply.
        reply_tokens: usize,
        /// Time to the first token, from the moment the worker took the request.
        first_token: Duration,
        /// Time to the last token, likewise.
        compute: Duration,
    },
    /// The reply failed.
    Failed(InferenceError),
}

/// Asks which of a closed list of replies fits best.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChoiceRequest {
    /// The conversation, oldest first, ending with what the reply answers.
    pub messages: Vec<ChatMessage>,
    /// The possible replies. Scored as the assistant's whole next message.
    pub options: Vec<String>,
    /// A conversation like `messages` but with nothing said in it. When given, each option's
    /// log-probability under it is subtracted, so that an option does not win by being a
    /// likely text in general (contextual calibration, Zhao et al. 2021).
    pub neutral: Option<Vec<ChatMessage>>,
}

/// A scored choice on its way. Dropping it cancels the work.
pub type PendingChoice = oneshot::Receiver<Result<ChoiceResult, InferenceError>>;

/// The scores of a closed list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChoiceResult {
    /// Index of the likeliest option.
    pub best: usize,
    /// One probability per option, in the order of the request; they sum to 1.
    pub probabilities: Vec<f32>,
    /// Time the computation took.
    pub compute: Duration,
}
