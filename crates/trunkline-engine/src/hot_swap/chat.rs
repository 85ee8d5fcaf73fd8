//! The place of a language model.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use trunkline_inference::{
    Anticipation, ChatCapabilities, ChatDelta, ChatMessage, ChatModel, ChatRequest, ChatStream,
    ChoiceRequest, InferenceError, ModelInfo, ModelLoad, PendingAnticipated, PendingChoice,
    Urgency,
};

use super::{Exchangeable, Exchanged, Find, MemoryBudget, Place, Seat};
use crate::{EngineError, LlamaChat};

/// A language model that can be exchanged while it serves.
#[derive(Debug)]
pub struct HotSwapChat {
    place: Place<LlamaChat>,
    warm: Mutex<WarmUps>,
}

/// What every model that is put here computes ahead.
#[derive(Debug, Default)]
struct WarmUps {
    conversations: Vec<Vec<ChatMessage>>,
    choices: Vec<(Vec<ChatMessage>, Vec<String>)>,
}

impl HotSwapChat {
    /// Loads the first model.
    ///
    /// # Errors
    /// What `find` and the loading say, and [`EngineError::NoMemory`].
    pub(crate) fn load(
        name: &str,
        find: Find<LlamaChat>,
        memory: Arc<MemoryBudget>,
    ) -> Result<Self, EngineError> {
        Ok(Self {
            place: Place::load(name, find, memory)?,
            warm: Mutex::default(),
        })
    }

    /// Puts another model, or another version of the same one, in this one's place. Returns when
    /// the new one serves; takes as long as loading it does, and never on a thread that others
    /// wait for.
    ///
    /// # Errors
    /// [`EngineError::ExchangeUnderWay`] while another exchange is under way,
    /// [`EngineError::NoMemory`], and whatever keeps a model from starting. What served goes on to
    /// serve then.
    pub fn exchange(&self, with: Option<&str>) -> Result<Exchanged, EngineError> {
        self.place
            .exchange(with, |model, chat| self.warm(model, chat))
    }

    /// As [`LlamaChat::warm_up`], for this model and all that follow it.
    pub(crate) fn warm_up(&self, messages: &[ChatMessage]) {
        self.place.seat().serving.warm_up(messages);
        let mut warm = self.warm.lock().unwrap_or_else(PoisonError::into_inner);
        warm.conversations.push(messages.to_vec());
    }

    /// As [`LlamaChat::warm_up_choice`], for this model and all that follow it.
    pub(crate) fn warm_up_choice(&self, neutral: &[ChatMessage], options: &[String]) {
        let seat = self.place.seat();
        seat.serving.warm_up_choice(neutral, options);
        let mut warm = self.warm.lock().unwrap_or_else(PoisonError::into_inner);
        warm.choices.push((neutral.to_vec(), options.to_vec()));
    }

    /// Has a model that does not serve yet compute what it will be asked first, and shows that it
    /// computes at all.
    fn warm(&self, model: &str, chat: &LlamaChat) -> Result<(), EngineError> {
        let warm = self.warm.lock().unwrap_or_else(PoisonError::into_inner);
        for conversation in &warm.conversations {
            chat.warm_up(conversation);
        }
        for (neutral, options) in &warm.choices {
            chat.warm_up_choice(neutral, options);
        }
        drop(warm);
        // Background work is done in order, so that this comes last.
        let word = chat.generate(ChatRequest {
            messages: vec![ChatMessage::user("Hello")],
            max_tokens: 1,
            urgency: Urgency::Background,
            ..ChatRequest::default()
        });
        let failed = |error: InferenceError| EngineError::Start {
            name: model.to_owned(),
            reason: error.to_string(),
        };
        let mut stream = word.map_err(failed)?;
        while let Some(delta) = stream.deltas.blocking_recv() {
            if let ChatDelta::Failed(error) = delta {
                return Err(failed(error));
            }
        }
        Ok(())
    }
}

impl Exchangeable for LlamaChat {
    fn retire(&self) {
        self.finish();
    }

    fn alive(&self) -> Arc<dyn Any + Send + Sync> {
        self.weights()
    }
}

impl ChatModel for HotSwapChat {
    fn info(&self) -> ModelInfo {
        let seat = self.place.seat();
        ModelInfo {
            name: self.place.name.clone(),
            engine: self.place.engine(&seat, seat.serving.info().engine),
        }
    }

    fn capabilities(&self) -> ChatCapabilities {
        self.place.seat().serving.capabilities()
    }

    fn generate(&self, request: ChatRequest) -> Result<ChatStream, InferenceError> {
        self.place.seat().serving.generate(request)
    }

    fn choose(&self, request: ChoiceRequest) -> Result<PendingChoice, InferenceError> {
        self.place.seat().serving.choose(request)
    }

    fn anticipate(&self) -> Box<dyn Anticipation> {
        let seat = self.place.seat();
        Box::new(Following {
            seat: Arc::clone(&self.place.seat),
            ahead: seat.serving.anticipate(),
            generation: seat.generation,
        })
    }

    fn load(&self) -> Option<ModelLoad> {
        ChatModel::load(&self.place.seat().serving)
    }
}

/// A conversation that is computed ahead, by whichever model serves.
struct Following {
    seat: Arc<RwLock<Seat<LlamaChat>>>,
    ahead: Box<dyn Anticipation>,
    generation: u64,
}

impl Anticipation for Following {
    fn expect(&mut self, messages: &[ChatMessage]) {
        let seat = self.seat.read().unwrap_or_else(PoisonError::into_inner);
        if seat.generation != self.generation {
            self.ahead = seat.serving.anticipate();
            self.generation = seat.generation;
        }
        self.ahead.expect(messages);
    }

    fn end(self: Box<Self>) -> Option<PendingAnticipated> {
        self.ahead.end()
    }
}
