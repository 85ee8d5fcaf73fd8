//! What the worker needs of a recogniser, and how `trunkline-nn` gives it.

use std::path::Path;

use trunkline_nn::{Guards, NnError, Transcription, Whisper, WhisperOptions};

/// A recogniser on one thread.
pub(super) trait RecogniserNetwork: Send {
    /// The text of one utterance, mono at 16 kHz.
    fn transcribe(&mut self, pcm: &[i16], language: Option<&str>)
    -> Result<Transcription, NnError>;
}

/// Whisper of any size.
pub(super) struct WhisperNetwork {
    model: Whisper,
    scratch: Vec<f32>,
}

impl WhisperNetwork {
    pub(super) fn load(folder: &Path) -> Result<Self, NnError> {
        Ok(Self {
            model: Whisper::load(folder, &trunkline_nn::cpu())?,
            scratch: Vec::new(),
        })
    }
}

impl RecogniserNetwork for WhisperNetwork {
    fn transcribe(
        &mut self,
        pcm: &[i16],
        language: Option<&str>,
    ) -> Result<Transcription, NnError> {
        self.scratch.clear();
        self.scratch
            .extend(pcm.iter().map(|sample| f32::from(*sample) / 32_768.0));
        let options = WhisperOptions {
            language: language.map(str::to_owned),
            guards: Guards::once(),
            ..WhisperOptions::default()
        };
        self.model.transcribe(&self.scratch, &options)
    }
}
