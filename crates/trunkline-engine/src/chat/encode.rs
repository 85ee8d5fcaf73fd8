//! Requests become tokens, on the thread of whoever asks, so that the worker only computes.

use trunkline_inference::{
    ChatMessage, ChatRequest, ChatRole, Constraint as Wanted, InferenceError, Urgency,
};
use trunkline_nn::NnError;
use trunkline_nn::llama::{Form, Llama, Message, Role, Sampling};
use trunkline_scheduler::Class;

pub(super) fn to_messages(conversation: &[ChatMessage]) -> Vec<Message> {
    conversation
        .iter()
        .map(|message| Message {
            role: match message.role {
                ChatRole::System => Role::System,
                ChatRole::User | ChatRole::Tool => Role::User,
                ChatRole::Assistant => Role::Assistant,
            },
            content: message.content.clone(),
        })
        .collect()
}

/// A prompt, if it leaves room for so many tokens of reply.
pub(super) fn prompt(
    model: &Llama,
    conversation: &[ChatMessage],
    room: usize,
) -> Result<Vec<u32>, NnError> {
    let prompt = model.prompt(&to_messages(conversation))?;
    let limit = model.context().saturating_sub(room);
    if prompt.is_empty() || prompt.len() > limit {
        return Err(NnError::PromptTooLong {
            tokens: prompt.len(),
            limit,
        });
    }
    Ok(prompt)
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

/// The form of a reply.
pub(super) fn form(wanted: &Wanted) -> Result<Form, NnError> {
    match wanted {
        Wanted::JsonObject => Ok(Form::JsonSchema(serde_json::json!({ "type": "object" }))),
        Wanted::JsonSchema(schema) => Ok(Form::JsonSchema(schema.clone())),
        Wanted::Choice(texts) => Ok(Form::Choice(texts.clone())),
        Wanted::ToolCall(_) => Err(NnError::Constraint("it cannot call tools".to_owned())),
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
