//! Models: exchange one while calls go on.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use trunkline_engine::EngineError;

use super::Refused;
use crate::serve::Appliance;

/// Asks for a model to be exchanged.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReloadModel {
    /// The model that is to serve, by its name in the catalog; the same one, as it lies on the disk
    /// now, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
}

/// A model was exchanged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ReloadedModel {
    /// What it is configured as.
    pub(crate) name: String,
    /// What it is now, by its name in the catalog.
    pub(crate) model: String,
    /// Milliseconds that it took to load and warm.
    pub(crate) took_ms: u64,
}

/// `POST /v1/models/{name}/reload`: answers once the new model serves. Replies under way are
/// brought to their end by the old one.
pub(super) async fn reload(
    State(appliance): State<Arc<Appliance>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<ReloadedModel>, Refused> {
    let wanted: ReloadModel = match body.is_empty() {
        true => ReloadModel::default(),
        false => serde_json::from_slice(&body)
            .map_err(|error| Refused(StatusCode::BAD_REQUEST, error.to_string()))?,
    };
    let (models, served) = (appliance.models.clone(), name.clone());
    let exchange = move || models.exchange(&served, wanted.model.as_deref());
    let done = tokio::task::spawn_blocking(exchange).await;
    let broke = |_| {
        let reason = "loading the model panicked".to_owned();
        Refused(StatusCode::INTERNAL_SERVER_ERROR, reason)
    };
    let exchanged = done.map_err(broke)??;
    Ok(Json(ReloadedModel {
        name,
        model: exchanged.model,
        took_ms: u64::try_from(exchanged.took.as_millis()).unwrap_or(u64::MAX),
    }))
}

impl From<EngineError> for Refused {
    fn from(error: EngineError) -> Self {
        let status = match error {
            EngineError::UnknownModel { .. } => StatusCode::NOT_FOUND,
            EngineError::ExchangeUnderWay { .. } => StatusCode::CONFLICT,
            EngineError::NoMemory { .. } => StatusCode::INSUFFICIENT_STORAGE,
            EngineError::NotExchangeable { .. }
            | EngineError::NotInstalled { .. }
            | EngineError::NotRunnable { .. }
            | EngineError::WrongTask { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}
