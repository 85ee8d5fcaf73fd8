//! Answers of `/v1/chat/completions`: whole, and as the chunks of a stream.

use serde::{Deserialize, Serialize};
use trunkline_inference::{ChoiceResult, FinishReason, LogProb, TokenLogProb, ToolCall};

/// A whole reply.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ChatCompletion {
    #[serde(default)]
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) object: String,
    #[serde(default)]
    pub(crate) created: u64,
    #[serde(default)]
    pub(crate) model: String,
    pub(crate) choices: Vec<ChatChoice>,
    #[serde(default)]
    pub(crate) usage: Option<Usage>,
}

/// The one reply of a completion.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ChatChoice {
    #[serde(default)]
    pub(crate) index: usize,
    pub(crate) message: ReplyMessage,
    #[serde(default)]
    pub(crate) logprobs: Option<TokenList>,
    #[serde(default)]
    pub(crate) finish_reason: Option<String>,
}

/// What the assistant says or calls.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct ReplyMessage {
    #[serde(default)]
    pub(crate) role: String,
    /// `null` where tools are called instead.
    #[serde(default)]
    pub(crate) content: Option<String>,
    #[serde(default)]
    pub(crate) refusal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tool_calls: Option<Vec<WireToolCall>>,
}

/// A call of a function.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WireToolCall {
    pub(crate) id: String,
    #[serde(rename = "type", default = "function")]
    pub(crate) kind: String,
    pub(crate) function: FunctionCall,
}

/// Name and arguments, the arguments as JSON text.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct FunctionCall {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) arguments: String,
}

fn function() -> String {
    "function".to_owned()
}

impl From<ToolCall> for WireToolCall {
    fn from(call: ToolCall) -> Self {
        Self {
            id: call.id,
            kind: function(),
            function: FunctionCall {
                name: Some(call.name),
                arguments: call.arguments,
            },
        }
    }
}

/// One event of a stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ChatChunk {
    #[serde(default)]
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) object: String,
    #[serde(default)]
    pub(crate) created: u64,
    #[serde(default)]
    pub(crate) model: String,
    /// Empty in the chunk of the usage.
    #[serde(default)]
    pub(crate) choices: Vec<ChunkChoice>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<Usage>,
}

/// What a chunk adds to the one reply.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ChunkChoice {
    #[serde(default)]
    pub(crate) index: usize,
    #[serde(default)]
    pub(crate) delta: ChunkDelta,
    #[serde(default)]
    pub(crate) logprobs: Option<TokenList>,
    #[serde(default)]
    pub(crate) finish_reason: Option<String>,
}

/// What a chunk adds to the message.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct ChunkDelta {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tool_calls: Option<Vec<ToolCallChunk>>,
}

/// A piece of a call: the first has its id and name, the arguments may come in several.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct ToolCallChunk {
    #[serde(default)]
    pub(crate) index: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) function: FunctionCall,
}

/// What a reply took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    #[serde(default)]
    pub(crate) prompt_tokens: usize,
    #[serde(default)]
    pub(crate) completion_tokens: usize,
    #[serde(default)]
    pub(crate) total_tokens: usize,
    #[serde(default)]
    pub(crate) prompt_tokens_details: Option<PromptDetails>,
}

/// What of the prompt was known already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PromptDetails {
    #[serde(default)]
    pub(crate) cached_tokens: usize,
}

/// The figures of the tokens of a reply or of a chunk of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct TokenList {
    #[serde(default)]
    pub(crate) content: Option<Vec<TokenFigures>>,
    #[serde(default)]
    pub(crate) refusal: Option<Vec<TokenFigures>>,
}

/// A token, how likely it was, and what else was likely.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TokenFigures {
    #[serde(flatten)]
    pub(crate) token: TopToken,
    #[serde(default)]
    pub(crate) top_logprobs: Vec<TopToken>,
}

/// A token and its natural log-probability.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TopToken {
    pub(crate) token: String,
    pub(crate) logprob: f32,
    #[serde(default)]
    pub(crate) bytes: Option<Vec<u8>>,
}

impl From<LogProb> for TopToken {
    fn from(one: LogProb) -> Self {
        Self {
            token: String::from_utf8_lossy(&one.bytes).into_owned(),
            logprob: one.log_prob,
            bytes: Some(one.bytes),
        }
    }
}

impl From<TopToken> for LogProb {
    fn from(one: TopToken) -> Self {
        Self {
            bytes: one.bytes.unwrap_or_else(|| one.token.into_bytes()),
            log_prob: one.logprob,
        }
    }
}

impl From<TokenLogProb> for TokenFigures {
    fn from(token: TokenLogProb) -> Self {
        Self {
            token: token.token.into(),
            top_logprobs: token.top.into_iter().map(TopToken::from).collect(),
        }
    }
}

impl From<TokenFigures> for TokenLogProb {
    fn from(token: TokenFigures) -> Self {
        Self {
            token: token.token.into(),
            top: token.top_logprobs.into_iter().map(LogProb::from).collect(),
        }
    }
}

/// OpenAI's word for the end of a reply.
pub(crate) fn finish_word(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
    }
}

/// The answer of `/v1/choices`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Choice {
    pub(crate) best: usize,
    pub(crate) probabilities: Vec<f32>,
    pub(crate) compute_ms: f64,
}

impl From<ChoiceResult> for Choice {
    fn from(result: ChoiceResult) -> Self {
        Self {
            best: result.best,
            probabilities: result.probabilities,
            compute_ms: result.compute.as_secs_f64() * 1000.0,
        }
    }
}
