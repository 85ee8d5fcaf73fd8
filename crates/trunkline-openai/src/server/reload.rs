//! `POST /v1/models/{id}/reload`: another model, or another version of it, in a model's place,
//! while it serves. Ours, not OpenAI's, and for whoever runs the machine.
//!
//! Takes `{"model": "name in the catalog"}`, or nothing for the same one as it lies on the disk
//! now; answers once the new one serves. What is under way ends where it began.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use serde::Serialize;

use super::fields::Fields;
use super::{Refusal, Shared};

/// Whoever can exchange the models that are served.
pub trait Reload: Send + Sync {
    /// Exchanges the model that is served as `name`. Blocks until it is done.
    ///
    /// # Errors
    /// Why everything is as it was.
    fn reload(&self, name: &str, with: Option<&str>) -> Result<Reloaded, ReloadError>;
}

/// A model was exchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// What it is served as.
    pub id: String,
    /// What it is, by its name in the catalog.
    pub model: String,
    /// Milliseconds that it took to load and warm.
    pub took_ms: u64,
}

/// Why a model was not exchanged. Each message says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// The request makes no sense here.
    #[error("{0}")]
    Wrong(String),
    /// Not now.
    #[error("{0}")]
    Conflict(String),
    /// The memory does not hold both.
    #[error("{0}")]
    NoMemory(String),
    /// The other model does not start.
    #[error("{0}")]
    Failed(String),
}

impl From<ReloadError> for Refusal {
    fn from(error: ReloadError) -> Self {
        let message = error.to_string();
        match error {
            ReloadError::Wrong(_) => Self::bad_request(message).param("model"),
            ReloadError::Conflict(_) => Self::conflict(message).code("reload_under_way"),
            ReloadError::NoMemory(_) => Self::no_room(message).code("insufficient_memory"),
            ReloadError::Failed(_) => Self::internal(message).code("model_does_not_start"),
        }
    }
}

/// The handler.
pub(super) async fn reload(
    State(state): Shared,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Reloaded>, Refusal> {
    let served = state.served.names();
    if !served.iter().any(|model| model.name == id) {
        return Err(state.unknown_model(&id));
    }
    let Some(reload) = state.served.reload.clone() else {
        return Err(Refusal::forbidden(
            "models can be exchanged by those alone who show a key or may open a unix socket: \
             set engine.api_key_file, or let engine.listen be a unix socket",
        ));
    };
    let with: Option<String> = match &body {
        Ok(body) if body.is_empty() => None,
        _ => {
            let mut fields = Fields::read(body)?;
            let with = fields.take("model")?;
            fields.finish()?;
            with
        }
    };
    let exchanged = move || reload.reload(&id, with.as_deref());
    let done = tokio::task::spawn_blocking(exchanged).await;
    let done = done.map_err(|_| Refusal::internal("loading the model panicked".to_owned()))?;
    Ok(Json(done?))
}
