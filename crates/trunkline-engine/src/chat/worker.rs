//! The thread that holds the language model.

use std::any::Any;
use std::collections::HashMap;
use std::error::Error;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use trunkline_inference::{
    ChatDelta, ChatMessage, ChatRequest, ChoiceRequest, ChoiceResult, FinishReason, InferenceError,
};
use trunkline_nn::NnError;
use trunkline_nn::llama::{Choice, Score};

use super::network::LanguageNetwork;
use crate::work_queue::{WorkQueue, panic_message};

/// Neutral scores that are kept; a workflow has a few dozen choices.
const KEPT_NEUTRAL: usize = 512;

/// What can be asked of the worker.
#[derive(Debug)]
pub(super) enum Job {
    Generate {
        request: ChatRequest,
        events: mpsc::UnboundedSender<ChatDelta>,
    },
    Choose {
        request: ChoiceRequest,
        answer: oneshot::Sender<Result<ChoiceResult, InferenceError>>,
    },
    WarmUp {
        messages: Vec<ChatMessage>,
    },
    WarmUpChoice {
        neutral: Vec<ChatMessage>,
        options: Vec<String>,
    },
}

impl Job {
    /// Answers that it will not be done. Nobody listens any more when a send fails.
    pub(super) fn refuse(self, error: &InferenceError) {
        match self {
            Self::Generate { events, .. } => {
                let _ = events.send(ChatDelta::Failed(error.clone()));
            }
            Self::Choose { answer, .. } => {
                let _ = answer.send(Err(error.clone()));
            }
            Self::WarmUp { .. } | Self::WarmUpChoice { .. } => {}
        }
    }
}

/// Loads the model, the first time and after a panic.
type Load = Box<dyn Fn() -> Result<Box<dyn LanguageNetwork>, String> + Send>;
/// The options of a choice and the conversation in which nothing was said.
type NeutralKey = (Vec<ChatMessage>, Vec<String>);

pub(super) struct Worker {
    name: String,
    network: Box<dyn LanguageNetwork>,
    load: Load,
    neutral: HashMap<NeutralKey, Vec<Score>>,
}

impl Worker {
    pub(super) fn new(name: &str, network: Box<dyn LanguageNetwork>, load: Load) -> Self {
        Self {
            name: name.to_owned(),
            network,
            load,
            neutral: HashMap::new(),
        }
    }

    /// Serves until the queue is closed.
    pub(super) fn run(mut self, queue: &WorkQueue<Job>) {
        while let Some(job) = queue.pop() {
            let Err(panic) = self.serve(job, queue) else {
                continue;
            };
            let reason = panic_message(panic.as_ref());
            tracing::error!(
                model = self.name,
                reason,
                "the language model panicked, reloading"
            );
            match (self.load)() {
                Ok(network) => self.network = network,
                Err(reason) => {
                    tracing::error!(model = self.name, reason, "the language model is gone");
                    let error = self.unavailable(reason.clone());
                    for job in queue.close(&reason) {
                        job.refuse(&error);
                    }
                }
            }
        }
    }

    /// Does one job and answers it, also when the model panics; the error is the panic.
    fn serve(&mut self, job: Job, queue: &WorkQueue<Job>) -> Result<(), Box<dyn Any + Send>> {
        match job {
            Job::Generate { request, events } => {
                let done = catch_unwind(AssertUnwindSafe(|| self.generate(&request, &events)));
                let (failure, panic) = self.outcome(done.map(|result| result.err()));
                if let Some(error) = failure {
                    let _ = events.send(ChatDelta::Failed(error));
                }
                panic
            }
            Job::Choose { request, answer } => {
                let done = catch_unwind(AssertUnwindSafe(|| self.choose(&request, &answer)));
                let (result, panic) = match done {
                    Ok(Ok(Some(chosen))) => (Some(Ok(chosen)), Ok(())),
                    Ok(Ok(None)) => (None, Ok(())),
                    Ok(Err(error)) => (Some(Err(self.inference_error(&error))), Ok(())),
                    Err(panic) => {
                        let error = self.unavailable(panic_message(panic.as_ref()));
                        (Some(Err(error)), Err(panic))
                    }
                };
                if let Some(result) = result {
                    let _ = answer.send(result);
                }
                panic
            }
            Job::WarmUp { messages } => {
                let request = ChatRequest {
                    messages,
                    ..ChatRequest::default()
                };
                let mut watch = |_| yield_to_urgent(queue);
                let done = catch_unwind(AssertUnwindSafe(|| {
                    self.network.generate(&request, &mut watch)
                }));
                self.warmed(done.map(|result| result.err()))
            }
            Job::WarmUpChoice { neutral, options } => {
                let mut watch = |_| yield_to_urgent(queue);
                let done = catch_unwind(AssertUnwindSafe(|| {
                    self.neutral_scores(&neutral, &options, &mut watch).err()
                }));
                self.warmed(done)
            }
        }
    }

