//! The one shape of every error.

use serde::{Deserialize, Serialize};

/// What stands in the body of an answer that is not 2xx, and in the last event of a stream that
/// breaks off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErrorBody {
    pub(crate) error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErrorDetail {
    /// In words.
    #[serde(default)]
    pub(crate) message: String,
    /// The class of the error, e.g. `invalid_request_error`.
    #[serde(rename = "type", default)]
    pub(crate) kind: Option<String>,
    /// The parameter that is at fault.
    #[serde(default)]
    pub(crate) param: Option<String>,
    /// For programs, e.g. `model_not_found`. Some servers put a number here.
    #[serde(default)]
    pub(crate) code: Option<serde_json::Value>,
}
