//! A language model of the Llama family behind [`ChatModel`], shared by many calls.
//!
//! One worker thread holds the keys and values and computes one step after another: the next
//! token of every reply that runs, and some more of the prompts that wait. What came in while a
//! step ran is in the next one. A stream that is dropped is out of the next step. A panic answers
//! what is open with `Unavailable`, which may be tried again, and the worker begins anew.
//!
//! Text becomes tokens on the thread of whoever asks; the worker only computes and speaks.

mod ahead;
mod calls;
mod choice;
mod command;
mod desk;
mod encode;
mod failure;
mod network;
mod reply;
mod settings;
#[cfg(test)]
pub(crate) mod tests;
mod worker;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use trunkline_inference::{
    Anticipation, ChatCapabilities, ChatMessage, ChatModel, ChatRequest, ChatStream, ChoiceRequest,
    Constraint, InferenceError, ModelInfo, ModelLoad, PendingChoice,
};
use trunkline_nn::NnError;
use trunkline_nn::llama::Llama;
use trunkline_scheduler::{Class, TenantId};

use crate::work_queue::{Refusal, WorkQueue};
use crate::{EngineError, InstalledModel};
use ahead::Ahead;
use calls::Calls;
use command::{ChoiceOrder, Command, ReplyOrder};
pub(crate) use failure::{in_full, to_inference_error};
use network::{LlamaNetwork, StepNetwork};
pub use settings::ChatSettings;
use worker::{Build, Worker};

/// Orders that may come in during one step. What then waits for its turn is the scheduler's.
const MAX_ORDERS: usize = 256;
/// The most alternatives that are given for a token.
const MOST_ALTERNATIVES: u8 = 20;

/// A language model of the Llama family on a worker thread.
pub struct LlamaChat {
    name: String,
    model: Arc<Llama>,
    queue: Arc<WorkQueue<Command>>,
    /// As the worker counted last.
    load: Arc<Mutex<ModelLoad>>,
    conversations: AtomicU64,
}

impl LlamaChat {
    /// Loads a model and starts its worker.
    ///
    /// # Errors
    /// [`EngineError::Start`] naming what is wrong with which file.
    pub fn load(model: &InstalledModel) -> Result<Self, EngineError> {
        Self::load_with(model, ChatSettings::default())
    }

    /// As [`LlamaChat::load`], with so much room.
    ///
    /// # Errors
    /// As [`LlamaChat::load`].
    pub fn load_with(model: &InstalledModel, settings: ChatSettings) -> Result<Self, EngineError> {
        let name = &model.manifest.name;
        let loaded = Llama::load(&model.folder, &trunkline_nn::cpu());
        let loaded = loaded.map_err(|error| EngineError::Start {
            name: name.clone(),
            reason: in_full(&error),
        })?;
        let build = move |model: &Arc<Llama>| {
            let network = LlamaNetwork::new(model, &settings);
            let network = network.map_err(|error| in_full(&error))?;
            Ok(Box::new(network) as Box<dyn StepNetwork>)
        };
        Self::start(name, loaded, settings, Box::new(build))
    }

    fn start(
        name: &str,
        model: Llama,
        settings: ChatSettings,
        build: Build,
    ) -> Result<Self, EngineError> {
        let refused = |reason: String| EngineError::Start {
            name: name.to_owned(),
            reason,
        };
        let model = Arc::new(model);
        let queue = Arc::new(WorkQueue::new(MAX_ORDERS));
        let load = Arc::new(Mutex::new(ModelLoad::default()));
        let worker = Worker {
            name: name.to_owned(),
            model: Arc::clone(&model),
            settings,
            build,
            load: Arc::clone(&load),
        };
        let desk = worker.desk().map_err(refused)?;
        let orders = Arc::clone(&queue);
        std::thread::Builder::new()
            .name(format!("llm {name}"))
            .spawn(move || worker.run(desk, &orders))
            .map_err(|error| refused(error.to_string()))?;
        Ok(Self {
            name: name.to_owned(),
            model,
            queue,
            load,
            conversations: AtomicU64::new(0),
        })
    }

    /// Computes the beginning of a conversation in the background and keeps it, so that every
    /// request which begins alike starts sooner. Nothing happens when too much waits already.
    pub fn warm_up(&self, messages: &[ChatMessage]) {
        match encode::prompt(&self.model, messages, 1) {
            Ok(prompt) => self.in_background(Command::WarmUp { prompt }),
            Err(error) => tracing::warn!(model = self.name, %error, "a warm-up failed"),
        }
    }

    /// Scores the options of a choice where nothing was said in the background, so that the
    /// first such choice has to score them only once. `neutral` as in [`ChoiceRequest`].
    pub fn warm_up_choice(&self, neutral: &[ChatMessage], options: &[String]) {
        let order = encode::options(&self.model, options).and_then(|options| {
            let longest = options.iter().map(Vec::len).max().unwrap_or(0);
            Ok(ChoiceOrder {
                class: Class::Background,
                prompt: None,
                neutral: Some(encode::prompt(&self.model, neutral, longest)?),
                options,
                answer: None,
            })
        });
        match order {
            Ok(order) => self.in_background(Command::Choose(order)),
            Err(error) => tracing::warn!(model = self.name, %error, "a warm-up failed"),
        }
    }