    fn generate(
        &mut self,
        request: &ChatRequest,
        events: &mpsc::UnboundedSender<ChatDelta>,
    ) -> Result<(), NnError> {
        let begun = Instant::now();
        let mut first_token = None;
        let usage = self.network.generate(request, &mut |text| {
            let sent = match text {
                Some(text) => {
                    first_token.get_or_insert_with(|| begun.elapsed());
                    events.send(ChatDelta::Text(text)).is_ok()
                }
                None => !events.is_closed(),
            };
            if sent {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        if let Some(usage) = usage {
            let compute = begun.elapsed();
            let finish = match usage.reply_tokens < request.max_tokens {
                true => FinishReason::Stop,
                false => FinishReason::Length,
            };
            let _ = events.send(ChatDelta::Done {
                finish,
                prompt_tokens: usage.prompt_tokens,
                cached_tokens: usage.cached_tokens,
                reply_tokens: usage.reply_tokens,
                first_token: first_token.unwrap_or(compute),
                compute,
            });
        }
        Ok(())
    }

    fn choose(
        &mut self,
        request: &ChoiceRequest,
        answer: &oneshot::Sender<Result<ChoiceResult, InferenceError>>,
    ) -> Result<Option<ChoiceResult>, NnError> {
        let begun = Instant::now();
        let mut watch = |_| match answer.is_closed() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let scores = self
            .network
            .score(&request.messages, &request.options, &mut watch)?;
        let Some(scores) = scores else {
            return Ok(None);
        };
        let neutral = match &request.neutral {
            Some(neutral) => match self.neutral_scores(neutral, &request.options, &mut watch)? {
                Some(neutral) => Some(neutral),
                None => return Ok(None),
            },
            None => None,
        };
        let choice = Choice::of(&scores, neutral.as_deref());
        Ok(Some(ChoiceResult {
            best: choice.best,
            probabilities: choice.probabilities,
            compute: begun.elapsed(),
        }))
    }

    /// Scores where nothing was said; they never change, so they are computed once.
    fn neutral_scores(
        &mut self,
        neutral: &[ChatMessage],
        options: &[String],
        watch: &mut dyn FnMut(Option<String>) -> ControlFlow<()>,
    ) -> Result<Option<Vec<Score>>, NnError> {
        let key = (neutral.to_vec(), options.to_vec());
        if let Some(known) = self.neutral.get(&key) {
            return Ok(Some(known.clone()));
        }
        let Some(scores) = self.network.score(neutral, options, watch)? else {
            return Ok(None);
        };
        if self.neutral.len() >= KEPT_NEUTRAL {
            self.neutral.clear();
        }
        self.neutral.insert(key, scores.clone());
        Ok(Some(scores))
    }

    fn warmed(
        &self,
        done: Result<Option<NnError>, Box<dyn Any + Send>>,
    ) -> Result<(), Box<dyn Any + Send>> {
        let (failure, panic) = self.outcome(done);
        if let Some(error) = failure {
            tracing::warn!(model = self.name, %error, "a warm-up failed");
        }
        panic
    }

    /// What to answer, and the panic if it was one.
    fn outcome(
        &self,
        done: Result<Option<NnError>, Box<dyn Any + Send>>,
    ) -> (Option<InferenceError>, Result<(), Box<dyn Any + Send>>) {
        match done {
            Ok(failure) => (failure.map(|error| self.inference_error(&error)), Ok(())),
            Err(panic) => {
                let error = self.unavailable(panic_message(panic.as_ref()));
                (Some(error), Err(panic))
            }
        }
    }

    fn unavailable(&self, reason: String) -> InferenceError {
        InferenceError::Unavailable {
            model: self.name.clone(),
            reason,
        }
    }

    fn inference_error(&self, error: &NnError) -> InferenceError {
        to_inference_error(&self.name, error)
    }
}

fn yield_to_urgent(queue: &WorkQueue<Job>) -> ControlFlow<()> {
    // What a cancelled warm-up computed is kept, so its next request still starts sooner.
    if queue.has_urgent() {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

/// Tells requests that cannot be served from computations that failed.
pub(crate) fn to_inference_error(model: &str, error: &NnError) -> InferenceError {
    let (model, reason) = (model.to_owned(), in_full(error));
    match error {
        NnError::PromptTooLong { .. }
        | NnError::NoOptions
        | NnError::UnknownLanguage { .. }
        | NnError::Template(_) => InferenceError::BadRequest { model, reason },
        _ => InferenceError::Failed { model, reason },
    }
}

/// An error with its causes.
pub(crate) fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
