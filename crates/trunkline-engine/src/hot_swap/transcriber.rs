//! The place of a recogniser.

use std::any::Any;
use std::sync::Arc;

use trunkline_inference::{
    InferenceError, ModelInfo, TranscribeOptions, Transcriber, TranscriberCapabilities,
    TranscriptionSession,
};

use super::{Exchangeable, Exchanged, Find, MemoryBudget, Place};
use crate::{EngineError, WhisperTranscriber};

/// A recogniser that can be exchanged while it serves.
#[derive(Debug)]
pub struct HotSwapTranscriber {
    place: Place<WhisperTranscriber>,
}

impl HotSwapTranscriber {
    /// Loads the first model.
    ///
    /// # Errors
    /// What `find` and the loading say, and [`EngineError::NoMemory`].
    pub(crate) fn load(
        name: &str,
        find: Find<WhisperTranscriber>,
        memory: Arc<MemoryBudget>,
    ) -> Result<Self, EngineError> {
        let place = Place::load(name, find, memory)?;
        Ok(Self { place })
    }

    /// As [`super::HotSwapChat::exchange`]. Utterances that are open stay with the model that
    /// they began with.
    ///
    /// # Errors
    /// As [`super::HotSwapChat::exchange`].
    pub fn exchange(&self, with: Option<&str>) -> Result<Exchanged, EngineError> {
        // A recogniser computes once while it is loaded.
        self.place.exchange(with, |_, _| Ok(()))
    }
}

impl Exchangeable for WhisperTranscriber {
    fn retire(&self) {
        self.finish();
    }

    fn alive(&self) -> Arc<dyn Any + Send + Sync> {
        self.worker()
    }
}

impl Transcriber for HotSwapTranscriber {
    fn info(&self) -> ModelInfo {
        let seat = self.place.seat();
        ModelInfo {
            name: self.place.name.clone(),
            engine: self.place.engine(&seat, seat.serving.info().engine),
        }
    }

    fn capabilities(&self) -> TranscriberCapabilities {
        self.place.seat().serving.capabilities()
    }

    fn open(&self, options: TranscribeOptions) -> Result<TranscriptionSession, InferenceError> {
        self.place.seat().serving.open(options)
    }
}
