//! What the appliance keeps of its calls: the database, and the recordings beside it.
//!
//! One [`Store`] is one SQLite file in WAL mode. The SQL stays in what SQLite and PostgreSQL
//! have in common. The recordings are plain WAV files that grow while a call runs
//! ([`recordings`]); the database knows their paths only. This crate decides nothing about
//! calls: it writes down what it is told, and at start-up ends the calls that a crash left open.
#![forbid(unsafe_code)]

mod calls;
mod error;
mod events;
mod export;
pub mod recordings;
mod recovery;
mod rows;
mod store;
mod transcript;
mod turns;

pub use calls::{CallEnd, CallRecord, NewCall};
pub use error::StoreError;
pub use events::EventRow;
pub use export::Exported;
pub use recordings::{CallRecording, FinishedRecording, Recorder, RecordingWriter};
pub use recovery::{RecoveredCall, Recovery};
pub use store::Store;
pub use transcript::TranscriptLine;
pub use turns::TurnRecord;

#[cfg(test)]
mod tests;
