//! Language model: free text, and choices scored rather than generated.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Anticipation, Constraint, InferenceError, ModelInfo, ModelLoad, NoAnticipation, Tenant,
    TokenLogProb, Tool, ToolCall, Urgency,
};

/// A chat-tuned language model.
pub trait ChatModel: Send + Sync {
    /// What serves.
    fn info(&self) -> ModelInfo;

    /// What it can do beyond writing text. A request that asks for more is refused with
    /// [`InferenceError::BadRequest`], never served without it.
    fn capabilities(&self) -> ChatCapabilities {
        ChatCapabilities::default()
    }

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

    /// Begins to compute ahead for a conversation. Does nothing where a model cannot.
    fn anticipate(&self) -> Box<dyn Anticipation> {
        Box::new(NoAnticipation)
    }

    /// How busy it is, where that is known.
    fn load(&self) -> Option<ModelLoad> {
        None
    }
}

/// What a language model can do beyond writing text. The default is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChatCapabilities {
    /// Honours [`ChatRequest::tools`] and messages of [`ChatRole::Tool`].
    pub tools: bool,
    /// Honours [`ChatRequest::constraint`], all kinds of it.
    pub constraints: bool,
    /// The most alternatives that [`ChatRequest::logprobs`] may ask for; `None` where the model
    /// gives no log-probabilities.
    pub logprobs: Option<u8>,
    /// Honours [`Sampling::min_p`].
    pub min_p: bool,
    /// Tokens of prompt and reply together, where that is known.
    pub context_tokens: Option<usize>,
}

impl ChatCapabilities {
    /// Refuses what a request asks for beyond this.
    ///
    /// # Errors
    /// [`InferenceError::BadRequest`] naming what `model` cannot do.
    pub fn check(&self, model: &str, request: &ChatRequest) -> Result<(), InferenceError> {
        let of_tools = |message: &ChatMessage| {
            message.role == ChatRole::Tool || !message.tool_calls.is_empty()
        };
        let wants_tools = !request.tools.is_empty() || request.messages.iter().any(of_tools);
        let lacking = if wants_tools && !self.tools {
            "it cannot call tools".to_owned()
        } else if request.constraint.is_some() && !self.constraints {
            "its replies cannot be constrained".to_owned()
        } else if request.sampling.min_p > 0.0 && !self.min_p {
            "it does not know min_p".to_owned()
        } else {
            match (request.logprobs, self.logprobs) {
                (Some(_), None) => "it gives no log-probabilities".to_owned(),
                (Some(wanted), Some(most)) if wanted > most => {
                    format!("it gives at most {most} alternatives a token")
                }
                _ => return Ok(()),
            }
        };
        Err(InferenceError::BadRequest {
            model: model.to_owned(),
            reason: lacking,
        })
    }
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
    /// What a tool answered to a call of the agent.
    Tool,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Who says it.
    pub role: ChatRole,
    /// What is said.
    pub content: String,
    /// The tools that this message of the agent calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The call that this message of a tool answers: [`ToolCall::id`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

impl ChatMessage {
    /// A message of words.
    pub fn new(role: ChatRole, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }

    /// A message of the instructions.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new(ChatRole::System, content)
    }

    /// A message of the caller.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(ChatRole::User, content)
    }

    /// A message of the agent.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(ChatRole::Assistant, content)
    }
}

/// How tokens are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f32,
    /// Nucleus; 1 keeps everything.
    pub top_p: f32,
    /// Tokens less likely than this share of the likeliest one are not drawn; 0 is off.
    pub min_p: f32,
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
            min_p: 0.0,
            repetition_penalty: 1.0,
            seed: 0,
        }
    }
}

/// Asks for a reply.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ChatRequest {
    /// The conversation, oldest first. The longest prefix seen before is not computed again.
    pub messages: Vec<ChatMessage>,
    /// The reply ends after this many tokens at the latest.
    pub max_tokens: usize,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// The reply ends before any of these strings.
    pub stop: Vec<String>,
    /// What the reply may call instead of saying something.
    #[serde(default)]
    pub tools: Vec<Tool>,
    /// At most one call in a reply.
    #[serde(default)]
    pub one_tool_call: bool,
    /// What the text of the reply must look like.
    #[serde(default)]
    pub constraint: Option<Constraint>,
    /// Log-probabilities of the tokens drawn, each with so many likeliest alternatives.
    #[serde(default)]
    pub logprobs: Option<u8>,
    /// What goes first when there is not room for everything.
    #[serde(default)]
    pub urgency: Urgency,
    /// Who asks.
    #[serde(default)]
    pub tenant: Tenant,
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
    /// The tokens of the text that was sent since the last of these, where
    /// [`ChatRequest::logprobs`] asked for them.
    LogProbs(Vec<TokenLogProb>),
    /// A call of a tool, complete.
    ToolCall(ToolCall),
    /// The reply is complete.
    Done {
        /// Why it ended.
        finish: FinishReason,
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

/// Why a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model had said everything, or came to a stop string.
    Stop,
    /// [`ChatRequest::max_tokens`] was reached, or the end of the context.
    Length,
    /// It called tools.
    ToolCalls,
}

/// Asks which of a closed list of replies fits best.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ChoiceRequest {
    /// The conversation, oldest first, ending with what the reply answers.
    pub messages: Vec<ChatMessage>,
    /// The possible replies. Scored as the assistant's whole next message.
    pub options: Vec<String>,
    /// A conversation like `messages` but with nothing said in it. When given, each option's
    /// log-probability under it is subtracted, so that an option does not win by being a
    /// likely text in general (contextual calibration, Zhao et al. 2021).
    pub neutral: Option<Vec<ChatMessage>>,
    /// What goes first when there is not room for everything.
    #[serde(default)]
    pub urgency: Urgency,
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
