//! How an attempt can fail, and what that says about the endpoint.

use std::time::Duration;

use axum::http::StatusCode;

use super::connection::ConnectionError;
use super::rotation::Outcome;

/// Why there is no answer from an endpoint.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It has no room (429); how long to wait, where it says.
    #[error("it is at capacity: {1}")]
    Throttled(Option<Duration>, String),
    /// It does not accept the key (401, 403).
    #[error("the key was refused: {0}")]
    KeyRefused(String),
    /// It cannot be reached, is broken, or answers nonsense.
    #[error("{0}")]
    Broken(String),
    /// A budget was used up.
    #[error("{0} did not come in time")]
    TooLate(String),
    /// The request itself was refused.
    #[error("{1} ({0})")]
    Refused(StatusCode, String),
}

impl Failure {
    /// Whether another endpoint, or the same one later, may answer.
    pub(super) fn is_retryable(&self) -> bool {
        !matches!(self, Self::Refused(..))
    }

    /// What it says about the endpoint.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Throttled(span, _) => Outcome::Throttled(*span),
            Self::KeyRefused(_) => Outcome::KeyRefused,
            Self::Broken(_) | Self::TooLate(_) => Outcome::Broken,
            Self::Refused(..) => Outcome::Answered,
        }
    }

    /// What a status other than 200 means.
    pub(super) fn of_status(
        status: StatusCode,
        retry_after: Option<Duration>,
        message: String,
    ) -> Self {
        match status {
            StatusCode::TOO_MANY_REQUESTS => Self::Throttled(retry_after, message),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::KeyRefused(message),
            StatusCode::REQUEST_TIMEOUT => Self::Broken(format!("{message} ({status})")),
            _ if status.is_client_error() => Self::Refused(status, message),
            // Redirections too: they lead to places that nobody configured.
            _ => Self::Broken(format!("{message} ({status})")),
        }
    }
}

impl From<ConnectionError> for Failure {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::TooSlow(_) => Self::TooLate("a connection".to_owned()),
            other => Self::Broken(other.to_string()),
        }
    }
}
