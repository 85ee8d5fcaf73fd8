//! Which passes over open utterances are due: finals as soon as an utterance has ended; the
//! likely ends of utterances, computed ahead; partials of all the audio that is there.
//!
//! Nothing is due twice: an utterance has one pass under way at most, and an end replaces one
//! that has not begun. In which order passes run is not decided here but by their classes and
//! deadlines. No threads and no clock: time is an argument.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use trunkline_inference::{InferenceError, TranscribeOptions, TranscriptEvent, Urgency};
use trunkline_nn::{NnError, Transcription};
use trunkline_scheduler::Class;

use super::utterance::{UnderWay, Utterance};
use crate::chat::to_inference_error;

/// Open utterances; more calls than one worker can serve have no use here.
const MAX_OPEN: usize = 256;
/// Half an hour at 16 kHz. A caller's turn is seconds, a recording minutes; this bounds memory.
pub(super) const MAX_SAMPLES: usize = 30 * 60 * 16_000;
/// Audio of all open utterances together, in samples: 230 MB.
const MAX_SAMPLES_IN_ALL: usize = 4 * MAX_SAMPLES;

/// What a pass is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The utterance has ended.
    Final,
    /// It may have ended.
    Early,
    /// The caller is speaking.
    Partial,
}

impl Kind {
    /// How soon after it is due it should be done.
    pub(super) fn patience(self) -> Duration {
        match self {
            Self::Final => Duration::from_millis(300),
            Self::Early => Duration::from_millis(200),
            Self::Partial => Duration::from_millis(800),
        }
    }
}

/// One pass of the model over an utterance.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pass {
    /// Its utterance.
    pub(super) id: u64,
    /// Its own number.
    pub(super) number: u64,
    pub(super) kind: Kind,
    pub(super) pcm: Arc<[i16]>,
    pub(super) options: Arc<TranscribeOptions>,
}

impl Pass {
    /// What waits for it.
    pub(super) fn class(&self) -> Class {
        match self.kind {
            _ if self.options.urgency == Urgency::Background => Class::Background,
            Kind::Final => match self.options.urgency {
                Urgency::TurnCritical => Class::TurnCritical,
                Urgency::Playing => Class::Playing,
                _ => Class::Speculative,
            },
            Kind::Early | Kind::Partial => Class::Speculative,
        }
    }
}

/// All open utterances.
#[derive(Debug)]
pub(super) struct Queue {
    model: String,
    open: BTreeMap<u64, Utterance>,
    next_id: u64,
    next_pass: u64,
    closed: Option<String>,
    /// Closed, but what is open is still served.
    finishing: bool,
}

