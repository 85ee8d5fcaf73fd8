//! What a reply may consist of beyond free text: tools, constraints, and the figures of its
//! tokens. Who honours them is said by [`crate::ChatCapabilities`].

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A function that the model may call; it runs elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Letters, digits, `_` and `-`, 64 at most.
    pub name: String,
    /// When and what for, in words for the model.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of the arguments, an object.
    pub parameters: Value,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ToolCall {
    /// Unlike any other in its conversation.
    pub id: String,
    /// [`Tool::name`].
    pub name: String,
    /// The arguments, as JSON text.
    pub arguments: String,
}

/// What the text of a reply must look like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Constraint {
    /// Any JSON object.
    JsonObject,
    /// A JSON value that meets this JSON Schema.
    JsonSchema(Value),
    /// Exactly one of these texts.
    Choice(Vec<String>),
    /// The call of one of [`crate::ChatRequest::tools`]: of the one named, or of any.
    ToolCall(Option<String>),
}

/// A token of the reply and how likely it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenLogProb {
    /// The token and its probability before temperature and truncation.
    pub token: LogProb,
    /// The likeliest tokens in its place, the likeliest first.
    pub top: Vec<LogProb>,
}

/// A token and its natural log-probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogProb {
    /// The bytes that it stands for; not always whole characters.
    pub bytes: Vec<u8>,
    /// Natural logarithm, 0 or less.
    pub log_prob: f32,
}
