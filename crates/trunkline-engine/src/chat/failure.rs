//! What a failure is to whoever asked.

use std::error::Error;

use trunkline_inference::InferenceError;
use trunkline_nn::NnError;
use trunkline_scheduler::SchedulerError;

/// Tells requests that cannot be served from computations that failed.
pub(crate) fn to_inference_error(model: &str, error: &NnError) -> InferenceError {
    let (model, reason) = (model.to_owned(), in_full(error));
    match error {
        NnError::PromptTooLong { .. }
        | NnError::NoOptions
        | NnError::Constraint(_)
        | NnError::UnknownLanguage { .. }
        | NnError::Template(_) => InferenceError::BadRequest { model, reason },
        _ => InferenceError::Failed { model, reason },
    }
}

/// Why a row was not admitted.
pub(super) fn refusal(model: &str, error: &SchedulerError) -> InferenceError {
    let (model, reason) = (model.to_owned(), error.to_string());
    match error {
        SchedulerError::Overloaded { .. } => InferenceError::Overloaded { model },
        SchedulerError::TooLong { .. } | SchedulerError::EmptyPrompt => {
            InferenceError::BadRequest { model, reason }
        }
        _ => InferenceError::Failed { model, reason },
    }
}

/// An error with its causes.
pub(crate) fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