impl Queue {
    pub(super) fn new(model: &str) -> Self {
        Self {
            model: model.to_owned(),
            open: BTreeMap::new(),
            next_id: 0,
            next_pass: 0,
            closed: None,
            finishing: false,
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
        if self.open.len() >= MAX_OPEN || self.samples() >= MAX_SAMPLES_IN_ALL {
            return Err(self.overloaded());
        }
        self.next_id += 1;
        self.open
            .insert(self.next_id, Utterance::new(options, events));
        Ok(self.next_id)
    }

    fn samples(&self) -> usize {
        self.open
            .values()
            .map(|utterance| utterance.pcm.len())
            .sum()
    }

    /// Takes audio. Returns false when the session is over and no more need be sent.
    pub(super) fn push(&mut self, id: u64, pcm: &[i16]) -> bool {
        let Some(utterance) = self.open.get_mut(&id) else {
            return false;
        };
        if utterance.pcm.len() + pcm.len() > MAX_SAMPLES {
            utterance.fail(InferenceError::BadRequest {
                model: self.model.clone(),
                reason: "the audio is longer than half an hour".to_owned(),
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

    /// A pass that is due; it is under way from now on. Ends come first, the earliest end before
    /// the others; then likely ends; then partials, the longest unheard first.
    pub(super) fn next(&mut self) -> Option<Pass> {
        self.open.retain(|_, utterance| !utterance.is_abandoned());
        let open = || self.open.iter();
        let ended = open()
            .filter(|(_, utterance)| utterance.wants_final())
            .filter_map(|(id, utterance)| Some((utterance.finished?, *id)))
            .min()
            .map(|(_, id)| (id, Kind::Final));
        let early = || {
            open()
                .filter(|(_, utterance)| utterance.wants_early())
                .max_by_key(|(_, utterance)| utterance.silence())
                .map(|(id, _)| (*id, Kind::Early))
        };
        let partial = || {
            open()
                .filter(|(_, utterance)| utterance.wants_partial())
                .max_by_key(|(_, utterance)| utterance.unheard())
                .map(|(id, _)| (*id, Kind::Partial))
        };
        let (id, kind) = ended.or_else(early).or_else(partial)?;
        let utterance = self.open.get_mut(&id)?;
        self.next_pass += 1;
        utterance.under_way = Some(UnderWay {
            number: self.next_pass,
            kind,
            samples: utterance.pcm.len(),
            has_begun: false,
        });
        Some(Pass {
            id,
            number: self.next_pass,
            kind,
            pcm: utterance.pcm.as_slice().into(),
            options: Arc::clone(&utterance.options),
        })
    }

    /// Whether somebody still waits for this pass.
    pub(super) fn wants(&self, pass: &Pass) -> bool {
        self.open
            .get(&pass.id)
            .is_some_and(|utterance| !utterance.is_abandoned() && utterance.expects(pass.number))
    }

    /// The model works on this pass: it is not worth replacing any more.
    pub(super) fn begun(&mut self, pass: &Pass) {
        if let Some(utterance) = self.open.get_mut(&pass.id) {
            utterance.begun(pass.number);
        }
    }

    /// Takes the outcome of a pass.
    pub(super) fn complete(
        &mut self,
        pass: &Pass,
        outcome: Result<Transcription, NnError>,
        now: Instant,
    ) {
        if !self.wants(pass) {
            return;
        }
        let Some(utterance) = self.open.get_mut(&pass.id) else {
            return;
        };
        let has_ended = utterance.finished.is_some() && utterance.pcm.len() == pass.pcm.len();
        match outcome {
            Err(error) if has_ended => {
                utterance.fail(to_inference_error(&self.model, &error));
                self.open.remove(&pass.id);
            }
            Err(error) => {
                tracing::warn!(model = self.model, %error, "a pass failed ahead of the end");
                utterance.hear(pass, None);
            }
            Ok(result) => {
                utterance.hear(pass, Some(result));
                self.answer_if_known(pass.id, now);
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

    /// There was no room for a pass. Only an end is worth telling; what was to be computed ahead
    /// waits for more audio.
    pub(super) fn refuse(&mut self, pass: &Pass) {
        if !self.wants(pass) {
            return;
        }
        let error = self.overloaded();
        if let Some(utterance) = self.open.get_mut(&pass.id) {
            if utterance.finished.is_some() {
                utterance.fail(error);
                self.open.remove(&pass.id);
            } else {
                utterance.hear(pass, None);
            }
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
        self.finishing = false;
    }

    /// Nothing more is taken; what is open is served to its end.
    pub(super) fn finish_all(&mut self, reason: &str) {
        if self.closed.is_none() {
            self.closed = Some(reason.to_owned());
            self.finishing = true;
        }
    }

    /// Whether it was told to finish.
    pub(super) fn is_finishing(&self) -> bool {
        self.finishing
    }

    /// Whether nothing is left to do, and nothing will come.
    pub(super) fn is_closed(&mut self) -> bool {
        if self.finishing {
            self.open.retain(|_, utterance| !utterance.is_abandoned());
        }
        self.closed.is_some() && (!self.finishing || self.open.is_empty())
    }

    fn overloaded(&self) -> InferenceError {
        InferenceError::Overloaded {
            model: self.model.clone(),
        }
    }

    fn unavailable(&self, reason: &str) -> InferenceError {
        InferenceError::Unavailable {
            model: self.model.clone(),
            reason: reason.to_owned(),
        }
    }
}
