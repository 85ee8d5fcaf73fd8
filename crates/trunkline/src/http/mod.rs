//! The operations page on loopback: health, metrics, the live feed, and calls.
//!
//! There is no authentication yet, so it listens on loopback only (the configuration sees to
//! that) and answers only requests that name this machine as their host: a web page that some
//! browser here has open must not reach it under a name of its own.

mod calls;
mod events;
mod health;
mod models;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use metrics::{counter, gauge};
use serde::{Deserialize, Serialize};
use trunkline_gateway::RegistrationState;
use trunkline_openai::server::is_this_machine;
use trunkline_telemetry::names;
use trunkline_types::{CallId, DialledNumber};

pub(crate) use models::{ReloadModel, ReloadedModel};

use crate::serve::Appliance;

/// Asks for a call to be placed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlaceCall {
    /// Whom to call.
    pub(crate) to: DialledNumber,
    /// By which trunk; the first that can place calls when absent.
    #[serde(default)]
    pub(crate) trunk: Option<String>,
    /// The workflow that speaks; the starter workflow when absent.
    #[serde(default)]
    pub(crate) workflow: Option<String>,
}

/// The call that was asked for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Placed {
    /// Its id.
    pub(crate) call_id: CallId,
}

/// The body of every refusal.
#[derive(Debug, Serialize)]
struct Refusal {
    error: String,
}

/// A request that is not served, with the reason in words.
#[derive(Debug)]
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(Refusal { error: self.1 })).into_response()
    }
}

/// All pages.
pub(crate) fn router(appliance: Arc<Appliance>) -> Router {
    Router::new()
        .route("/health", get(health::health))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(figures))
        .route("/v1/events", get(events::events))
        .route("/v1/calls", get(calls::list).post(calls::place))
        .route("/v1/calls/{id}", get(calls::one))
        .route("/v1/models/{name}/reload", post(models::reload))
        .fallback(unknown)
        .layer(middleware::from_fn(only_this_machine))
        .with_state(appliance)
}

async fn figures(State(appliance): State<Arc<Appliance>>) -> impl IntoResponse {
    for (trunk, state) in appliance.gateway.registrations() {
        let stands = matches!(state, RegistrationState::Registered { .. });
        gauge!(names::TRUNK_REGISTERED, names::TRUNK => trunk).set(f64::from(u8::from(stands)));
    }
    let (media, totals) = (&appliance.media, appliance.media.totals());
    gauge!(names::MEDIA_LEGS).set(media.legs() as f64);
    let late = media.take_send_errors().p99.as_secs_f64() * 1000.0;
    gauge!(names::MEDIA_SEND_ERROR_P99_MS).set(late);
    counter!(names::RTP_PACKETS_RECEIVED_TOTAL).absolute(totals.packets_received);
    counter!(names::RTP_PACKETS_SENT_TOTAL).absolute(totals.packets_sent);
    counter!(names::RTP_PACKETS_LOST_TOTAL).absolute(totals.packets_lost);
    counter!(names::MEDIA_TICKS_DROPPED_TOTAL).absolute(totals.events_dropped);
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], appliance.metrics.render())
}

async fn unknown(request: Request) -> Refused {
    let path = request.uri().path();
    Refused(StatusCode::NOT_FOUND, format!("there is no page {path}"))
}

async fn only_this_machine(request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    if is_this_machine(host) {
        return next.run(request).await;
    }
    let reason = format!("{host:?} is not a name of this server; use 127.0.0.1 or localhost");
    Refused(StatusCode::MISDIRECTED_REQUEST, reason).into_response()
}
