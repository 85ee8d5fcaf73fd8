//! The live feed, as server-sent events: the log entries of all calls as they happen.
//!
//! A reader that falls behind misses entries and is told so by a `missed` event with their
//! number; the whole log of a call is in the store.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt};
use metrics::gauge;
use serde::Deserialize;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use trunkline_agent::log::LiveEntry;
use trunkline_telemetry::names;
use trunkline_types::CallId;

use super::Refused;
use crate::serve::Appliance;

/// Well under the minute after which idle connections are dropped by what lies between.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[derive(Debug, Deserialize)]
pub(super) struct Filter {
    /// Only this call.
    call: Option<CallId>,
}

/// Counts the readers.
struct Watcher;

impl Watcher {
    fn arrive() -> Self {
        gauge!(names::LIVE_WATCHERS).increment(1.0);
        Self
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        gauge!(names::LIVE_WATCHERS).decrement(1.0);
    }
}

/// `GET /v1/events?call=<id>`. A call that has ended already is refused: nothing would follow.
pub(super) async fn events(
    State(appliance): State<Arc<Appliance>>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refused> {
    let Query(filter) =
        filter.map_err(|error| Refused(StatusCode::BAD_REQUEST, error.body_text()))?;
    if let Some(call) = filter.call
        && let Ok(record) = appliance.store.get_call(call).await
        && record.ended.is_some()
    {
        let reason = format!("the call {call} has ended; see `trunkline calls show {call}`");
        return Err(Refused(StatusCode::GONE, reason));
    }
    let watcher = Watcher::arrive();
    let closing = appliance.closed();
    let entries = BroadcastStream::new(appliance.agent.watch())
        .filter_map(move |entry| {
            let _counted = &watcher;
            std::future::ready(event(entry, filter.call))
        })
        .map(Ok)
        .take_until(closing);
    Ok(Sse::new(entries).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn event(
    entry: Result<Arc<LiveEntry>, BroadcastStreamRecvError>,
    call: Option<CallId>,
) -> Option<Event> {
    match entry {
        Ok(entry) if call.is_none_or(|call| entry.call_id == call) => {
            Event::default().json_data(&*entry).ok()
        }
        Ok(_) => None,
        Err(BroadcastStreamRecvError::Lagged(missed)) => Some(
            Event::default()
                .event("missed")
                .data(format!("{{\"missed\":{missed}}}")),
        ),
    }
}
