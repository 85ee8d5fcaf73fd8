//! The seam between a call and the models: three traits, and [`Embedder`] beside them, their requests and their streams.
//!
//! A model may run in this process, in another one behind a unix socket, or behind any
//! OpenAI-compatible endpoint; the agent cannot tell. Whoever implements a trait owns the
//! batching; nothing here blocks. Dropping a stream cancels the work behind it.
//!
//! All audio is mono signed 16-bit PCM at [`SAMPLE_RATE_HZ`].
#![forbid(unsafe_code)]

mod anticipation;
mod chat;
mod clause;
mod constraint;
mod embedding;
mod error;
mod load;
mod speech;
#[cfg(test)]
mod tests;
mod transcript;
mod urgency;

pub use anticipation::{AnticipatedTokens, Anticipation, NoAnticipation, PendingAnticipated};
pub use chat::{
    ChatCapabilities, ChatDelta, ChatMessage, ChatModel, ChatRequest, ChatRole, ChatStream,
    ChoiceRequest, ChoiceResult, FinishReason, PendingChoice, Sampling,
};
pub use clause::{ClauseCutter, split_into_clauses};
pub use constraint::{Constraint, LogProb, TokenLogProb, Tool, ToolCall};
pub use embedding::{EmbedRequest, Embedder, Embeddings, PendingEmbeddings};
pub use error::InferenceError;
pub use load::ModelLoad;
pub use speech::{SpeechEvent, SpeechRequest, SpeechStream, Synthesizer};
pub use transcript::{
    TranscribeOptions, Transcriber, TranscriberCapabilities, TranscriberInput, TranscriptDetail,
    TranscriptEvent, TranscriptSegment, TranscriptWord, TranscriptionSession,
};
pub use urgency::{Tenant, Urgency};

/// The rate of all audio that crosses this seam.
pub const SAMPLE_RATE_HZ: u32 = 16_000;

/// What serves a task, for logs, reports and the call's event log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ModelInfo {
    /// The catalog name, e.g. `whisper-starter`.
    pub name: String,
    /// The part that runs it, e.g. `candle-cpu`, `flite`.
    pub engine: String,
}
