//! Texts to vectors.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::{InferenceError, ModelInfo, Urgency};

/// Turns texts into vectors, such that texts of like meaning have a large scalar product.
pub trait Embedder: Send + Sync {
    /// What serves.
    fn info(&self) -> ModelInfo;

    /// Numbers of a vector.
    fn dimensions(&self) -> usize;

    /// Asks for the vectors of some texts.
    ///
    /// # Errors
    /// [`InferenceError::Overloaded`] or [`InferenceError::Unavailable`].
    fn embed(&self, request: EmbedRequest) -> Result<PendingEmbeddings, InferenceError>;
}

/// Asks for vectors.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EmbedRequest {
    /// The texts; each gets a vector of its own.
    pub texts: Vec<String>,
    /// What goes first when there is not room for everything.
    pub urgency: Urgency,
}

/// Vectors on their way. Dropping it cancels the work.
pub type PendingEmbeddings = oneshot::Receiver<Result<Embeddings, InferenceError>>;

/// The vectors of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// One vector of length 1 for each text, in the order of the request.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all texts together.
    pub tokens: usize,
    /// Time the computation took.
    pub compute: Duration,
}
