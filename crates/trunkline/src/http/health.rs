//! What works, what does not, and what to do about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use trunkline_gateway::RegistrationState;

use crate::serve::Appliance;

/// The health page.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    status: Status,
    version: &'static str,
    uptime_s: u64,
    calls: usize,
    parts: BTreeMap<&'static str, Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    /// Calls are taken, but something wants mending.
    Degraded,
    Draining,
    Failed,
}

/// One part of the appliance.
#[derive(Debug, Serialize)]
struct Part {
    state: PartState,
    /// What there is to know.
    detail: String,
    /// What to do about it, where there is something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum PartState {
    Ok,
    Off,
    Degraded,
    Failed,
}

impl Part {
    fn ok(detail: String) -> Self {
        Self {
            state: PartState::Ok,
            detail,
            mend: None,
        }
    }
}

/// `GET /health`: 200 while calls can be taken or run, 503 when a part has failed.
pub(super) async fn health(State(appliance): State<Arc<Appliance>>) -> (StatusCode, Json<Health>) {
    let parts = BTreeMap::from([
        ("models", Part::ok(appliance.models_in_words())),
        ("recording", recording(&appliance)),
        ("sip", sip(&appliance)),
        ("store", store(&appliance).await),
        ("workflows", Part::ok(appliance.about.workflow_names())),
    ]);
    let any = |state| parts.values().any(|part| part.state == state);
    let (status, code) = if any(PartState::Failed) {
        (Status::Failed, StatusCode::SERVICE_UNAVAILABLE)
    } else if appliance.is_draining() {
        (Status::Draining, StatusCode::OK)
    } else if any(PartState::Degraded) {
        (Status::Degraded, StatusCode::OK)
    } else {
        (Status::Ok, StatusCode::OK)
    };
    let health = Health {
        status,
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: appliance.about.started.elapsed().as_secs(),
        calls: appliance.agent.running(),
        parts,
    };
    (code, Json(health))
}

/// `GET /health/ready`: 200 when a new call would be taken.
pub(super) async fn ready(State(appliance): State<Arc<Appliance>>) -> (StatusCode, &'static str) {
    if appliance.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    if store(&appliance).await.state == PartState::Failed {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "the database does not answer\n",
        );
    }
    (StatusCode::OK, "ready\n")
}

async fn store(appliance: &Appliance) -> Part {
    let shown = appliance.about.database.display();
    match appliance.store.ping().await {
        Ok(()) => Part::ok(shown.to_string()),
        Err(error) => Part {
            state: PartState::Failed,
            detail: error.to_string(),
            mend: Some(format!(
                "look whether the disk of {shown} is full or read-only"
            )),
        },
    }
}

fn recording(appliance: &Appliance) -> Part {
    match &appliance.about.recordings {
        Some(dir) => Part::ok(dir.display().to_string()),
        None => Part {
            state: PartState::Off,
            detail: "calls are not recorded".to_owned(),
            mend: Some("set recording.enabled = true to keep them".to_owned()),
        },
    }
}

fn sip(appliance: &Appliance) -> Part {
    let mut detail = format!(
        "{}; {} of {} calls",
        appliance.about.listeners,
        appliance.gateway.active_calls(),
        appliance.about.max_calls
    );
    let mut failed = Vec::new();
    for (trunk, state) in appliance.gateway.registrations() {
        if let RegistrationState::Failed { reason } = state {
            detail.push_str(&format!("; trunk {trunk} is not registered: {reason}"));
            failed.push(trunk);
        }
    }
    if failed.is_empty() {
        return Part::ok(detail);
    }
    Part {
        state: PartState::Degraded,
        detail,
        mend: Some(format!(
            "look at the registrar, the user name and the password of {}; it is tried again by itself",
            failed.join(", ")
        )),
    }
}
