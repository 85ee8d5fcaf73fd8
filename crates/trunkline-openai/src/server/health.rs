//! What is served, for people and for programs.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use trunkline_inference::ModelLoad;

use super::{Refusal, Shared};

/// `GET /v1/models`.
#[derive(Debug, Serialize)]
pub(super) struct ModelList {
    object: &'static str,
    data: Vec<Model>,
}

#[derive(Debug, Serialize)]
pub(super) struct Model {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: String,
    /// Beyond OpenAI's: how busy it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    load: Option<ModelLoad>,
}

fn list(state: &super::State) -> Vec<Model> {
    let chat = state.served.chat.as_ref();
    let busy = |name: &str| chat.filter(|chat| chat.info().name == name)?.load();
    let models = state.served.names().into_iter();
    models
        .map(|model| Model {
            load: busy(&model.name),
            id: model.name,
            object: "model",
            created: state.started,
            owned_by: model.engine,
        })
        .collect()
}

/// `GET /v1/models`.
pub(super) async fn models(State(state): Shared) -> Json<ModelList> {
    Json(ModelList {
        object: "list",
        data: list(&state),
    })
}

/// `GET /v1/models/{id}`.
pub(super) async fn model(
    State(state): Shared,
    Path(id): Path<String>,
) -> Result<Json<Model>, Refusal> {
    let found = list(&state).into_iter().find(|model| model.id == id);
    found.map(Json).ok_or_else(|| state.unknown_model(&id))
}

/// `GET /health`.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    status: &'static str,
    models: Vec<String>,
    /// Requests that are being served.
    requests: usize,
}

/// `GET /health`: needs no key, and says nothing but names.
pub(super) async fn health(State(state): Shared) -> Json<Health> {
    let models = state.served.names().into_iter();
    Json(Health {
        status: "ok",
        models: models.map(|model| model.name).collect(),
        requests: state.limits.requests - state.room.available_permits(),
    })
}
