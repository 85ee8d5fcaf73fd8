//! One open utterance: its audio so far, and what was heard in it.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use trunkline_inference::{
    InferenceError, TranscribeOptions, TranscriptDetail, TranscriptEvent, TranscriptSegment,
    TranscriptWord, Urgency,
};
use trunkline_nn::{PassageSegment, Transcription};

use super::queue::{Kind, Pass};
use super::silence::Levels;
use crate::instant::duration_of;

/// New audio that is worth a new partial: 400 ms.
pub(super) const PARTIAL_EVERY: usize = 6400;
/// Silence after which the utterance may be over, so that its text is computed ahead: 160 ms.
pub(super) const EARLY_AFTER: usize = 2560;
/// Two minutes: a partial hears all of the utterance, which is no turn of a call any more.
const LAST_PARTIAL: usize = 120 * 16_000;

/// What was computed of an utterance, and how much audio it covers.
#[derive(Debug)]
struct Heard {
    samples: usize,
    /// `None` when it failed.
    result: Option<Transcription>,
    /// Whether it has everything that a final must have.
    is_full: bool,
}

/// The pass that is being computed.
#[derive(Debug)]
pub(super) struct UnderWay {
    pub(super) number: u64,
    pub(super) kind: Kind,
    pub(super) samples: usize,
    /// Whether the model works on it already.
    pub(super) has_begun: bool,
}

#[derive(Debug)]
pub(super) struct Utterance {
    pub(super) options: Arc<TranscribeOptions>,
    pub(super) pcm: Vec<i16>,
    levels: Levels,
    events: mpsc::UnboundedSender<TranscriptEvent>,
    /// When the end reached the worker.
    pub(super) finished: Option<Instant>,
    pub(super) under_way: Option<UnderWay>,
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
            options: Arc::new(options),
            pcm: Vec::new(),
            levels: Levels::default(),
            events,
            finished: None,
            under_way: None,
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

    /// Whether so much audio has all the voice, with enough silence after it that no end of a
    /// word can be missing.
    fn covers(&self, samples: usize) -> bool {
        let voice = self.pcm.len() - self.levels.trailing_silence();
        samples == self.pcm.len() || samples >= voice + EARLY_AFTER / 2
    }

    /// Whether all voice is covered by what was computed.
    fn is_covered(&self) -> bool {
        self.heard
            .as_ref()
            .is_some_and(|heard| heard.result.is_some() && self.covers(heard.samples))
    }

    /// Whether what a pass of this kind gives may be the final.
    fn is_full(&self, kind: Kind) -> bool {
        kind != Kind::Partial || (!self.options.words && self.options.phrases.is_empty())
    }

    /// Whether the end has come and nothing under way will answer it.
    pub(super) fn wants_final(&self) -> bool {
        self.finished.is_some()
            && self.under_way.as_ref().is_none_or(|pass| {
                let is_last = pass.kind == Kind::Final;
                let answers = pass.has_begun && self.is_full(pass.kind);
                !(is_last || (answers && self.covers(pass.samples)))
            })
    }

    /// Whether the caller has been silent long enough that the utterance may be over, and its
    /// text is not known.
    pub(super) fn wants_early(&self) -> bool {
        self.may_compute_ahead()
            && self.levels.trailing_silence() >= EARLY_AFTER
            && !(self.is_covered() && self.heard.as_ref().is_some_and(|heard| heard.is_full))
            && !self.tried_everything()
    }

    /// Whether a partial is due.
    pub(super) fn wants_partial(&self) -> bool {
        self.options.partials
            && self.may_compute_ahead()
            && self.unheard() >= PARTIAL_EVERY
            && self.pcm.len() <= LAST_PARTIAL
            && !self.is_covered()
    }

    fn may_compute_ahead(&self) -> bool {
        self.finished.is_none()
            && self.under_way.is_none()
            && self.options.urgency != Urgency::Background
            && self.levels.any_sound()
    }

    /// Whether this is the pass that is under way.
    pub(super) fn expects(&self, number: u64) -> bool {
        self.under_way
            .as_ref()
            .is_some_and(|pass| pass.number == number)
    }

    pub(super) fn begun(&mut self, number: u64) {
        if let Some(pass) = self.under_way.as_mut().filter(|pass| pass.number == number) {
            pass.has_begun = true;
        }
    }

    /// Whether the last attempt, good or not, had as much audio as there is.
    fn tried_everything(&self) -> bool {
        self.heard.is_some() && self.unheard() == 0
    }

    /// Samples of silence at the end.
    pub(super) fn silence(&self) -> usize {
        self.levels.trailing_silence()
    }

    /// Takes what a pass computed; `None` when it failed.
    pub(super) fn hear(&mut self, pass: &Pass, result: Option<Transcription>) {
        self.under_way = None;
        let samples = pass.pcm.len();
        if let Some(result) = result.as_ref().filter(|_| self.finished.is_none())
            && self.options.partials
        {
            let stable_bytes = agreed(&self.partial, &result.text);
            self.partial.clone_from(&result.text);
            self.send(TranscriptEvent::Partial {
                text: result.text.clone(),
                stable_bytes,
                audio: duration_of(samples),
            });
        }
        self.heard = Some(Heard {
            samples,
            result,
            is_full: self.is_full(pass.kind),
        });
    }

    /// The final, when nothing has to be computed for it.
    pub(super) fn final_without_computing(&self, now: Instant) -> Option<TranscriptEvent> {
        self.finished?;
        if !self.levels.any_sound() {
            return Some(self.final_of(&nothing_said(), now));
        }
        let heard = self.heard.as_ref().filter(|heard| heard.is_full)?;
        let result = heard.result.as_ref()?;
        self.is_covered().then(|| self.final_of(result, now))
    }

    fn final_of(&self, result: &Transcription, now: Instant) -> TranscriptEvent {
        let since = self.finished.unwrap_or(now);
        TranscriptEvent::Final {
            text: result.text.clone(),
            mean_log_prob: result.mean_log_prob,
            no_speech_prob: result.no_speech_prob,
            audio: duration_of(self.pcm.len()),
            compute: now.saturating_duration_since(since),
            detail: TranscriptDetail {
                language: result.language.clone(),
                segments: result.segments.iter().map(segment).collect(),
            },
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
        no_speech_prob: 1.0,
        ..Transcription::default()
    }
}

fn segment(heard: &PassageSegment) -> TranscriptSegment {
    let segment = &heard.segment;
    let words = segment.words.iter().map(|word| TranscriptWord {
        start: word.start,
        end: word.end,
        text: word.text.clone(),
        probability: word.probability,
    });
    TranscriptSegment {
        start: segment.start,
        end: segment.end,
        text: segment.text.clone(),
        tokens: segment.tokens.clone(),
        temperature: heard.temperature,
        mean_log_prob: heard.mean_log_prob,
        compression_ratio: heard.compression_ratio,
        no_speech_prob: heard.no_speech_prob,
        words: words.collect(),
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
