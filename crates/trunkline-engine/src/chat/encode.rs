//! Requests become tokens, on the thread of whoever asks, so that the worker only computes.

use trunkline_inference::{
    ChatMessage, ChatRequest, ChatRole, Constraint as Wanted, InferenceError, Urgency,
};
use trunkline_nn::NnError;
use trunkline_nn::llama::{Call, Form, Llama, Message, Role, Sampling, Tool, Turn};
use trunkline_scheduler::Class;

pub(super) fn to_messages(conversation: &[ChatMessage]) -> Vec<Message> {
    conversation.iter().map(said).collect()
}

fn said(message: &ChatMessage) -> Message {
    Message {
        role: match message.role {
            ChatRole::System => Role::System,
            ChatRole::User | ChatRole::Tool => Role::User,
            ChatRole::Assistant => Role::Assistant,
        },
        content: message.content.clone(),
    }
}

/// A prompt, if it leaves room for so many tokens of reply.
pub(super) fn prompt(
    model: &Llama,
    conversation: &[ChatMessage],
    room: usize,
) -> Result<Vec<u32>, NnError> {
    fitting(model, model.prompt(&to_messages(conversation))?, room)
}

fn fitting(model: &Llama, prompt: Vec<u32>, room: usize) -> Result<Vec<u32>, NnError> {
    let limit = model.context().saturating_sub(room);
    if prompt.is_empty() || prompt.len() > limit {
        return Err(NnError::PromptTooLong {
            tokens: prompt.len(),
            limit,
        });
    }
    Ok(prompt)
}

/// The prompt of a reply that may call tools, or must: then it goes as far as the call's opening.
pub(super) fn tool_prompt(model: &Llama, request: &ChatRequest) -> Result<Vec<u32>, NnError> {
    let must_call = matches!(request.constraint, Some(Wanted::ToolCall(_)));
    let turns: Vec<Turn> = request.messages.iter().map(turn).collect();
    let prompt = model.tool_prompt(&turns, &tools(request), must_call)?;
    fitting(model, prompt, 1)
}

fn turn(message: &ChatMessage) -> Turn {
    if message.role == ChatRole::Tool {
        return Turn::Answered {
            call: message.tool_call_id.clone().unwrap_or_default(),
            text: message.content.clone(),
        };
    }
    if message.tool_calls.is_empty() {
        return Turn::Said(said(message));
    }
    let calls = message.tool_calls.iter().map(|call| Call {
        id: call.id.clone(),
        name: call.name.clone(),
        arguments: call.arguments.clone(),
    });
    Turn::Called {
        text: message.content.clone(),
        calls: calls.collect(),
    }
}

fn tools(request: &ChatRequest) -> Vec<Tool> {
    let tools = request.tools.iter().map(|tool| Tool {
        name: tool.name.clone(),
        description: tool.description.clone(),
        parameters: tool.parameters.clone(),
    });
    tools.collect()
}

/// Whether anything about tools is in a request.
pub(super) fn is_about_tools(request: &ChatRequest) -> bool {
    let called =
        |message: &ChatMessage| message.role == ChatRole::Tool || !message.tool_calls.is_empty();
    !request.tools.is_empty() || request.messages.iter().any(called)
}

/// The form of the calls that a request allows.
pub(super) fn call_form(model: &Llama, request: &ChatRequest) -> Result<Form, NnError> {
    let mut tools = tools(request);
    let mut several = !request.one_tool_call;
    if let Some(Wanted::ToolCall(Some(name))) = &request.constraint {
        tools.retain(|tool| tool.name == *name);
        several = false;
        if tools.is_empty() {
            return Err(NnError::Constraint(format!("there is no tool {name:?}")));
        }
    }
    Ok(Form::ToolCalls {
        form: model.tool_form(),
        tools,
        several,
    })
}

/// Each option as a whole reply.
pub(super) fn options(model: &Llama, options: &[String]) -> Result<Vec<Vec<u32>>, NnError> {
    let replies: Vec<Vec<u32>> = options
        .iter()
        .map(|option| model.reply(option))
        .collect::<Result<_, _>>()?;
    let said = options.iter().all(|option| !option.trim().is_empty());
    if replies.is_empty() || !said || replies.iter().any(Vec::is_empty) {
        return Err(NnError::NoOptions);
    }
    Ok(replies)
}

/// The form of a reply in words.
pub(super) fn form(wanted: &Wanted) -> Option<Form> {
    match wanted {
        Wanted::JsonObject => Some(Form::JsonSchema(serde_json::json!({ "type": "object" }))),
        Wanted::JsonSchema(schema) => Some(Form::JsonSchema(schema.clone())),
        Wanted::Choice(texts) => Some(Form::Choice(texts.clone())),
        Wanted::ToolCall(_) => None,
    }
}

pub(super) fn sampling(model: &str, request: &ChatRequest) -> Result<Sampling, InferenceError> {
    let wanted = request.sampling;
    let numbers = [
        wanted.temperature,
        wanted.top_p,
        wanted.min_p,
        wanted.repetition_penalty,
    ];
    if numbers.iter().any(|x| !x.is_finite() || *x < 0.0) {
        return Err(InferenceError::BadRequest {
            model: model.to_owned(),
            reason: "sampling needs finite numbers from 0".to_owned(),
        });
    }
    Ok(Sampling {
        temperature: wanted.temperature,
        top_p: wanted.top_p,
        min_p: wanted.min_p,
        top_k: 0,
        repetition_penalty: wanted.repetition_penalty,
        seed: wanted.seed,
    })
}

pub(super) fn class(urgency: Urgency) -> Class {
    match urgency {
        Urgency::TurnCritical => Class::TurnCritical,
        Urgency::Playing => Class::Playing,
        Urgency::Speculative => Class::Speculative,
        Urgency::Background => Class::Background,
    }
}
