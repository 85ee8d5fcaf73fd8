//! One window on its way through the decoder: what it feeds next, what it has said, and when it
//! is done.

use std::time::Duration;

use super::decoder::Feed;
use super::dictionary::Place;
use super::guards::{compression_ratio, repetition, sayable};
use super::options::WhisperOptions;
use super::random::Random;
use super::rules::{Choice, Course, draw, likeliest, log_prob};
use super::vocabulary::Vocabulary;
use crate::NnError;

/// What the first token of a text may still be preceded by: start, language, task, no-time-marks.
const PROMPT: usize = 4;

/// A row of the decoder.
pub(super) struct Row {
    pub(super) options: WhisperOptions,
    /// Everything before the text; without the language while that is unknown.
    pub(super) prompt: Vec<u32>,
    /// Where the start of the transcript stands in it.
    pub(super) start: usize,
    pub(super) language: Option<u32>,
    no_speech_prob: f32,
    /// What is fed in the next step, and after which of it the logits are wanted.
    feed: Vec<u32>,
    wanted: Vec<usize>,
    at_start: bool,
    waits_for_language: bool,
    marks: bool,
    /// How much audio it hears.
    seconds: f32,
    /// The longest text.
    limit: usize,
    attempt: usize,
    said: Said,
    best: Option<Said>,
    random: Random,
}

/// A text as it came.
#[derive(Debug, Clone, Default)]
pub(super) struct Said {
    pub(super) tokens: Vec<u32>,
    /// Natural logarithm of each token's probability.
    pub(super) log_probs: Vec<f32>,
    /// Sum over the tokens and the end.
    pub(super) log_prob: f32,
    pub(super) temperature: f32,
    place: Place,
}

impl Said {
    /// Mean natural log-probability per token, the end included.
    pub(super) fn mean_log_prob(&self) -> f32 {
        self.log_prob / (self.tokens.len() + 1) as f32
    }
}

/// What a row wants after a step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another step.
    Step,
    /// Another step, from the end of the prompt.
    Again,
    /// Nothing; its text is complete.
    Done,
}

impl Row {
    /// `seconds` is how much audio it hears, `positions` the longest text with its prompt.
    pub(super) fn new(
        vocabulary: &Vocabulary,
        options: WhisperOptions,
        seconds: f32,
        positions: usize,
    ) -> Result<Self, NnError> {
        let marks = options.time_marks && vocabulary.has_marks();
        let asked = vocabulary.asked_language(options.language.as_deref())?;
        let mut prompt = match &options.prompt {
            Some(text) => vocabulary.previous(text, (positions / 2).saturating_sub(1))?,
            None => Vec::new(),
        };
        let start = prompt.len();
        prompt.push(vocabulary.start());
        let waits_for_language = vocabulary.is_multilingual() && asked.is_none();
        if !waits_for_language {
            prompt.extend(asked);
            prompt.extend(vocabulary.task(marks));
        }
        let room = positions.saturating_sub(start + PROMPT + 1);
        let mut row = Self {
            feed: prompt.clone(),
            wanted: vec![start],
            prompt,
            start,
            language: asked,
            no_speech_prob: 0.0,
            at_start: true,
            waits_for_language,
            marks,
            seconds,
            limit: options.exact_tokens.unwrap_or(sayable(seconds)).min(room),
            attempt: 0,
            said: Said::default(),
            best: None,
            random: Random::new(options.seed),
            options,
        };
        if !waits_for_language {
            row.wanted.push(row.prompt.len() - 1);
        }
        row.wanted.dedup();
        row.said.temperature = row.temperature().unwrap_or(0.0);
        Ok(row)
    }

