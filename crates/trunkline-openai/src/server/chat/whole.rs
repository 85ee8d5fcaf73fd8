//! A reply in one piece.

use axum::Json;
use axum::response::{IntoResponse, Response};
use trunkline_inference::{ChatDelta, FinishReason};

use super::{Begun, Heading};
use crate::server::Refusal;
use crate::wire::{
    ChatChoice, ChatCompletion, ReplyMessage, TokenFigures, TokenList, Usage, WireToolCall,
    finish_word,
};

/// Waits for the end of the reply.
pub(super) async fn answer(heading: Heading, mut begun: Begun) -> Result<Response, Refusal> {
    let mut said = String::new();
    let mut calls: Vec<WireToolCall> = Vec::new();
    let mut figures: Option<Vec<TokenFigures>> = None;
    let (finish, usage) = loop {
        match begun.next().await {
            Some(ChatDelta::Text(text)) => said.push_str(&text),
            Some(ChatDelta::ToolCall(call)) => calls.push(call.into()),
            Some(ChatDelta::LogProbs(tokens)) => figures
                .get_or_insert_default()
                .extend(tokens.into_iter().map(TokenFigures::from)),
            Some(ChatDelta::Done {
                finish,
                prompt_tokens,
                cached_tokens,
                reply_tokens,
                ..
            }) => break (finish, usage(prompt_tokens, cached_tokens, reply_tokens)),
            Some(ChatDelta::Failed(error)) => return Err(error.into()),
            None => return Err(Refusal::gone(&heading.model)),
        }
    };
    let message = ReplyMessage {
        role: "assistant".to_owned(),
        content: (calls.is_empty() || !said.is_empty()).then_some(said),
        refusal: None,
        tool_calls: (!calls.is_empty()).then_some(calls),
    };
    Ok(Json(completion(heading, message, figures, finish, usage)).into_response())
}

fn completion(
    heading: Heading,
    message: ReplyMessage,
    figures: Option<Vec<TokenFigures>>,
    finish: FinishReason,
    usage: Usage,
) -> ChatCompletion {
    let logprobs = figures.map(|figures| TokenList {
        content: Some(figures),
        refusal: None,
    });
    ChatCompletion {
        id: heading.id,
        object: "chat.completion".to_owned(),
        created: heading.created,
        model: heading.model,
        choices: vec![ChatChoice {
            index: 0,
            message,
            logprobs,
            finish_reason: Some(finish_word(finish).to_owned()),
        }],
        usage: Some(usage),
    }
}

/// The figures of a reply as OpenAI names them.
pub(super) fn usage(prompt: usize, cached: usize, reply: usize) -> Usage {
    Usage {
        prompt_tokens: prompt,
        completion_tokens: reply,
        total_tokens: prompt + reply,
        prompt_tokens_details: Some(crate::wire::PromptDetails {
            cached_tokens: cached,
        }),
    }
}
