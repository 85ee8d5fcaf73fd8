//! A request for a reply, as endpoints understand it.

use serde_json::{Map, Value, json};
use trunkline_inference::{ChatMessage, ChatRequest, ChatRole, Constraint, Tenant, Urgency};

use crate::remote::pool::Ask;
use crate::wire::WireToolCall;

/// The field of the object that a choice is wrapped in: strict schemas want an object.
pub(in crate::remote) const CHOICE_FIELD: &str = "choice";

/// A request to `/chat/completions`.
pub(in crate::remote) fn chat_ask(body: &Value, streamed: bool, urgency: Urgency) -> Ask {
    Ask {
        path: "/chat/completions",
        content_type: "application/json".to_owned(),
        body: body.to_string().into(),
        urgency,
        tenant: Tenant::default(),
        streamed,
    }
}

/// The body of a streamed request. What has its default is left out, so that endpoints that do
/// not know it are not bothered.
pub(super) fn body(model: &str, request: &ChatRequest) -> Value {
    let sampling = &request.sampling;
    let mut body = Map::new();
    let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
    set("model", json!(model));
    set("messages", messages(&request.messages));
    set("max_tokens", json!(request.max_tokens));
    set("temperature", json!(sampling.temperature));
    set("top_p", json!(sampling.top_p));
    set("seed", json!(sampling.seed.cast_signed()));
    set("stream", json!(true));
    set("stream_options", json!({"include_usage": true}));
    if sampling.min_p > 0.0 {
        set("min_p", json!(sampling.min_p));
    }
    if (sampling.repetition_penalty - 1.0).abs() > f32::EPSILON {
        set("repetition_penalty", json!(sampling.repetition_penalty));
    }
    if !request.stop.is_empty() {
        set("stop", json!(request.stop));
    }
    if let Some(alternatives) = request.logprobs {
        set("logprobs", json!(true));
        set("top_logprobs", json!(alternatives));
    }
    if !request.tools.is_empty() {
        let tools: Vec<Value> = request
            .tools
            .iter()
            .map(|tool| json!({"type": "function", "function": tool}))
            .collect();
        set("tools", Value::from(tools));
        if request.one_tool_call {
            set("parallel_tool_calls", json!(false));
        }
    }
    match &request.constraint {
        None => {}
        Some(Constraint::JsonObject) => {
            set("response_format", json!({"type": "json_object"}));
        }
        Some(Constraint::JsonSchema(schema)) => {
            set("response_format", schema_format(schema));
        }
        Some(Constraint::Choice(options)) => {
            set("response_format", schema_format(&choice_schema(options)));
        }
        Some(Constraint::ToolCall(None)) => {
            set("tool_choice", json!("required"));
        }
        Some(Constraint::ToolCall(Some(name))) => {
            let choice = json!({"type": "function", "function": {"name": name}});
            set("tool_choice", choice);
        }
    }
    Value::Object(body)
}

/// The format of a reply that meets a schema.
pub(in crate::remote) fn schema_format(schema: &Value) -> Value {
    json!({
        "type": "json_schema",
        "json_schema": {"name": "reply", "strict": true, "schema": schema},
    })
}

/// One of these texts, in an object.
pub(in crate::remote) fn choice_schema(options: &[String]) -> Value {
    json!({
        "type": "object",
        "properties": {CHOICE_FIELD: {"type": "string", "enum": options}},
        "required": [CHOICE_FIELD],
        "additionalProperties": false,
    })
}

/// A conversation as endpoints understand it.
pub(in crate::remote) fn messages(messages: &[ChatMessage]) -> Value {
    messages.iter().map(message).collect()
}

fn message(message: &ChatMessage) -> Value {
    let role = match message.role {
        ChatRole::System => "system",
        ChatRole::User => "user",
        ChatRole::Assistant => "assistant",
        ChatRole::Tool => "tool",
    };
    let mut written = json!({"role": role, "content": message.content});
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().cloned();
        written["tool_calls"] = calls.map(|call| json!(WireToolCall::from(call))).collect();
    }
    if let Some(id) = &message.tool_call_id {
        written["tool_call_id"] = json!(id);
    }
    written
}