    /// Takes no more requests. What is open is brought to its end; then the worker ends, and its
    /// memory is given back once this is dropped, which may be at once.
    pub(crate) fn finish(&self) {
        self.queue.finish("another model has taken its place");
    }

    /// What takes its memory.
    pub(crate) fn weights(&self) -> Arc<Llama> {
        Arc::clone(&self.model)
    }

    fn in_background(&self, command: Command) {
        if self.queue.push_background(command).is_err() {
            tracing::debug!(model = self.name, "no room for a warm-up");
        }
    }

    fn push(&self, command: Command) -> Result<(), InferenceError> {
        let model = self.name.clone();
        self.queue.push(command).map_err(|refusal| match refusal {
            Refusal::Full => InferenceError::Overloaded { model },
            Refusal::Closed(reason) => InferenceError::Unavailable { model, reason },
        })
    }

    /// How the reply's calls of tools are read, if it may have any.
    fn calls(&self, request: &ChatRequest) -> Result<Option<Calls>, InferenceError> {
        let refused = |reason: &str| InferenceError::BadRequest {
            model: self.name.clone(),
            reason: reason.to_owned(),
        };
        let must_call = matches!(request.constraint, Some(Constraint::ToolCall(_)));
        match (&request.constraint, request.tools.is_empty()) {
            (Some(Constraint::ToolCall(_)), true) => Err(refused("there are no tools to call")),
            (_, true) => Ok(None),
            (Some(_), false) if !must_call => Err(refused(
                "a reply that must have a form cannot call tools: leave one of them out",
            )),
            _ => {
                let form = encode::call_form(&self.model, request);
                let form = form.and_then(|form| self.model.constrain(&form));
                let form = form.map_err(|error| self.failure(&error))?;
                let names = request.tools.iter().map(|tool| tool.name.clone()).collect();
                Ok(Some(Calls::new(&self.model, names, form, must_call)))
            }
        }
    }

    fn failure(&self, error: &NnError) -> InferenceError {
        to_inference_error(&self.name, error)
    }
}

impl ChatModel for LlamaChat {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            name: self.name.clone(),
            engine: "candle-cpu".to_owned(),
        }
    }

    fn capabilities(&self) -> ChatCapabilities {
        ChatCapabilities {
            tools: true,
            constraints: true,
            logprobs: Some(MOST_ALTERNATIVES),
            min_p: true,
            context_tokens: Some(self.model.context()),
        }
    }

    fn generate(&self, request: ChatRequest) -> Result<ChatStream, InferenceError> {
        self.capabilities().check(&self.name, &request)?;
        let sampling = encode::sampling(&self.name, &request)?;
        let failure = |error| self.failure(&error);
        let form = request.constraint.as_ref().and_then(encode::form);
        let constraint = form.map(|form| self.model.constrain(&form)).transpose();
        let (constraint, calls) = (constraint.map_err(failure)?, self.calls(&request)?);
        let prompt = match encode::is_about_tools(&request) {
            true => encode::tool_prompt(&self.model, &request),
            false => encode::prompt(&self.model, &request.messages, 1),
        };
        let prompt = prompt.map_err(failure)?;
        let (events, deltas) = mpsc::unbounded_channel();
        self.push(Command::Reply(Box::new(ReplyOrder {
            prompt,
            class: encode::class(request.urgency),
            tenant: TenantId(request.tenant.0),
            max_tokens: request.max_tokens,
            sampling,
            stop: request.stop,
            constraint,
            calls,
            logprobs: request.logprobs,
            events,
        })))?;
        Ok(ChatStream { deltas })
    }

    fn choose(&self, request: ChoiceRequest) -> Result<PendingChoice, InferenceError> {
        let failure = |error| self.failure(&error);
        let options = encode::options(&self.model, &request.options).map_err(failure)?;
        let longest = options.iter().map(Vec::len).max().unwrap_or(0);
        let prompt = |messages: &[ChatMessage]| encode::prompt(&self.model, messages, longest);
        let neutral = request.neutral.as_deref().map(prompt).transpose();
        let (answer, choice) = oneshot::channel();
        self.push(Command::Choose(ChoiceOrder {
            class: encode::class(request.urgency),
            prompt: Some(prompt(&request.messages).map_err(failure)?),
            neutral: neutral.map_err(failure)?,
            options,
            answer: Some(answer),
        }))?;
        Ok(choice)
    }

    fn anticipate(&self) -> Box<dyn Anticipation> {
        let id = self.conversations.fetch_add(1, Ordering::Relaxed);
        Box::new(Ahead::new(id, &self.model, &self.queue))
    }

    fn load(&self) -> Option<ModelLoad> {
        Some(*self.load.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for LlamaChat {
    fn drop(&mut self) {
        if self.queue.is_finishing() {
            return;
        }
        for command in self.queue.close("it was shut down") {
            command.refuse(&InferenceError::Unavailable {
                model: self.name.clone(),
                reason: "it was shut down".to_owned(),
            });
        }
    }
}

impl std::fmt::Debug for LlamaChat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LlamaChat")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
