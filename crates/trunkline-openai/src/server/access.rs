//! Who may ask, and how many at once. Both are decided before a body is taken in.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use tokio::sync::OwnedSemaphorePermit;

use super::Refusal;

/// What of a body is read for the sake of the answer: more than a conversation has.
const SWALLOWED: usize = 1 << 20;
const SWALLOWING: Duration = Duration::from_secs(10);

/// Requests beyond the limit are told to come back.
pub(super) async fn within_limits(
    State(state): State<Arc<super::State>>,
    request: Request,
    next: Next,
) -> Response {
    let Ok(permit) = Arc::clone(&state.room).try_acquire_owned() else {
        let most = state.limits.requests;
        swallow(request).await;
        return Refusal::busy(format!("{most} requests are being served already")).into_response();
    };
    // The permit goes with the body, since that is where a stream does its work.
    next.run(request).await.map(|body| {
        axum::body::Body::new(Held {
            body,
            _permit: permit,
        })
    })
}

/// A body that holds its place until it is sent or given up.
struct Held {
    body: axum::body::Body,
    _permit: OwnedSemaphorePermit,
}

impl Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Requests without the key are refused, where there is one.
pub(super) async fn with_key(
    State(state): State<Arc<super::State>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(key) = &state.key else {
        return next.run(request).await;
    };
    let shown = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    match shown {
        Some(shown) if is_same(shown, key.expose()) => next.run(request).await,
        _ => {
            swallow(request).await;
            Refusal::no_key().into_response()
        }
    }
}

/// Reads what a client that is refused still sends, and forgets it. If the connection closed over
/// it, the client might never see why: it would find the connection reset.
async fn swallow(request: Request) {
    let mut body = request.into_body();
    let mut left = SWALLOWED;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            left = left.saturating_sub(length);
            if left == 0 {
                break;
            }
        }
    };
    // Whoever sends slowly or without end is refused all the same.
    let _ = tokio::time::timeout(SWALLOWING, reading).await;
}

/// Compares hashes, so that the time it takes says nothing about the key.
fn is_same(shown: &str, key: &str) -> bool {
    Sha256::digest(shown.trim().as_bytes()) == Sha256::digest(key.as_bytes())
}

/// A web page that some browser here has open must not reach a loopback address under a name of
/// its own, so requests over TCP have to name this machine as their host.
pub(super) async fn only_this_machine(request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    if is_this_machine(host) {
        return next.run(request).await;
    }
    let reason = format!("{host:?} is not a name of this server; use 127.0.0.1 or localhost");
    Refusal::misdirected(reason).into_response()
}

/// Whether a Host header names loopback: `localhost`, `127.0.0.1:8089`, `[::1]`.
pub fn is_this_machine(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_this_machine;

    #[test]
    fn only_names_of_loopback_are_served() {
        for host in [
            "localhost",
            "LocalHost:8088",
            "127.0.0.1",
            "127.0.0.2:1",
            "[::1]",
            "[::1]:8088",
        ] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8088",
            "192.0.2.1",
            "localhost.evil.example",
            "0.0.0.0:1",
        ] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
