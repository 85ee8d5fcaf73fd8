//! Calls of functions, in the forms in which the families write them.
//!
//! A chat template tells the model which functions there are and how a call is written. Which of
//! the forms a template uses is found out by rendering one call with it ([`support`]), not by the
//! model's name; a template that knows nothing of functions gets instructions in words. What the
//! model then writes is read by [`CallReader`], and held to the functions and the schemas of
//! their arguments by the grammar of [`grammar`].

mod grammar;
mod reader;
mod support;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

pub(super) use self::grammar::{grammar, of_object};
pub use self::reader::{CallReader, Piece};
pub(super) use self::support::ToolSupport;

use super::template::Message;

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// When and what for, in words for the model.
    pub description: String,
    /// JSON Schema of the arguments, an object.
    pub parameters: Value,
}

/// A call of a function that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Unlike any other in its conversation.
    pub id: String,
    /// [`Tool::name`].
    pub name: String,
    /// As JSON text.
    pub arguments: String,
}

/// One turn of a conversation in which functions are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Words.
    Said(Message),
    /// The model called functions, and may have said something before.
    Called {
        /// What it said.
        text: String,
        /// What it called.
        calls: Vec<Call>,
    },
    /// What a function answered.
    Answered {
        /// [`Call::id`].
        call: String,
        /// The answer.
        text: String,
    },
}

/// How a family writes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolForm {
    /// `<tool_call>`, an object with `name` and `arguments` on a line of its own, `</tool_call>`;
    /// several follow each other. Qwen, Hermes, SmolLM, and models that are only told in words.
    Tagged,
    /// `[TOOL_CALLS]` and a list of such objects. Mistral.
    Listed,
    /// Nothing but an object with `name` and `parameters`, one in a reply. Llama 3.
    Bare,
}

impl ToolForm {
    /// What a call begins with, before its JSON.
    pub fn opening(self) -> &'static str {
        match self {
            Self::Tagged => "<tool_call>",
            Self::Listed => "[TOOL_CALLS]",
            Self::Bare => "",
        }
    }

    /// Whether a reply can hold more than one call.
    pub fn takes_several(self) -> bool {
        self != Self::Bare
    }

    /// What it calls the arguments.
    fn arguments(self) -> &'static str {
        match self {
            Self::Tagged | Self::Listed => "arguments",
            Self::Bare => "parameters",
        }
    }

    /// A call as this form writes its JSON.
    fn object(self, call: &Call) -> Value {
        json!({ "name": call.name, self.arguments(): arguments(call) })
    }
}

impl Tool {
    /// As templates take it, and OpenAI's API.
    fn described(&self) -> Value {
        json!({
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": self.parameters,
            },
        })
    }
}

/// The arguments of a call. Text that is no object is left as it is, for the model to see.
fn arguments(call: &Call) -> Value {
    match serde_json::from_str::<Map<String, Value>>(&call.arguments) {
        Ok(arguments) => Value::Object(arguments),
        Err(_) if call.arguments.trim().is_empty() => json!({}),
        Err(_) => Value::from(call.arguments.as_str()),
    }
}
