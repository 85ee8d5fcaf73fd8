//! The server. What it serves and where it differs from OpenAI stands in `docs/engine-api.md`.
//!
//! Every answer that is not a success has OpenAI's one error object; see [`refusal`]. Bodies,
//! requests at once and audio are bounded, so that a thousand clients cost no more memory than a
//! hundred. Whoever disconnects gives up what is being computed: a handler holds nothing but
//! the model's stream, and dropping that cancels the work.

mod access;
mod chat;
mod choices;
mod config;
mod embeddings;
mod fields;
mod health;
mod listen;
mod live;
mod refusal;
mod reload;
mod speech;
#[cfg(test)]
mod tests;
mod transcription;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::HeaderMap;
use axum::middleware;
use axum::routing::{get, post};
use tokio::sync::Semaphore;
use trunkline_inference::{ChatModel, Embedder, Synthesizer, Tenant, Transcriber, Urgency};
use trunkline_types::Secret;

pub use access::is_this_machine;
pub use config::ServerConfig;
pub use listen::{Address, Listening, listen};
use refusal::Refusal;
pub use reload::{Reload, ReloadError, Reloaded};

/// OpenAI's own limit for a file.
const MAX_AUDIO_BODY: usize = 25 << 20;
/// A conversation of JSON; far more than any model here can read.
const MAX_JSON_BODY: usize = 4 << 20;
/// Files that are in memory at once; further clients wait with their bodies unread.
const UPLOADS: usize = 16;
/// Files that are decoded at once: each may take a core for a while.
const DECODERS: usize = 2;

/// What is served. A part that is absent answers that there is no such model.
#[derive(Clone, Default)]
pub struct Served {
    /// `/v1/chat/completions` and `/v1/choices`.
    pub chat: Option<Arc<dyn ChatModel>>,
    /// `/v1/audio/transcriptions`.
    pub transcriber: Option<Arc<dyn Transcriber>>,
    /// `/v1/audio/speech`.
    pub voice: Option<Arc<dyn Synthesizer>>,
    /// `/v1/embeddings`.
    pub embedder: Option<Arc<dyn Embedder>>,
    /// `/v1/models/{id}/reload`; give it only where those who may ask for it are known.
    pub reload: Option<Arc<dyn Reload>>,
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl Served {
    /// The names of the models, each with the part that runs it.
    fn names(&self) -> Vec<trunkline_inference::ModelInfo> {
        let chat = self.chat.iter().map(|model| model.info());
        let transcriber = self.transcriber.iter().map(|model| model.info());
        let voice = self.voice.iter().map(|model| model.info());
        let embedder = self.embedder.iter().map(|model| model.info());
        let speech = transcriber.chain(voice);
        chat.chain(speech).chain(embedder).collect()
    }
}

/// What bounds the server.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Requests at once; more get 429.
    pub requests: usize,
    /// The longest audio that is transcribed, where the model sets no shorter one.
    pub audio: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: 256,
            audio: Duration::from_secs(300),
        }
    }
}

/// What every handler sees.
#[derive(Debug)]
struct State {
    served: Served,
    limits: Limits,
    key: Option<Secret<String>>,
    room: Arc<Semaphore>,
    uploads: Semaphore,
    decoders: Semaphore,
    started: u64,
}

type Shared = axum::extract::State<Arc<State>>;

impl State {
    fn unknown_model(&self, name: &str) -> Refusal {
        let known: Vec<String> = self.served.names().into_iter().map(|m| m.name).collect();
        Refusal::not_found(format!(
            "there is no model {name:?} for this here; served are {}",
            known.join(", ")
        ))
        .param("model")
        .code("model_not_found")
    }
}

/// All paths. With a key, every request but `/health` has to show it.
pub fn router(served: Served, limits: Limits, key: Option<Secret<String>>) -> Router {
    let state = Arc::new(State {
        room: Arc::new(Semaphore::new(limits.requests)),
        uploads: Semaphore::new(UPLOADS),
        decoders: Semaphore::new(DECODERS),
        served,
        limits,
        key,
        started: unix_seconds(),
    });
    let models = Router::new()
        .route("/v1/models", get(health::models))
        .route("/v1/models/{id}", get(health::model))
        .route("/v1/models/{id}/reload", post(reload::reload))
        .route("/v1/chat/completions", post(chat::completions))
        .route("/v1/choices", post(choices::choices))
        .route("/v1/embeddings", post(embeddings::embeddings))
        .route("/v1/audio/speech", post(speech::speech))
        .route("/v1/audio/transcriptions/live", get(live::live))
        .layer(DefaultBodyLimit::max(MAX_JSON_BODY))
        .merge(
            Router::new()
                .route(
                    "/v1/audio/transcriptions",
                    post(transcription::transcriptions),
                )
                .layer(DefaultBodyLimit::max(MAX_AUDIO_BODY)),
        )
        .route_layer(middleware::from_fn_with_state(
            Arc::clone(&state),
            access::within_limits,
        ))
        .route_layer(middleware::from_fn_with_state(
            Arc::clone(&state),
            access::with_key,
        ));
    Router::new()
        .route("/health", get(health::health))
        .merge(models)
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(state)
}

/// The header by which a caller says how urgent a request is, in the words of [`Urgency`].
pub(crate) const URGENCY: &str = "trunkline-urgency";

/// How urgent a request is. One that does not say yields to callers who wait in silence.
fn urgency(headers: &HeaderMap) -> Result<Urgency, Refusal> {
    let Some(word) = headers.get(URGENCY) else {
        return Ok(Urgency::Playing);
    };
    let word = serde_json::Value::from(word.to_str().unwrap_or_default());
    serde_json::from_value(word)
        .map_err(|error| Refusal::bad_request(format!("{URGENCY}: {error}")).param(URGENCY))
}

/// The header by which a caller says on whose behalf it asks: a number.
pub(crate) const TENANT: &str = "trunkline-tenant";

/// Who asks.
fn tenant(headers: &HeaderMap) -> Result<Tenant, Refusal> {
    let Some(number) = headers.get(TENANT) else {
        return Ok(Tenant::default());
    };
    let number = number.to_str().ok().and_then(|number| number.parse().ok());
    let wrong = || Refusal::bad_request(format!("{TENANT}: it must be a number")).param(TENANT);
    number.map(Tenant).ok_or_else(wrong)
}

async fn unknown_path(request: Request) -> Refusal {
    Refusal::not_found(format!("there is no path {}", request.uri().path())).code("unknown_url")
}

async fn wrong_method(request: Request) -> Refusal {
    let (method, path) = (request.method(), request.uri().path());
    Refusal::wrong_method(format!("{path} does not take {method}"))
}

fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// An id that no other answer has: `chatcmpl-` and 24 hexadecimal digits.
fn new_id(prefix: &str) -> Result<String, Refusal> {
    let mut random = [0_u8; 12];
    getrandom::fill(&mut random)
        .map_err(|_| Refusal::internal("the system gives no random numbers".to_owned()))?;
    let mut id = prefix.to_owned();
    for byte in random {
        id.push_str(&format!("{byte:02x}"));
    }
    Ok(id)
}
