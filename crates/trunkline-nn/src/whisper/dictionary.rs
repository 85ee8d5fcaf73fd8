//! The custom dictionary: phrases that are likelier on this line than in the language.
//!
//! A phrase of several tokens rarely wins token by token, for its beginning is unlikely even
//! where the whole fits. So a row first decodes as ever, and notes where phrases might begin.
//! Then it tries them there, the likeliest first: the phrase is said in one step, the text goes
//! on from it, and the whole is kept if it is likelier than the text without the phrase, counting
//! a bonus for each token of the phrase. A trial ends as soon as it cannot win any more, most
//! after one step. What was not heard costs far more than the bonus.

use std::collections::BTreeMap;

use super::Whisper;
use super::kernels::Summary;
use super::row::Said;
use super::rules::choice;
use crate::NnError;

/// Natural-logarithmic bonus of each token of a phrase.
const BONUS: f32 = 2.0;
/// The first token of a phrase is at least so likely where it is tried.
const MIN_FIRST: f32 = -10.0;
/// Trials of one window at most.
const TRIALS: usize = 16;

/// Phrases ready for one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Dictionary {
    /// Tokens of each phrase by the first of them.
    phrases: BTreeMap<u32, Vec<Vec<u32>>>,
}

/// A phrase where it may have been said.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trial {
    /// Index of its first token in the text.
    pub(super) at: usize,
    pub(super) phrase: Vec<u32>,
    /// Log-probability of its first token there.
    first: f32,
}

/// The trials of a row.
#[derive(Debug, Clone, Default)]
pub(super) struct Trials {
    waiting: Vec<Trial>,
    /// Noted in the text that is being decoded.
    found: Vec<Trial>,
    made: usize,
    best: Option<Said>,
}

impl Trial {
    pub(super) fn bonus(&self) -> f32 {
        BONUS * self.phrase.len() as f32
    }
}

impl Dictionary {
    pub(super) fn new(phrases: impl IntoIterator<Item = Vec<u32>>) -> Self {
        let mut by_first: BTreeMap<u32, Vec<Vec<u32>>> = BTreeMap::new();
        for phrase in phrases {
            if let Some(first) = phrase.first() {
                let same = by_first.entry(*first).or_default();
                if !same.contains(&phrase) {
                    same.push(phrase);
                }
            }
        }
        Self { phrases: by_first }
    }
}

impl Trials {
    /// Notes which phrases may begin where the next token is the `at`-th of the text.
    pub(super) fn note(
        &mut self,
        dictionary: &Dictionary,
        at: usize,
        logits: &[f32],
        summary: Summary,
    ) {
        for (token, phrases) in &dictionary.phrases {
            let first = choice(logits, summary, *token).log_prob;
            if first >= MIN_FIRST {
                self.found.extend(phrases.iter().map(|phrase| Trial {
                    at,
                    phrase: phrase.clone(),
                    first,
                }));
            }
        }
    }

    /// Whether a text that is not complete can still win.
    pub(super) fn can_win(&self, said: &Said) -> bool {
        let best = self.best.as_ref();
        best.is_none_or(|best| said.score() > best.score())
    }

    /// Takes a text that is complete, or has lost. Gives what is to be tried next, with the
    /// text up to it; when nothing is left, the best text. `fits` tells of a token whether a
    /// phrase may take its place: not within a word.
    pub(super) fn next(
        &mut self,
        said: Said,
        is_complete: bool,
        fits: impl Fn(u32) -> bool,
    ) -> Result<(Trial, Said), Said> {
        let found = std::mem::take(&mut self.found);
        let best = match self.best.take() {
            Some(best) if !is_complete || said.score() <= best.score() => best,
            _ => {
                let end = said.phrases.last().map_or(0, |(end, _)| *end);
                self.waiting.retain(|trial| trial.at < end);
                self.waiting.extend(found);
                self.waiting.sort_by(|a, b| a.first.total_cmp(&b.first));
                said
            }
        };
        while self.made < TRIALS
            && let Some(trial) = self.waiting.pop()
        {
            let before = best.before(trial.at);
            let in_place_of = best.tokens.get(trial.at);
            let is_apart = trial.at == 0 || fits(trial.phrase[0]);
            if is_apart
                && in_place_of.is_none_or(|token| trial.at == 0 || fits(*token))
                && before.score() + trial.bonus() + trial.first > best.score()
                && !best.tokens[trial.at..].starts_with(&trial.phrase)
            {
                self.made += 1;
                self.best = Some(best);
                return Ok((trial, before));
            }
        }
        Err(best)
    }
}

