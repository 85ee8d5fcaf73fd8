//! A reply on its way: draws tokens from logits and sends text to whoever asked.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use trunkline_inference::{ChatDelta, FinishReason, InferenceError, LogProb, TokenLogProb};
use trunkline_nn::NnError;
use trunkline_nn::llama::{Constraint, Llama, Sampler, TextStream, likeliest, log_prob_of};

use super::calls::Calls;
use super::command::ReplyOrder;

pub(super) struct Reply {
    events: mpsc::UnboundedSender<ChatDelta>,
    begun: Instant,
    prompt_tokens: usize,
    cached_tokens: Option<usize>,
    max_tokens: usize,
    sampler: Sampler,
    constraint: Option<Constraint>,
    calls: Option<Calls>,
    text: TextStream,
    logprobs: Option<u8>,
    first_token: Option<Duration>,
}

/// How a reply goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// With this token.
    Next(u32),
    /// Not at all: it is complete, and whoever asked knows.
    Done,
}

impl Reply {
    /// `max_tokens` may be less than was ordered, where the context ends.
    pub(super) fn new(order: ReplyOrder, max_tokens: usize) -> Self {
        Self {
            events: order.events,
            begun: Instant::now(),
            prompt_tokens: order.prompt.len(),
            cached_tokens: None,
            max_tokens,
            sampler: Sampler::new(order.sampling),
            constraint: order.constraint,
            calls: order.calls,
            text: TextStream::new(&order.stop),
            logprobs: order.logprobs,
            first_token: None,
        }
    }

    /// Whether nobody listens any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.events.is_closed()
    }

    /// Tokens so far.
    pub(super) fn said(&self) -> usize {
        self.text.tokens().len()
    }

    /// The first of its steps began at this position: what is before it was known.
    pub(super) fn starts_at(&mut self, position: usize) {
        self.cached_tokens.get_or_insert(position);
    }

    pub(super) fn fail(&self, error: InferenceError) {
        let _ = self.events.send(ChatDelta::Failed(error));
    }

    /// Draws the token that follows `before`.
    pub(super) fn advance(
        &mut self,
        model: &Llama,
        before: &[u32],
        logits: &mut [f32],
    ) -> Result<Verdict, NnError> {
        if self.max_tokens == 0 {
            return self.finish(model, FinishReason::Length);
        }
        let unchanged = self.logprobs.map(|_| logits.to_vec());
        let allowed = self.form().map(Constraint::allowed).transpose()?;
        let drawn = self.sampler.draw(logits, before, allowed.as_ref());
        let token = drawn.ok_or_else(|| {
            NnError::Constraint("there is no token that the form allows".to_owned())
        })?;
        self.first_token.get_or_insert_with(|| self.begun.elapsed());
        if model.ends_turn(token) {
            return self.finish(model, FinishReason::Stop);
        }
        let held = self.form().map_or(Ok(false), |form| form.push(token))?;
        let complete = self.tell(model, token)? || held;
        if let (Some(logits), Some(count)) = (unchanged, self.logprobs) {
            let figures = figures(model, &logits, token, count);
            let _ = self.events.send(ChatDelta::LogProbs(vec![figures]));
        }
        if complete || self.text.is_stopped() {
            self.finish(model, FinishReason::Stop)
        } else if self.said() >= self.max_tokens {
            self.finish(model, FinishReason::Length)
        } else {
            Ok(Verdict::Next(token))
        }
    }

    fn finish(&mut self, model: &Llama, finish: FinishReason) -> Result<Verdict, NnError> {
        let rest = model.read_rest(&mut self.text)?;
        let mut finish = finish;
        match &mut self.calls {
            None => self.send_text(rest),
            Some(calls) => {
                let mut told = Vec::new();
                calls.finish(&rest, &mut told);
                if calls.made_any() && finish == FinishReason::Stop {
                    finish = FinishReason::ToolCalls;
                }
                self.send_all(told);
            }
        }
        let compute = self.begun.elapsed();
        let _ = self.events.send(ChatDelta::Done {
            finish,
            prompt_tokens: self.prompt_tokens,
            cached_tokens: self.cached_tokens.unwrap_or(0),
            reply_tokens: self.said(),
            first_token: self.first_token.unwrap_or(compute),
            compute,
        });
        Ok(Verdict::Done)
    }

    /// The form that holds for the next token.
    fn form(&mut self) -> Option<&mut Constraint> {
        match &mut self.calls {
            Some(calls) => calls.form(),
            None => self.constraint.as_mut(),
        }
    }

    /// Tells what a token adds to the reply. Whether a call is complete after which none follows.
    fn tell(&mut self, model: &Llama, token: u32) -> Result<bool, NnError> {
        let text = model.read(&mut self.text, token)?;
        let Some(calls) = &mut self.calls else {
            self.send_text(text);
            return Ok(false);
        };
        let mut told = Vec::new();
        let complete = calls.read(model, &mut self.text, token, text, &mut told)?;
        self.send_all(told);
        Ok(complete)
    }

    fn send_all(&self, deltas: Vec<ChatDelta>) {
        for delta in deltas {
            let _ = self.events.send(delta);
        }
    }

    fn send_text(&self, text: String) {
        if !text.is_empty() {
            // Nobody listens any more when it fails; the worker sees that at its next step.
            let _ = self.events.send(ChatDelta::Text(text));
        }
    }
}

/// How likely a token was, and what else would have been.
fn figures(model: &Llama, logits: &[f32], token: u32, count: u8) -> TokenLogProb {
    let spelled = |token, log_prob| LogProb {
        bytes: model.spelling(token).to_vec(),
        log_prob,
    };
    let top = likeliest(logits, usize::from(count)).into_iter();
    TokenLogProb {
        token: spelled(token, log_prob_of(logits, token)),
        top: top
            .map(|(token, log_prob)| spelled(token, log_prob))
            .collect(),
    }
}
