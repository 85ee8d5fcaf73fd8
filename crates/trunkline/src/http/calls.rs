//! Calls: place one, list them, look at one.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use trunkline_gateway::GatewayError;
use trunkline_store::{CallRecord, StoreError};
use trunkline_types::CallId;

use super::{PlaceCall, Placed, Refused};
use crate::commands::WholeCall;
use crate::serve::{Appliance, PlaceError};

/// Calls on a page of the list, unless asked otherwise, and at most.
const PAGE: u32 = 50;
const LARGEST_PAGE: u32 = 500;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    limit: Option<u32>,
    before: Option<CallId>,
}

/// A page of calls, the newest first.
#[derive(Debug, Serialize)]
pub(super) struct Calls {
    calls: Vec<CallRecord>,
    /// Give this as `before` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_before: Option<CallId>,
}

/// `GET /v1/calls?limit=&before=`.
pub(super) async fn list(
    State(appliance): State<Arc<Appliance>>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Calls>, Refused> {
    let Query(page) = page.map_err(|error| bad_request(&error.body_text()))?;
    let limit = page.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let calls = appliance.store.list_calls(limit, page.before).await?;
    let full = u32::try_from(calls.len()).is_ok_and(|found| found == limit);
    let next_before = calls.last().filter(|_| full).map(|call| call.id);
    Ok(Json(Calls { calls, next_before }))
}

/// `GET /v1/calls/{id}`: the call, its turns and its transcript.
pub(super) async fn one(
    State(appliance): State<Arc<Appliance>>,
    id: Result<Path<CallId>, PathRejection>,
) -> Result<Json<WholeCall>, Refused> {
    let Path(id) = id.map_err(|error| bad_request(&error.body_text()))?;
    Ok(Json(WholeCall::read(&appliance.store, id).await?))
}

/// `POST /v1/calls`: 202 with the id; what becomes of the call comes by the live feed.
pub(super) async fn place(
    State(appliance): State<Arc<Appliance>>,
    call: Result<Json<PlaceCall>, JsonRejection>,
) -> Result<(StatusCode, Json<Placed>), Refused> {
    let Json(call) = call.map_err(|error| Refused(error.status(), error.body_text()))?;
    let call_id = Box::pin(appliance.place(call)).await?;
    Ok((StatusCode::ACCEPTED, Json(Placed { call_id })))
}

fn bad_request(reason: &str) -> Refused {
    Refused(StatusCode::BAD_REQUEST, reason.to_owned())
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        let status = match error {
            StoreError::UnknownCall(_) => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

impl From<PlaceError> for Refused {
    fn from(error: PlaceError) -> Self {
        let status = match &error {
            PlaceError::UnknownWorkflow { .. } | PlaceError::Gateway(GatewayError::NoTrunk(_)) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            PlaceError::Gateway(GatewayError::AtCapacity(_) | GatewayError::Draining) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            PlaceError::Gateway(GatewayError::Unreachable { .. }) => StatusCode::BAD_GATEWAY,
            PlaceError::Gateway(_) | PlaceError::Random => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}
