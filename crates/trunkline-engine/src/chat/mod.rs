//! A language model of the Llama family behind [`ChatModel`].
//!
//! One worker thread holds the model and serves one request after the other, in the order
//! that they came; warm-ups only when nobody waits. A request whose receiver is gone is
//! dropped at the next token, or the next piece of its prompt. A panic in the model answers the
//! request with `Unavailable`, and the model is loaded anew.

mod network;
#[cfg(test)]
mod tests;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use trunkline_inference::{
    ChatMessage, ChatModel, ChatRequest, ChatStream, ChoiceRequest, InferenceError, ModelInfo,
    PendingChoice,
};

use crate::work_queue::{Refusal, WorkQueue};
use crate::{EngineError, InstalledModel};
use network::{LanguageNetwork, LlamaNetwork};
use worker::{Job, Worker};
pub(crate) use worker::{in_full, to_inference_error};

/// Requests that may wait. A call has at most one or two open, so this is tens of calls, far
/// beyond what one worker can answer in time.
const MAX_WAITING: usize = 64;

/// A language model of the Llama family on a worker thread.
#[derive(Debug)]
pub struct LlamaChat {
    name: String,
    queue: Arc<WorkQueue<Job>>,
}

impl LlamaChat {
    /// Loads a model and starts its worker.
    ///
    /// # Errors
    /// [`EngineError::Start`] naming what is wrong with which file.
    pub fn load(model: &InstalledModel) -> Result<Self, EngineError> {
        if !trunkline_nn::environment_is_set() {
            tracing::warn!(
                variables = ?trunkline_nn::ENVIRONMENT,
                "not set when the process started; the language model will be slow"
            );
        }
        let folder: PathBuf = model.folder.clone();
        Self::start(&model.manifest.name, move || {
            let network = LlamaNetwork::load(&folder).map_err(|error| in_full(&error))?;
            Ok(Box::new(network) as Box<dyn LanguageNetwork>)
        })
    }

    fn start(
        name: &str,
        load: impl Fn() -> Result<Box<dyn LanguageNetwork>, String> + Send + 'static,
    ) -> Result<Self, EngineError> {
        let refused = |reason: String| EngineError::Start {
            name: name.to_owned(),
            reason,
        };
        let queue = Arc::new(WorkQueue::new(MAX_WAITING));
        let worker = Worker::new(name, load().map_err(refused)?, Box::new(load));
        let jobs = Arc::clone(&queue);
        std::thread::Builder::new()
            .name(format!("llm {name}"))
            .spawn(move || worker.run(&jobs))
            .map_err(|error| refused(error.to_string()))?;
        Ok(Self {
            name: name.to_owned(),
            queue,
        })
    }

    /// Computes the beginning of a conversation in the background, so that the first request
    /// which begins alike starts sooner. Nothing happens when too much waits already.
    pub fn warm_up(&self, messages: Vec<ChatMessage>) {
        self.in_background(Job::WarmUp { messages });
    }

    /// Scores the options of a choice where nothing was said in the background, so that the
    /// first such choice has to score them only once. `neutral` as in [`ChoiceRequest`].
    pub fn warm_up_choice(&self, neutral: Vec<ChatMessage>, options: Vec<String>) {
        self.in_background(Job::WarmUpChoice { neutral, options });
    }

    fn in_background(&self, job: Job) {
        if self.queue.push_background(job).is_err() {
            tracing::debug!(model = self.name, "no room for a warm-up");
        }
    }

    fn push(&self, job: Job) -> Result<(), InferenceError> {
        let model = self.name.clone();
        self.queue.push(job).map_err(|refusal| match refusal {
            Refusal::Full => InferenceError::Overloaded { model },
            Refusal::Closed(reason) => InferenceError::Unavailable { model, reason },
        })
    }

    fn bad_request(&self, reason: &str) -> InferenceError {
        InferenceError::BadRequest {
            model: self.name.clone(),
            reason: reason.to_owned(),
        }
    }
}

impl ChatModel for LlamaChat {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            name: self.name.clone(),
            engine: "candle-cpu".to_owned(),
        }
    }

    fn generate(&self, request: ChatRequest) -> Result<ChatStream, InferenceError> {
        self.capabilities().check(&self.name, &request)?;
        let sampling = request.sampling;
        let finite = [
            sampling.temperature,
            sampling.top_p,
            sampling.repetition_penalty,
        ];
        if finite
            .iter()
            .any(|number| !number.is_finite() || *number < 0.0)
        {
            return Err(self.bad_request("sampling needs finite numbers from 0"));
        }
        let (events, deltas) = mpsc::unbounded_channel();
        self.push(Job::Generate { request, events })?;
        Ok(ChatStream { deltas })
    }

    fn choose(&self, request: ChoiceRequest) -> Result<PendingChoice, InferenceError> {
        if request.options.is_empty() {
            return Err(self.bad_request("there is nothing to choose from"));
        }
        let (answer, choice) = oneshot::channel();
        self.push(Job::Choose { request, answer })?;
        Ok(choice)
    }
}

impl Drop for LlamaChat {
    fn drop(&mut self) {
        for job in self.queue.close("it was shut down") {
            job.refuse(&InferenceError::Unavailable {
                model: self.name.clone(),
                reason: "it was shut down".to_owned(),
            });
        }
    }
}
