//! Carries the events of an endpoint's stream to whoever asked.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use trunkline_inference::{
    ChatDelta, ChatRequest, Constraint, FinishReason, InferenceError, TokenLogProb, ToolCall,
};

use super::request::{CHOICE_FIELD, body, chat_ask};
use crate::remote::answer::Answer;
use crate::remote::events::EventReader;
use crate::remote::failure::Failure;
use crate::remote::pool::{Ask, Pool, briefly};
use crate::wire::{ChatChunk, ErrorBody, ToolCallChunk, Usage};

/// How the last event of a stream is marked.
const MARK: &str = "[DONE]";

/// Asks, and sends what comes. Ends with the reply or its failure.
pub(super) async fn carry(
    pool: &std::sync::Arc<Pool>,
    request: ChatRequest,
    deltas: &UnboundedSender<ChatDelta>,
) {
    let mut reply = Reply::new(deltas, &request);
    let asked = pool.send(pool.deadline(), |model| Ask {
        tenant: request.tenant,
        ..chat_ask(&body(model, &request), true, request.urgency)
    });
    let last = match asked.await {
        Ok(mut answer) => match reply.read(&mut answer).await {
            Ok(()) => reply.done(),
            Err(failure) => ChatDelta::Failed(pool.error(failure)),
        },
        Err(failure) => ChatDelta::Failed(pool.error(failure)),
    };
    let is_failure = matches!(&last, ChatDelta::Failed(error) if !matches!(error, InferenceError::BadRequest { .. }));
    if is_failure {
        tracing::warn!(model = pool.model(), ?last, "a remote reply failed");
    }
    // Nobody listens any more when this fails.
    let _ = deltas.send(last);
}

/// What is known of a reply.
struct Reply<'a> {
    deltas: &'a UnboundedSender<ChatDelta>,
    began: Instant,
    first_token: Option<Duration>,
    /// Texts received: the tokens, where nobody counts them.
    pieces: usize,
    finish: Option<FinishReason>,
    usage: Option<Usage>,
    calls: Vec<ToolCall>,
    /// The text of a choice, which is wrapped.
    wrapped: Option<String>,
}

impl<'a> Reply<'a> {
    fn new(deltas: &'a UnboundedSender<ChatDelta>, request: &ChatRequest) -> Self {
        let is_choice = matches!(request.constraint, Some(Constraint::Choice(_)));
        Self {
            deltas,
            began: Instant::now(),
            first_token: None,
            pieces: 0,
            finish: None,
            usage: None,
            calls: Vec::new(),
            wrapped: is_choice.then(String::new),
        }
    }

    /// Reads to the end of the stream.
    async fn read(&mut self, answer: &mut Answer) -> Result<(), Failure> {
        let mut events = EventReader::default();
        while let Some(bytes) = answer.bytes().await? {
            let events = events.push(&bytes).map_err(|error| {
                answer.spoilt();
                Failure::Broken(error.to_string())
            })?;
            for event in events {
                if event == MARK {
                    // Read to the very end, the connection serves again.
                    let _ = briefly(answer.bytes()).await;
                    answer.complete();
                    return self.check_complete();
                }
                self.event(&event).inspect_err(|_| answer.spoilt())?;
            }
        }
        // Some servers leave the mark out.
        self.check_complete()
    }

    fn check_complete(&mut self) -> Result<(), Failure> {
        if self.finish.is_none() {
            return Err(Failure::Broken("the reply was cut short".to_owned()));
        }
        if let Some(wrapped) = self.wrapped.take() {
            let choice: serde_json::Value = serde_json::from_str(&wrapped)
                .map_err(|_| Failure::Broken(format!("{wrapped:?} is no choice")))?;
            let text = choice[CHOICE_FIELD].as_str().unwrap_or_default();
            self.send(ChatDelta::Text(text.to_owned()));
        }
        for call in std::mem::take(&mut self.calls) {
            self.send(ChatDelta::ToolCall(call));
        }
        Ok(())
    }

    fn event(&mut self, event: &str) -> Result<(), Failure> {
        if let Ok(refusal) = serde_json::from_str::<ErrorBody>(event) {
            return Err(Failure::Broken(refusal.error.message));
        }
        let chunk: ChatChunk = serde_json::from_str(event)
            .map_err(|error| Failure::Broken(format!("an event makes no sense: {error}")))?;
        self.usage = chunk.usage.or(self.usage);
        let Some(choice) = chunk.choices.into_iter().next() else {
            return Ok(());
        };
        for call in choice.delta.tool_calls.into_iter().flatten() {
            self.call(call)?;
        }
        if let Some(text) = choice.delta.content.filter(|text| !text.is_empty()) {
            self.first_token.get_or_insert_with(|| self.began.elapsed());
            self.pieces += 1;
            match &mut self.wrapped {
                Some(wrapped) => wrapped.push_str(&text),
                None => self.send(ChatDelta::Text(text)),
            }
        }
        if let Some(figures) = choice.logprobs.and_then(|list| list.content) {
            let tokens: Vec<TokenLogProb> = figures.into_iter().map(Into::into).collect();
            if !tokens.is_empty() {
                self.send(ChatDelta::LogProbs(tokens));
            }
        }
        if let Some(word) = choice.finish_reason {
            self.finish = Some(match word.as_str() {
                "length" => FinishReason::Length,
                "tool_calls" | "function_call" => FinishReason::ToolCalls,
                _ => FinishReason::Stop,
            });
        }
        Ok(())
    }

    /// A piece of a call; they are handed on whole.
    fn call(&mut self, piece: ToolCallChunk) -> Result<(), Failure> {
        self.first_token.get_or_insert_with(|| self.began.elapsed());
        if piece.index > self.calls.len() {
            return Err(Failure::Broken(
                "a call of a tool has no beginning".to_owned(),
            ));
        }
        if piece.index == self.calls.len() {
            self.calls.push(ToolCall {
                id: String::new(),
                name: String::new(),
                arguments: String::new(),
            });
        }
        let call = &mut self.calls[piece.index];
        if let Some(id) = piece.id {
            call.id = id;
        }
        call.name.push_str(&piece.function.name.unwrap_or_default());
        call.arguments.push_str(&piece.function.arguments);
        Ok(())
    }

    fn send(&self, delta: ChatDelta) {
        // Whoever stops listening ends the whole task.
        let _ = self.deltas.send(delta);
    }

    fn done(&self) -> ChatDelta {
        let compute = self.began.elapsed();
        let usage = self.usage;
        let cached = usage.and_then(|usage| usage.prompt_tokens_details);
        ChatDelta::Done {
            finish: self.finish.unwrap_or(FinishReason::Stop),
            prompt_tokens: usage.map_or(0, |usage| usage.prompt_tokens),
            cached_tokens: cached.map_or(0, |details| details.cached_tokens),
            reply_tokens: usage.map_or(self.pieces, |usage| usage.completion_tokens),
            first_token: self.first_token.unwrap_or(compute),
            compute,
        }
    }
}
