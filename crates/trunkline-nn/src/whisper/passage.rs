//! What was heard in one window, and in all windows of an utterance together.

use std::time::Duration;

use super::alignment::{self, Word};
use super::guards::compression_ratio;
use super::row::Row;
use super::slots::Slots;
use super::{SAMPLE_RATE_HZ, Whisper};
use crate::NnError;

/// What one time mark stands for.
const MARK: Duration = Duration::from_millis(20);

/// What was heard in one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Passage {
    /// Text, trimmed. Empty when nobody spoke.
    pub text: String,
    /// Its tokens, time marks included, without prompt and end.
    pub tokens: Vec<u32>,
    /// Sum of the natural log-probabilities of the tokens and the end.
    pub log_prob: f32,
    /// Probability that there was no speech, 0 to 1; 0 when the model has no token for that.
    pub no_speech_prob: f32,
    /// Length of the text over its compressed length.
    pub compression_ratio: f32,
    /// The temperature at which it was decoded.
    pub temperature: f32,
    /// Code of the language that was asked for or found; `None` for models of one language.
    pub language: Option<String>,
    /// At least one when there is text; times count from the start of the window.
    pub segments: Vec<Segment>,
}

/// A stretch of speech.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// When it begins.
    pub start: Duration,
    /// When it ends.
    pub end: Duration,
    /// Text, trimmed.
    pub text: String,
    /// Its tokens, time marks included.
    pub tokens: Vec<u32>,
    /// Its words, if they were asked for.
    pub words: Vec<Word>,
}

/// What was heard in an utterance.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Transcription {
    /// Text, trimmed. Empty when nobody spoke.
    pub text: String,
    /// Its tokens, without prompts and ends.
    pub tokens: Vec<u32>,
    /// Mean natural log-probability per token, ends included; nearer to 0 is surer.
    pub mean_log_prob: f32,
    /// Probability that there was no speech in any window, 0 to 1.
    pub no_speech_prob: f32,
    /// Code of the language of the first window with text.
    pub language: Option<String>,
    /// Segments of all windows, with times from the start of the audio.
    pub segments: Vec<PassageSegment>,
}

/// A segment with what is known of the window that it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct PassageSegment {
    /// The segment.
    pub segment: Segment,
    /// Mean log-probability per token of its window.
    pub mean_log_prob: f32,
    /// Of its window.
    pub no_speech_prob: f32,
    /// Of its window.
    pub compression_ratio: f32,
    /// Of its window.
    pub temperature: f32,
}

impl Transcription {
    /// Joins what was heard in the windows of one utterance, in order, each with the samples of
    /// audio in it.
    pub fn join(passages: impl IntoIterator<Item = (Passage, usize)>) -> Self {
        let mut whole = Self {
            no_speech_prob: 1.0,
            ..Self::default()
        };
        let (mut log_prob, mut steps, mut samples) = (0.0, 0, 0);
        for (passage, length) in passages {
            log_prob += passage.log_prob;
            steps += passage.tokens.len() + 1;
            whole.no_speech_prob = whole.no_speech_prob.min(passage.no_speech_prob);
            if !passage.text.is_empty() {
                if !whole.text.is_empty() {
                    whole.text.push(' ');
                }
                whole.text.push_str(&passage.text);
                whole.language = whole.language.or_else(|| passage.language.clone());
            }
            whole.tokens.extend(&passage.tokens);
            let offset = duration(samples);
            let segments = passage.segments.iter().map(|segment| PassageSegment {
                segment: segment.later(offset),
                mean_log_prob: passage.mean_log_prob(),
                no_speech_prob: passage.no_speech_prob,
                compression_ratio: passage.compression_ratio,
                temperature: passage.temperature,
            });
            whole.segments.extend(segments);
            samples += length;
        }
        whole.mean_log_prob = log_prob / steps.max(1) as f32;
        whole
    }
}

impl Passage {
    /// Mean natural log-probability per token, the end included.
    pub fn mean_log_prob(&self) -> f32 {
        self.log_prob / (self.tokens.len() + 1) as f32
    }
}

impl Segment {
    fn later(&self, by: Duration) -> Self {
        let mut segment = self.clone();
        segment.start += by;
        segment.end += by;
        for word in &mut segment.words {
            word.start += by;
            word.end += by;
        }
        segment
    }
}

impl Whisper {
    /// The result of a row whose text is complete.
    pub(super) fn passage(
        &self,
        slots: &mut Slots,
        slot: usize,
        row: &mut Row,
    ) -> Result<Passage, NnError> {
        let said = row.said();
        let text = self.vocabulary.text(&said.tokens)?;
        let words = if row.options.words && !text.is_empty() {
            alignment::words(self, slots, slot, row, &said)?
        } else {
            Vec::new()
        };
        let language = row
            .language
            .and_then(|id| self.vocabulary.language_code(id));
        Ok(Passage {
            segments: self.segments(&said.tokens, words, row.audio())?,
            compression_ratio: compression_ratio(&text),
            text,
            log_prob: said.log_prob,
            no_speech_prob: row.no_speech_prob(),
            temperature: said.temperature,
            language: language.map(str::to_owned),
            tokens: said.tokens,
        })
    }

    /// Cuts a text at its time marks; without any it is one segment.
    fn segments(
        &self,
        tokens: &[u32],
        words: Vec<(usize, Word)>,
        audio: Duration,
    ) -> Result<Vec<Segment>, NnError> {
        let marks = &self.vocabulary.rules.marks;
        let mut words = words.into_iter().peekable();
        let mut segments = Vec::new();
        let (mut first, mut last) = (0, Duration::ZERO);
        while first < tokens.len() {
            let rest = &tokens[first..];
            let opened = rest
                .iter()
                .take_while(|token| marks.contains(token))
                .count();
            let text = rest[opened..]
                .iter()
                .take_while(|token| !marks.contains(token))
                .count();
            let closed = usize::from(rest.len() > opened + text);
            let own = &rest[..opened + text + closed];
            let at = |token: &u32| MARK * (token - marks.start);
            let start = own[..opened].last().map_or(last, at);
            let end = own[opened + text..].first().map_or(audio, at);
            first += own.len();
            last = end;
            let mut segment = Segment {
                start,
                end: end.max(start),
                text: self.vocabulary.text(own)?,
                tokens: own.to_vec(),
                words: Vec::new(),
            };
            while let Some((_, word)) = words.next_if(|(token, _)| *token < first) {
                segment.words.push(word);
            }
            if !segment.text.is_empty() {
                segments.push(segment);
            }
        }
        Ok(segments)
    }
}

pub(super) fn duration(samples: usize) -> Duration {
    Duration::from_micros(samples as u64 * 1_000_000 / SAMPLE_RATE_HZ as u64)
}