    /// What it says in the next step.
    pub(super) fn feed(&self, slot: usize) -> Feed<'_> {
        Feed {
            slot,
            tokens: &self.feed,
            wanted: &self.wanted,
        }
    }

    /// How many rows of logits it takes after a step.
    pub(super) fn wants(&self) -> usize {
        self.wanted.len()
    }

    /// Takes the logits that it wanted.
    pub(super) fn take(
        &mut self,
        vocabulary: &Vocabulary,
        logits: &mut [Vec<f32>],
    ) -> Result<Next, NnError> {
        if let [first, ..] = logits
            && std::mem::take(&mut self.at_start)
        {
            self.hear_start(vocabulary, first);
            if self.waits_for_language {
                self.waits_for_language = false;
                return Ok(Next::Step);
            }
        }
        let Some(logits) = logits.last_mut() else {
            return Ok(Next::Done);
        };
        let is_over = self.say(vocabulary, logits);
        if !is_over {
            self.feed.clear();
            self.feed.extend(self.said.tokens.last());
            self.wanted = vec![0];
            return Ok(Next::Step);
        }
        self.judge(vocabulary)
    }

    /// Learns from what follows the start: whether there is speech, and its language.
    fn hear_start(&mut self, vocabulary: &Vocabulary, logits: &[f32]) {
        self.no_speech_prob = vocabulary
            .no_speech
            .map_or(0.0, |id| log_prob(logits, id).exp());
        if self.waits_for_language {
            self.language = vocabulary.heard_language(logits);
            self.feed = self.language.into_iter().collect();
            self.feed.extend(vocabulary.task(self.marks));
            self.prompt.extend(&self.feed);
            self.wanted = vec![self.feed.len() - 1];
        }
    }

    /// Chooses the next token; whether the text is over.
    fn say(&mut self, vocabulary: &Vocabulary, logits: &mut [f32]) -> bool {
        let rules = &vocabulary.rules;
        let exact = self.options.exact_tokens.is_some();
        let course = Course {
            said: &self.said.tokens,
            marks: self.marks,
            must_go_on: exact,
        };
        rules.apply(logits, course);
        let dictionary = self.options.dictionary.as_deref();
        let bonuses = dictionary.map_or(Vec::new(), |phrases| phrases.bonuses(&self.said.place));
        let Choice { token, log_prob } = if self.said.temperature > 0.0 {
            draw(logits, &bonuses, self.said.temperature, &mut self.random)
        } else {
            likeliest(logits, &bonuses)
        };
        self.said.log_prob += log_prob;
        if token == vocabulary.end {
            return true;
        }
        if let Some(dictionary) = dictionary {
            dictionary.follow(&mut self.said.place, token);
        }
        self.said.tokens.push(token);
        self.said.log_probs.push(log_prob);
        if !exact && let Some(keep) = repetition(&self.said.tokens) {
            self.said.tokens.truncate(keep);
            self.said.log_probs.truncate(keep);
            self.said.log_prob = f32::NEG_INFINITY;
            return true;
        }
        self.said.tokens.len() >= self.limit
    }

    /// Whether the text is to be believed, and if not, whether there is another attempt.
    fn judge(&mut self, vocabulary: &Vocabulary) -> Result<Next, NnError> {
        let guards = &self.options.guards;
        let is_silence = self.no_speech_prob > guards.max_no_speech_prob;
        let is_guess = self.said.mean_log_prob() < guards.min_mean_log_prob;
        if self.attempt + 1 < guards.temperatures.len() {
            let text = vocabulary.text(&self.said.tokens)?;
            let loops = compression_ratio(&text) > guards.max_compression_ratio
                || self.said.log_prob == f32::NEG_INFINITY;
            if (loops || is_guess) && !(is_guess && is_silence) {
                self.attempt += 1;
                let said = Said {
                    temperature: self.temperature().unwrap_or(0.0),
                    ..Said::default()
                };
                let failed = std::mem::replace(&mut self.said, said);
                self.keep(failed);
                self.feed.clear();
                self.feed.extend(self.prompt.last());
                self.wanted = vec![0];
                return Ok(Next::Again);
            }
        }
        Ok(Next::Done)
    }

    /// Keeps the likeliest of the attempts that failed.
    fn keep(&mut self, failed: Said) {
        let better = |best: &Said| failed.mean_log_prob() > best.mean_log_prob();
        if self.best.as_ref().is_none_or(better) {
            self.best = Some(failed);
        }
    }

    fn temperature(&self) -> Option<f32> {
        self.options.guards.temperatures.get(self.attempt).copied()
    }

    /// How much of the slot to keep for another attempt.
    pub(super) fn kept(&self) -> usize {
        self.prompt.len() - 1
    }

    pub(super) fn audio(&self) -> Duration {
        Duration::from_secs_f32(self.seconds)
    }

    pub(super) fn no_speech_prob(&self) -> f32 {
        self.no_speech_prob
    }

    /// The text, once it is complete. What guesses at silence is no text.
    pub(super) fn said(&mut self) -> Said {
        let guards = &self.options.guards;
        let mut said = std::mem::take(&mut self.said);
        let is_guess = |said: &Said| said.mean_log_prob() < guards.min_mean_log_prob;
        if is_guess(&said)
            && let Some(best) = self.best.take()
            && best.mean_log_prob() > said.mean_log_prob()
        {
            said = best;
        }
        if self.options.exact_tokens.is_none()
            && is_guess(&said)
            && self.no_speech_prob > guards.max_no_speech_prob
        {
            said.tokens.clear();
            said.log_probs.clear();
        }
        // A loop that was cut: what is left of it is not worth less than a guess.
        if said.log_prob == f32::NEG_INFINITY {
            said.log_prob = said.log_probs.iter().sum();
        }
        said
    }
}
