//! The conversation of a request.

use serde_json::{Map, Value};
use trunkline_inference::{ChatMessage, ChatRole, ToolCall};

use super::super::fields::wrong;
use crate::server::Refusal;
use crate::wire::WireToolCall;

/// Reads `messages`.
pub(in crate::server) fn read(
    name: &str,
    messages: Vec<Map<String, Value>>,
) -> Result<Vec<ChatMessage>, Refusal> {
    if messages.is_empty() {
        return Err(wrong(name, "there are none"));
    }
    messages
        .into_iter()
        .enumerate()
        .map(|(index, message)| {
            let place = format!("{name}[{index}]");
            one(message).map_err(|why| wrong(&place, &why))
        })
        .collect()
}

fn one(mut message: Map<String, Value>) -> Result<ChatMessage, String> {
    let role = match message.remove("role") {
        Some(Value::String(role)) => self::role(&role)?,
        _ => return Err("its role is missing".to_owned()),
    };
    let calls = match message.remove("tool_calls") {
        None | Some(Value::Null) => Vec::new(),
        Some(calls) => tool_calls(calls)?,
    };
    let content = match message.remove("content") {
        None | Some(Value::Null) if !calls.is_empty() => String::new(),
        None | Some(Value::Null) => return Err("its content is missing".to_owned()),
        Some(content) => text(content)?,
    };
    let mut read = ChatMessage::new(role, content);
    if !calls.is_empty() && role != ChatRole::Assistant {
        return Err("only an assistant calls tools".to_owned());
    }
    read.tool_calls = calls;
    read.tool_call_id = match (role, message.remove("tool_call_id")) {
        (ChatRole::Tool, Some(Value::String(id))) => Some(id),
        (ChatRole::Tool, _) => return Err("a tool's answer needs its tool_call_id".to_owned()),
        (_, None | Some(Value::Null)) => None,
        _ => return Err("tool_call_id belongs to messages of the role tool".to_owned()),
    };
    // Clients send an assistant's message back as they got it, with what is empty in it.
    let empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    match message.into_iter().find(|(_, value)| !empty(value)) {
        Some((field, _)) => Err(format!("this server does not know {field:?} in a message")),
        None => Ok(read),
    }
}

fn role(role: &str) -> Result<ChatRole, String> {
    match role {
        "system" | "developer" => Ok(ChatRole::System),
        "user" => Ok(ChatRole::User),
        "assistant" => Ok(ChatRole::Assistant),
        "tool" => Ok(ChatRole::Tool),
        other => Err(format!(
            "the role {other:?} is none of system, developer, user, assistant, tool"
        )),
    }
}

/// Content is a text, or a list of parts that are texts.
fn text(content: Value) -> Result<String, String> {
    let parts = match content {
        Value::String(text) => return Ok(text),
        Value::Array(parts) => parts,
        _ => return Err("its content is neither a text nor a list of parts".to_owned()),
    };
    let mut whole = String::new();
    for part in &parts {
        match (part["type"].as_str(), part["text"].as_str()) {
            (Some("text"), Some(text)) => whole.push_str(text),
            (Some(kind), _) if kind != "text" => {
                return Err(format!("content of the type {kind:?} is not supported"));
            }
            _ => return Err("a part of its content is not a text".to_owned()),
        }
    }
    Ok(whole)
}

fn tool_calls(calls: Value) -> Result<Vec<ToolCall>, String> {
    let calls: Vec<WireToolCall> =
        serde_json::from_value(calls).map_err(|error| format!("tool_calls: {error}"))?;
    calls
        .into_iter()
        .map(|call| {
            let name = call.function.name.unwrap_or_default();
            match call.kind == "function" && !name.is_empty() {
                true => Ok(ToolCall {
                    id: call.id,
                    name,
                    arguments: call.function.arguments,
                }),
                false => Err("only calls of functions with a name are supported".to_owned()),
            }
        })
        .collect()
}
