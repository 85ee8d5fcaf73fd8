//! One window on its way through the decoder: what it feeds next, what it has said, and when it
//! is done.

use std::time::Duration;

use super::decoder::Feed;
use super::dictionary::{Trial, Trials};
use super::guards::{compression_ratio, repetition, sayable};
use super::kernels::summarize;
use super::options::WhisperOptions;
use super::passage::duration;
use super::random::Random;
use super::rules::{Choice, Course, choice, draw, likeliest, log_prob};
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
    /// Samples of audio that it hears.
    samples: usize,
    /// The longest text.
    limit: usize,
    attempt: usize,
    said: Said,
    best: Option<Said>,
    trials: Trials,
    /// The phrase that is being said, until its logits are there.
    trial: Option<Trial>,
    /// How much of the slot to keep for another attempt.
    pub(super) kept: usize,
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
    /// Phrases of the dictionary that were tried and kept: where each ends, and its bonus.
    pub(super) phrases: Vec<(usize, f32)>,
}

impl Said {
    /// Mean natural log-probability per token, the end included.
    pub(super) fn mean_log_prob(&self) -> f32 {
        self.log_prob / (self.tokens.len() + 1) as f32
    }

    /// What texts with and without a phrase are compared by.
    pub(super) fn score(&self) -> f32 {
        self.log_prob + self.phrases.iter().map(|(_, bonus)| bonus).sum::<f32>()
    }

    /// The text before a token.
    pub(super) fn before(&self, token: usize) -> Self {
        let phrases = self.phrases.iter().filter(|(end, _)| *end <= token);
        Self {
            tokens: self.tokens[..token].to_vec(),
            log_probs: self.log_probs[..token].to_vec(),
            log_prob: self.log_probs[..token].iter().sum(),
            temperature: self.temperature,
            phrases: phrases.copied().collect(),
        }
    }

    fn add(&mut self, choice: Choice) {
        self.tokens.push(choice.token);
        self.log_probs.push(choice.log_prob);
        self.log_prob += choice.log_prob;
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
    /// `samples` is how much audio it hears, `positions` the longest text with its prompt.
    pub(super) fn new(
        vocabulary: &Vocabulary,
        options: WhisperOptions,
        samples: usize,
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
            samples,
            limit: options.exact_tokens.unwrap_or(sayable(samples)).min(room),
            attempt: 0,
            said: Said::default(),
            best: None,
            trials: Trials::default(),
            trial: None,
            kept: 0,
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
        let Some((logits, forced)) = logits.split_last_mut() else {
            return Ok(Next::Done);
        };
        if let Some(trial) = self.trial.take() {
            self.force(vocabulary, &trial, forced);
        }
        let has_lost = !self.trials.can_win(&self.said);
        let is_over = has_lost || self.say(vocabulary, logits) || !self.trials.can_win(&self.said);
        if !is_over {
            self.feed.clear();
            self.feed.extend(self.said.tokens.last());
            self.wanted = vec![0];
            return Ok(Next::Step);
        }
        if self.options.dictionary.is_some() && self.said.temperature == 0.0 {
            let is_complete = !has_lost && self.trials.can_win(&self.said);
            let said = std::mem::take(&mut self.said);
            let fits = |token| vocabulary.may_begin_word(token, self.language);
            match self.trials.next(said, is_complete, fits) {
                Ok((trial, before)) => {
                    self.go_on(&before.tokens, &trial.phrase);
                    self.said = before;
                    self.trial = Some(trial);
                    return Ok(Next::Again);
                }
                Err(best) => self.said = best,
            }
        }
        self.judge(vocabulary)
    }

    /// Goes on from `before` with tokens whose logits are all wanted.
    fn go_on(&mut self, before: &[u32], tokens: &[u32]) {
        let last = before.last().or(self.prompt.last());
        self.feed = last.into_iter().chain(tokens).copied().collect();
        self.wanted = (0..self.feed.len()).collect();
        self.kept = self.prompt.len() + before.len() - 1;
    }

    /// Takes the tokens of a phrase as said; `logits` are those before each.
    fn force(&mut self, vocabulary: &Vocabulary, trial: &Trial, logits: &mut [Vec<f32>]) {
        for (token, logits) in trial.phrase.iter().zip(logits) {
            vocabulary.rules.apply(logits, self.course());
            self.said.add(choice(logits, summarize(logits), *token));
        }
        self.said
            .phrases
            .push((self.said.tokens.len(), trial.bonus()));
    }

    fn course(&self) -> Course<'_> {
        Course {
            said: &self.said.tokens,
            marks: self.marks,
            must_go_on: self.options.exact_tokens.is_some(),
        }
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
        vocabulary.rules.apply(logits, self.course());
        let summary = summarize(logits);
        let chosen = if self.said.temperature > 0.0 {
            draw(logits, summary, self.said.temperature, &mut self.random)
        } else {
            if let Some(dictionary) = &self.options.dictionary {
                let at = self.said.tokens.len();
                self.trials.note(dictionary, at, logits, summary);
            }
            likeliest(logits, summary)
        };
        if chosen.token == vocabulary.end {
            self.said.log_prob += chosen.log_prob;
            return true;
        }
        self.said.add(chosen);
        let exact = self.options.exact_tokens.is_some();
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
            let is_worth_it = loops || (is_guess && guards.retries_guesses);
            if is_worth_it && !(is_guess && is_silence) {
                self.attempt += 1;
                let said = Said {
                    temperature: self.temperature().unwrap_or(0.0),
                    ..Said::default()
                };
                let failed = std::mem::replace(&mut self.said, said);
                self.keep(failed);
                self.go_on(&[], &[]);
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

    pub(super) fn audio(&self) -> Duration {
        duration(self.samples)
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