impl Whisper {
    /// Makes a dictionary of phrases. Each is looked for as it is written and in lower case,
    /// at the start of a text and within it.
    ///
    /// # Errors
    /// [`NnError::Tokenizer`].
    pub fn dictionary(&self, phrases: &[String]) -> Result<Dictionary, NnError> {
        let mut tokens = Vec::new();
        for phrase in phrases.iter().map(|phrase| phrase.trim()) {
            let lower = phrase.to_lowercase();
            for text in [phrase, lower.as_str()] {
                if !text.is_empty() {
                    tokens.push(self.vocabulary.encode(&format!(" {text}"))?);
                    tokens.push(self.vocabulary.encode(text)?);
                }
            }
        }
        Ok(Dictionary::new(tokens))
    }
}

#[cfg(test)]
mod tests {
    use super::super::kernels::summarize;
    use super::*;

    fn said(tokens: &[u32], log_prob: f32) -> Said {
        Said {
            tokens: tokens.to_vec(),
            log_probs: vec![log_prob; tokens.len()],
            log_prob: log_prob * tokens.len() as f32,
            ..Said::default()
        }
    }

    #[test]
    fn the_likeliest_place_is_tried_first_and_a_better_whole_wins() {
        let dictionary = Dictionary::new([vec![1, 2], vec![3]]);
        let mut trials = Trials::default();
        let logits = [2.0, 1.0, 0.0, -20.0];
        trials.note(&dictionary, 0, &logits, summarize(&logits));
        let logits = [2.0, 1.5, 0.0, -20.0];
        trials.note(&dictionary, 1, &logits, summarize(&logits));
        let (trial, before) = trials.next(said(&[0, 0], -1.0), true, |_| true).unwrap();
        assert_eq!((trial.at, &trial.phrase[..]), (1, &[1, 2][..]));
        assert_eq!(before.tokens, [0]);
        let mut better = said(&[0, 1, 2], -1.0);
        better.phrases.push((3, trial.bonus()));
        assert!(trials.can_win(&better));
        let (trial, before) = trials.next(better.clone(), true, |_| true).unwrap();
        assert_eq!((trial.at, before.tokens.len()), (0, 0));
        let worse = said(&[1, 2], -5.0);
        assert!(!trials.can_win(&worse));
        let best = trials.next(worse, false, |_| true).unwrap_err();
        assert_eq!(best.tokens, better.tokens);
    }

    #[test]
    fn a_phrase_is_not_tried_within_a_word() {
        let dictionary = Dictionary::new([vec![1, 2]]);
        let note = || {
            let mut trials = Trials::default();
            let logits = [0.0, 2.0, 0.0];
            trials.note(&dictionary, 1, &logits, summarize(&logits));
            trials
        };
        let text = said(&[0, 5, 0], -1.0);
        assert!(note().next(text.clone(), true, |token| token != 5).is_err());
        assert!(note().next(text, true, |_| true).is_ok());
    }

    #[test]
    fn a_phrase_that_was_heard_already_is_not_tried() {
        let dictionary = Dictionary::new([vec![1, 2]]);
        let mut trials = Trials::default();
        let logits = [0.0, 2.0, 0.0];
        trials.note(&dictionary, 0, &logits, summarize(&logits));
        let heard = said(&[1, 2, 0], -1.0);
        assert!(trials.next(heard, true, |_| true).is_err());
    }
}
