//! A reply as server-sent events: a chunk for each piece, then `[DONE]`.
//!
//! A model that fails half-way ends the stream with an event that holds the error object, as
//! OpenAI's clients expect, and without `[DONE]`.

use std::convert::Infallible;

use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream;
use trunkline_inference::ChatDelta;

use super::request::Streamed;
use super::whole::usage;
use super::{Begun, Heading};
use crate::server::Refusal;
use crate::wire::{
    ChatChunk, ChunkChoice, ChunkDelta, FunctionCall, TokenFigures, TokenList, ToolCallChunk,
    Usage, WireToolCall, finish_word,
};

/// How far a stream has come.
enum Phase {
    /// Nothing is sent.
    Start,
    Reply,
    /// Only what the reply took is still to be said.
    Figures(Usage),
    /// Only the mark of the end.
    Mark,
    Over,
}

struct Streaming {
    heading: Heading,
    begun: Begun,
    wants_usage: bool,
    calls: usize,
    phase: Phase,
}

/// Begins to answer. Dropping the answer drops the model's stream.
pub(super) fn answer(heading: Heading, begun: Begun, streamed: Streamed) -> Response {
    let streaming = Streaming {
        heading,
        begun,
        wants_usage: streamed.include_usage,
        calls: 0,
        phase: Phase::Start,
    };
    let headers = [("x-accel-buffering", "no")];
    (headers, Sse::new(events(streaming))).into_response()
}

fn events(streaming: Streaming) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(streaming, |mut streaming| async move {
        let event = streaming.next().await?;
        Some((Ok(event), streaming))
    })
}

impl Streaming {
    async fn next(&mut self) -> Option<Event> {
        match self.phase {
            Phase::Start => {
                self.phase = Phase::Reply;
                let role = ChunkDelta {
                    role: Some("assistant".to_owned()),
                    content: Some(String::new()),
                    tool_calls: None,
                };
                Some(self.chunk(role, None, None))
            }
            Phase::Reply => {
                let delta = self.begun.next().await;
                Some(self.reply(delta))
            }
            Phase::Figures(usage) => {
                self.phase = Phase::Mark;
                Some(self.event(Vec::new(), Some(usage)))
            }
            Phase::Mark => {
                self.phase = Phase::Over;
                Some(Event::default().data("[DONE]"))
            }
            Phase::Over => None,
        }
    }

    fn reply(&mut self, delta: Option<ChatDelta>) -> Event {
        match delta {
            Some(ChatDelta::Text(text)) => {
                let delta = ChunkDelta {
                    content: Some(text),
                    ..ChunkDelta::default()
                };
                self.chunk(delta, None, None)
            }
            Some(ChatDelta::LogProbs(tokens)) => {
                let figures = tokens.into_iter().map(TokenFigures::from).collect();
                let list = TokenList {
                    content: Some(figures),
                    refusal: None,
                };
                self.chunk(ChunkDelta::default(), Some(list), None)
            }
            Some(ChatDelta::ToolCall(call)) => {
                let delta = ChunkDelta {
                    tool_calls: Some(vec![call_chunk(self.calls, call.into())]),
                    ..ChunkDelta::default()
                };
                self.calls += 1;
                self.chunk(delta, None, None)
            }
            Some(ChatDelta::Done {
                finish,
                prompt_tokens,
                cached_tokens,
                reply_tokens,
                ..
            }) => {
                self.phase = match self.wants_usage {
                    true => Phase::Figures(usage(prompt_tokens, cached_tokens, reply_tokens)),
                    false => Phase::Mark,
                };
                let word = finish_word(finish).to_owned();
                self.chunk(ChunkDelta::default(), None, Some(word))
            }
            Some(ChatDelta::Failed(error)) => self.break_off(&error.into()),
            None => self.break_off(&Refusal::gone(&self.heading.model)),
        }
    }

    fn break_off(&mut self, refusal: &Refusal) -> Event {
        self.phase = Phase::Over;
        json(&refusal.body())
    }

    fn chunk(
        &self,
        delta: ChunkDelta,
        logprobs: Option<TokenList>,
        finish_reason: Option<String>,
    ) -> Event {
        let choice = ChunkChoice {
            index: 0,
            delta,
            logprobs,
            finish_reason,
        };
        self.event(vec![choice], None)
    }

    fn event(&self, choices: Vec<ChunkChoice>, usage: Option<Usage>) -> Event {
        json(&ChatChunk {
            id: self.heading.id.clone(),
            object: "chat.completion.chunk".to_owned(),
            created: self.heading.created,
            model: self.heading.model.clone(),
            choices,
            usage,
        })
    }
}

fn call_chunk(index: usize, call: WireToolCall) -> ToolCallChunk {
    ToolCallChunk {
        index,
        id: Some(call.id),
        kind: Some(call.kind),
        function: FunctionCall {
            name: call.function.name,
            arguments: call.function.arguments,
        },
    }
}

fn json(body: &impl serde::Serialize) -> Event {
    // These types always have a form in JSON; without one the event would be empty.
    let text = serde_json::to_string(body).unwrap_or_default();
    Event::default().data(text)
}
