//! What the recogniser does next: finals before everything, earliest end first; then the
//! likely ends of utterances, computed ahead; then partials, the longest unheard first, each
//! of all the audio that is there when its turn comes.
//!
//! No threads and no clock here: time is an argument.

use std::collections::BTreeMap;
use std::time::Instant;

use tokio::sync::mpsc;
use trunkline_inference::{InferenceError, TranscribeOptions, TranscriptEvent};
use trunkline_nn::{NnError, Transcription};

use super::utterance::Utterance;
use crate::chat::to_inference_error;

/// Open utterances; more calls than one worker can serve have no use here.
const MAX_OPEN: usize = 256;
/// Two minutes at 16 kHz. A caller's turn is seconds; this bounds memory.
pub(super) const MAX_SAMPLES: usize = 120 * 16_000;

/// One pass of the model.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pass {
    pub(super) id: u64,
    pub(super) pcm: Vec<i16>,
    pub(super) language: Option<String>,
}

/// All open utterances.
#[derive(Debug)]
pub(super) struct Queue {
    model: String,
    open: BTreeMap<u64, Utterance>,
    next_id: u64,
    closed: Option<String>,
}

impl Queue {
    pub(super) fn new(model: &str) -> Self {
        Self {
            model: model.to_owned(),
            open: BTreeMap::new(),
            next_id: 0,
            closed: None,
        }
    }

    pub(super) fn open(
        &mut self,
        options: TranscribeOptions,
        events: mpsc::UnboundedSender<TranscriptEvent>,
    ) -> Result<u64, InferenceError> {
        if let Some(reason) = &self.closed {
            return Err(self.unavailable(reason));
        }
        self.open.retain(|_, utterance| !utterance.is_abandoned());
        if self.open.len() >= MAX_OPEN {
            return Err(InferenceError::Overloaded {
                model: self.model.clone(),
            });
        }
        self.next_id += 1;
        self.open
            .insert(self.next_id, Utterance::new(options, events));
        Ok(self.next_id)
    }

    /// Takes audio. Returns false when the session is over and no more need be sent.
    pub(super) fn push(&mut self, id: u64, pcm: &[i16]) -> bool {
        let Some(utterance) = self.open.get_mut(&id) else {
            return false;
        };
        if utterance.pcm.len() + pcm.len() > MAX_SAMPLES {
            utterance.fail(InferenceError::BadRequest {
                model: self.model.clone(),
                reason: "the utterance is longer than two minutes".to_owned(),
            });
            self.open.remove(&id);
            return false;
        }
        utterance.push(pcm);
        true
    }

    /// No more audio follows. Answers at once when the text is known already.
    pub(super) fn finish(&mut self, id: u64, now: Instant) {
        if let Some(utterance) = self.open.get_mut(&id) {
            utterance.finished = Some(now);
            self.answer_if_known(id, now);
        }
    }

    /// The session was dropped.
    pub(super) fn leave(&mut self, id: u64) {
        self.open.remove(&id);
    }

    /// The next pass, if there is anything to do.
    pub(super) fn next(&mut self) -> Option<Pass> {
        self.open.retain(|_, utterance| !utterance.is_abandoned());
        let ended = self
            .open
            .iter()
            .filter_map(|(id, utterance)| Some((utterance.finished?, *id)))
            .min()
            .map(|(_, id)| id);
        let early = || {
            self.open
                .iter()
                .filter(|(_, utterance)| utterance.wants_early())
                .max_by_key(|(_, utterance)| utterance.silence())
                .map(|(id, _)| *id)
        };
        let partial = || {
            self.open
                .iter()
                .filter(|(_, utterance)| utterance.wants_partial())
                .max_by_key(|(_, utterance)| utterance.unheard())
                .map(|(id, _)| *id)
        };
        let id = ended.or_else(early).or_else(partial)?;
        let utterance = self.open.get(&id)?;
        Some(Pass {
            id,
            pcm: utterance.pcm.clone(),
            language: utterance.options.language.clone(),
        })
    }

    /// Takes the outcome of a pass.
    pub(super) fn complete(
        &mut self,
        pass: &Pass,
        outcome: Result<Transcription, NnError>,
        now: Instant,
    ) {
        let Some(utterance) = self.open.get_mut(&pass.id) else {
            return;
        };
        let is_whole = utterance.finished.is_some() && utterance.pcm.len() == pass.pcm.len();
        match outcome {
            Ok(result) if is_whole => {
                utterance.send(utterance.final_of(&result, now));
                self.open.remove(&pass.id);
            }
            Ok(result) => {
                utterance.hear(pass.pcm.len(), Some(result));
                self.answer_if_known(pass.id, now);
            }
            Err(error) if is_whole => {
                utterance.fail(to_inference_error(&self.model, &error));
                self.open.remove(&pass.id);
            }
            Err(error) => {
                tracing::warn!(model = self.model, %error, "a partial failed");
                utterance.hear(pass.pcm.len(), None);
            }
        }
    }

    fn answer_if_known(&mut self, id: u64, now: Instant) {
        if let Some(utterance) = self.open.get(&id)
            && let Some(event) = utterance.final_without_computing(now)
        {
            utterance.send(event);
            self.open.remove(&id);
        }
    }

    /// The model panicked on this utterance.
    pub(super) fn fail(&mut self, id: u64, reason: &str) {
        if let Some(utterance) = self.open.remove(&id) {
            utterance.fail(self.unavailable(reason));
        }
    }

    /// No more passes will be made: everything open is answered, and everything to come.
    pub(super) fn close(&mut self, reason: &str) {
        for utterance in std::mem::take(&mut self.open).into_values() {
            utterance.fail(self.unavailable(reason));
        }
        self.closed = Some(reason.to_owned());
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    fn unavailable(&self, reason: &str) -> InferenceError {
        InferenceError::Unavailable {
            model: self.model.clone(),
            reason: reason.to_owned(),
        }
    }
}
