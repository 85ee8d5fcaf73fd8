//! A language model at OpenAI-compatible endpoints.

mod request;
mod stream;

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use trunkline_inference::{
    ChatCapabilities, ChatModel, ChatRequest, ChatStream, ChoiceRequest, InferenceError, ModelInfo,
    PendingChoice,
};

use super::choice::Chooser;
use super::config::PoolConfig;
use super::pool::Pool;
use crate::OpenAiError;

pub(super) use request::{CHOICE_FIELD, chat_ask, choice_schema, messages, schema_format};

/// As many alternatives as OpenAI gives.
const MOST_LOGPROBS: u8 = 20;

/// A language model that others serve.
///
/// A choice is made in the best way that the endpoints know: scored by our own `/v1/choices`;
/// else by the log-probabilities of the options' letters; else by a reply that is constrained
/// to one of them, which says which is best but not by how much.
pub struct RemoteChat {
    pool: Arc<Pool>,
    chooser: Arc<Chooser>,
    runtime: Handle,
}

impl RemoteChat {
    /// Reads the keys; connects to nothing yet. Requests run on `runtime`.
    ///
    /// # Errors
    /// [`OpenAiError`] about a key, a URL or certificates.
    pub fn new(config: &PoolConfig, runtime: Handle) -> Result<Self, OpenAiError> {
        let pool = Pool::new(config)?;
        Ok(Self {
            chooser: Arc::new(Chooser::new(Arc::clone(&pool))),
            pool,
            runtime,
        })
    }
}

impl std::fmt::Debug for RemoteChat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "RemoteChat({} at {})",
            self.pool.model(),
            self.pool.places()
        )
    }
}

impl ChatModel for RemoteChat {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            name: self.pool.model().to_owned(),
            engine: super::ENGINE.to_owned(),
        }
    }

    /// All of it is passed on; an endpoint that does not know something says so.
    fn capabilities(&self) -> ChatCapabilities {
        ChatCapabilities {
            tools: true,
            constraints: true,
            logprobs: Some(MOST_LOGPROBS),
            min_p: true,
            context_tokens: None,
        }
    }

    fn generate(&self, request: ChatRequest) -> Result<ChatStream, InferenceError> {
        self.capabilities().check(self.pool.model(), &request)?;
        let (sender, deltas) = mpsc::unbounded_channel();
        let pool = Arc::clone(&self.pool);
        self.runtime.spawn(async move {
            let gone = sender.clone();
            // Dropping the work closes its connection.
            tokio::select! {
                () = stream::carry(&pool, request, &sender) => {}
                () = gone.closed() => {}
            }
        });
        Ok(ChatStream { deltas })
    }

    fn choose(&self, request: ChoiceRequest) -> Result<PendingChoice, InferenceError> {
        if request.options.is_empty() {
            return Err(InferenceError::BadRequest {
                model: self.pool.model().to_owned(),
                reason: "there is nothing to choose from".to_owned(),
            });
        }
        let (mut answer, choice) = oneshot::channel();
        let chooser = Arc::clone(&self.chooser);
        self.runtime.spawn(async move {
            let chosen = tokio::select! {
                chosen = chooser.choose(&request) => chosen,
                () = answer.closed() => return,
            };
            // Nobody waits any more when this fails.
            let _ = answer.send(chosen);
        });
        Ok(choice)
    }
}
