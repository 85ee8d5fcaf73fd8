//! A request that is not served: a status, and OpenAI's error object that says why.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use trunkline_inference::InferenceError;

use crate::wire::{ErrorBody, ErrorDetail};

/// When a client may try again: work here takes a second, not a minute.
const RETRY_AFTER_S: &str = "1";

/// Why a request is not served.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    status: StatusCode,
    kind: &'static str,
    message: String,
    param: Option<String>,
    code: Option<&'static str>,
}

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, message: String) -> Self {
        Self {
            status,
            kind,
            message,
            param: None,
            code: None,
        }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        let kind = "invalid_request_error";
        Self::new(StatusCode::BAD_REQUEST, kind, message.into())
    }

    pub(super) fn not_found(message: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", message)
    }

    pub(super) fn wrong_method(message: String) -> Self {
        let kind = "invalid_request_error";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, kind, message)
    }

    pub(super) fn too_large(message: String) -> Self {
        let kind = "invalid_request_error";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, kind, message)
    }

    pub(super) fn no_key() -> Self {
        let message = "the key is missing or wrong; send it as `Authorization: Bearer <key>`";
        let kind = "authentication_error";
        Self::new(StatusCode::UNAUTHORIZED, kind, message.to_owned()).code("invalid_api_key")
    }

    pub(super) fn busy(message: String) -> Self {
        let kind = "rate_limit_error";
        Self::new(StatusCode::TOO_MANY_REQUESTS, kind, message).code("rate_limit_exceeded")
    }

    pub(super) fn forbidden(message: &str) -> Self {
        let kind = "permission_error";
        Self::new(StatusCode::FORBIDDEN, kind, message.to_owned())
    }

    pub(super) fn conflict(message: String) -> Self {
        Self::new(StatusCode::CONFLICT, "invalid_request_error", message)
    }

    /// Not for want of time, so that coming back alone does not help.
    pub(super) fn no_room(message: String) -> Self {
        let kind = "insufficient_resources";
        Self::new(StatusCode::INSUFFICIENT_STORAGE, kind, message)
    }

    pub(super) fn misdirected(message: String) -> Self {
        let kind = "invalid_request_error";
        Self::new(StatusCode::MISDIRECTED_REQUEST, kind, message)
    }

    pub(super) fn internal(message: String) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
    }

    /// A model that went away before its answer was complete.
    pub(super) fn gone(model: &str) -> Self {
        InferenceError::Unavailable {
            model: model.to_owned(),
            reason: "it stopped before its answer was complete".to_owned(),
        }
        .into()
    }

    /// The parameter at fault.
    pub(super) fn param(mut self, param: &str) -> Self {
        self.param = Some(param.to_owned());
        self
    }

    /// The code for programs.
    pub(super) fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// The error object.
    pub(super) fn body(&self) -> ErrorBody {
        ErrorBody {
            error: ErrorDetail {
                message: self.message.clone(),
                kind: Some(self.kind.to_owned()),
                param: self.param.clone(),
                code: self.code.map(Into::into),
            },
        }
    }
}

impl From<InferenceError> for Refusal {
    fn from(error: InferenceError) -> Self {
        let message = error.to_string();
        match error {
            InferenceError::Overloaded { .. } => Self::busy(message),
            InferenceError::BadRequest { .. } => Self::bad_request(message),
            InferenceError::Unavailable { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message)
            }
            InferenceError::TimedOut { .. } => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, "server_error", message)
            }
            InferenceError::Failed { model, reason } => {
                // The detail is for whoever runs the machine.
                tracing::error!(model, reason, "a request failed");
                Self::internal(format!("{model} failed; its log says why"))
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let again = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::SERVICE_UNAVAILABLE,
        ];
        if again.contains(&self.status) {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}
