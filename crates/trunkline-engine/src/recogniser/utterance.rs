//! One open utterance: its audio so far, and what was heard in it.

use std::time::Instant;

use tokio::sync::mpsc;
use trunkline_inference::{InferenceError, TranscribeOptions, TranscriptEvent};
use trunkline_nn::Transcription;

use super::silence::Levels;
use crate::instant::duration_of;

/// New audio that is worth a new partial: 400 ms.
pub(super) const PARTIAL_EVERY: usize = 6400;
/// Silence after which the utterance may be over, so that its text is computed ahead: 160 ms.
pub(super) const EARLY_AFTER: usize = 2560;

/// What was computed of an utterance, and how much audio it covers.
#[derive(Debug)]
struct Heard {
    samples: usize,
    result: Option<Transcription>,
}

#[derive(Debug)]
pub(super) struct Utterance {
    pub(super) options: TranscribeOptions,
    pub(super) pcm: Vec<i16>,
    levels: Levels,
    events: mpsc::UnboundedSender<TranscriptEvent>,
    /// When the end reached the worker.
    pub(super) finished: Option<Instant>,
    heard: Option<Heard>,
    /// Text of the last partial.
    partial: String,
}

impl Utterance {
    pub(super) fn new(
        options: TranscribeOptions,
        events: mpsc::UnboundedSender<TranscriptEvent>,
    ) -> Self {
        Self {
            options,
            pcm: Vec::new(),
            levels: Levels::default(),
            events,
            finished: None,
            heard: None,
            partial: String::new(),
        }
    }

    pub(super) fn push(&mut self, pcm: &[i16]) {
        self.levels.push(pcm);
        self.pcm.extend_from_slice(pcm);
    }

    /// Nobody listens any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.events.is_closed()
    }

    /// Samples that nothing computed covers yet.
    pub(super) fn unheard(&self) -> usize {
        self.pcm.len() - self.heard.as_ref().map_or(0, |heard| heard.samples)
    }

    /// Whether all voice is covered, together with enough silence after it that no end of a
    /// word can be missing.
    pub(super) fn is_covered(&self) -> bool {
        let voice = self.pcm.len() - self.levels.trailing_silence();
        self.heard
            .as_ref()
            .is_some_and(|heard| heard.result.is_some() && heard.samples >= voice + EARLY_AFTER / 2)
    }

    /// Whether the caller has been silent long enough that the utterance may be over, and its
    /// text is not known.
    pub(super) fn wants_early(&self) -> bool {
        self.levels.any_sound()
            && self.levels.trailing_silence() >= EARLY_AFTER
            && !self.is_covered()
            && !self.tried_everything()
    }

    /// Whether a partial is due.
    pub(super) fn wants_partial(&self) -> bool {
        self.options.partials
            && self.levels.any_sound()
            && self.unheard() >= PARTIAL_EVERY
            && !self.is_covered()
    }

    /// Whether the last attempt, good or not, had as much audio as there is.
    fn tried_everything(&self) -> bool {
        self.heard.is_some() && self.unheard() == 0
    }

    /// Samples of silence at the end.
    pub(super) fn silence(&self) -> usize {
        self.levels.trailing_silence()
    }

    /// Takes what was computed from the first `samples` samples; `None` when it failed.
    pub(super) fn hear(&mut self, samples: usize, result: Option<Transcription>) {
        self.heard = Some(Heard { samples, result });
        let Some(Heard {
            result: Some(result),
            ..
        }) = &self.heard
        else {
            return;
        };
        if self.finished.is_none() && self.options.partials {
            let stable_bytes = agreed(&self.partial, &result.text);
            self.partial.clone_from(&result.text);
            self.send(TranscriptEvent::Partial {
                text: result.text.clone(),
                stable_bytes,
                audio: duration_of(samples),
            });
        }
    }

    /// The final, when nothing has to be computed for it.
    pub(super) fn final_without_computing(&self, now: Instant) -> Option<TranscriptEvent> {
        self.finished?;
        if !self.levels.any_sound() {
            return Some(self.final_of(&nothing_said(), now));
        }
        let heard = self.heard.as_ref()?.result.as_ref()?;
        self.is_covered().then(|| self.final_of(heard, now))
    }

    pub(super) fn final_of(&self, result: &Transcription, now: Instant) -> TranscriptEvent {
        let since = self.finished.unwrap_or(now);
        TranscriptEvent::Final {
            text: result.text.clone(),
            mean_log_prob: result.mean_log_prob,
            no_speech_prob: result.no_speech_prob,
            language: None,
            segments: Vec::new(),
            audio: duration_of(self.pcm.len()),
            compute: now.saturating_duration_since(since),
        }
    }

    pub(super) fn fail(&self, error: InferenceError) {
        self.send(TranscriptEvent::Failed(error));
    }

    pub(super) fn send(&self, event: TranscriptEvent) {
        // A session that nobody listens to is dropped at the next look.
        let _ = self.events.send(event);
    }
}

fn nothing_said() -> Transcription {
    Transcription {
        text: String::new(),
        tokens: Vec::new(),
        mean_log_prob: 0.0,
        no_speech_prob: 1.0,
    }
}

/// Bytes of whole words that two texts begin with alike.
fn agreed(old: &str, new: &str) -> usize {
    let mut stable = 0;
    let words = old.split_inclusive(' ').zip(new.split_inclusive(' '));
    for (before, after) in words {
        if before.trim_end() != after.trim_end() {
            break;
        }
        stable += after.trim_end().len();
        if before.len() != after.len() {
            break;
        }
        stable += after.len() - after.trim_end().len();
    }
    stable.min(new.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_is_what_two_partials_agree_on_in_whole_words() {
        assert_eq!(agreed("", "i want"), 0);
        assert_eq!(agreed("i want", "i want to"), "i want".len());
        assert_eq!(agreed("i want two", "i want to speak"), "i want ".len());
        assert_eq!(agreed("i want to", "i want to"), "i want to".len());
        assert_eq!(agreed("i wan", "i want"), "i ".len());
    }
}
