//! What can go wrong behind a trait.

/// Why a model gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InferenceError {
    /// The worker has no room; trying later may work.
    #[error("{model} is at capacity")]
    Overloaded {
        /// Catalog name.
        model: String,
    },
    /// The request cannot be served as it stands, e.g. it exceeds the context.
    #[error("{model} cannot serve this request: {reason}")]
    BadRequest {
        /// Catalog name.
        model: String,
        /// What is wrong with the request.
        reason: String,
    },
    /// The worker or its process is gone.
    #[error("{model} is unavailable: {reason}")]
    Unavailable {
        /// Catalog name.
        model: String,
        /// What happened to it.
        reason: String,
    },
    /// A time budget was used up.
    #[error("{model} took too long: {reason}")]
    TimedOut {
        /// Catalog name.
        model: String,
        /// Which budget.
        reason: String,
    },
    /// The computation itself failed.
    #[error("{model} failed: {reason}")]
    Failed {
        /// Catalog name.
        model: String,
        /// The detail for the log.
        reason: String,
    },
}

impl InferenceError {
    /// Whether the same request may succeed at another time or place.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Overloaded { .. } | Self::Unavailable { .. } | Self::TimedOut { .. } => true,
            Self::BadRequest { .. } | Self::Failed { .. } => false,
        }
    }
}
