//! A choice on its way: the scores of all options after one prompt, or two.

use std::collections::BTreeSet;
use std::time::Instant;

use tokio::sync::oneshot;
use trunkline_inference::{ChoiceResult, InferenceError};
use trunkline_nn::llama::{Choice, Score, log_prob_of};
use trunkline_scheduler::{Class, RowId};

/// One of a choice's two prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// What was said.
    Said,
    /// The same where nothing was said.
    Neutral,
}

pub(super) struct Choosing {
    pub(super) class: Class,
    pub(super) options: Vec<Vec<u32>>,
    /// The neutral prompt, under which its scores are kept.
    pub(super) neutral_prompt: Option<Vec<u32>>,
    /// Rows that compute for it.
    pub(super) rows: BTreeSet<RowId>,
    answer: Option<oneshot::Sender<Result<ChoiceResult, InferenceError>>>,
    begun: Instant,
    said: Option<Scoring>,
    neutral: Option<Scoring>,
}

/// The scores of all options after one prompt.
pub(super) struct Scoring {
    scores: Vec<Score>,
    /// For each option, how many of its tokens are in its score.
    counted: Vec<usize>,
}

impl Scoring {
    pub(super) fn new(options: &[Vec<u32>]) -> Self {
        let none = |option: &Vec<u32>| Score {
            log_prob: 0.0,
            tokens: option.len(),
        };
        Self {
            scores: options.iter().map(none).collect(),
            counted: vec![0; options.len()],
        }
    }

    /// What was computed for the same options earlier.
    pub(super) fn known(scores: Vec<Score>) -> Self {
        Self {
            counted: scores.iter().map(|score| score.tokens).collect(),
            scores,
        }
    }

    /// The logits before the next token of option number `at`.
    pub(super) fn count(&mut self, at: usize, option: &[u32], logits: &[f32]) {
        if let Some(token) = option.get(self.counted[at]) {
            self.scores[at].log_prob += log_prob_of(logits, *token);
            self.counted[at] += 1;
        }
    }

    fn has(&self, at: usize) -> bool {
        self.scores[at].tokens == self.counted[at]
    }

    fn is_complete(&self) -> bool {
        (0..self.scores.len()).all(|at| self.has(at))
    }
}

impl Choosing {
    pub(super) fn new(
        class: Class,
        options: Vec<Vec<u32>>,
        answer: Option<oneshot::Sender<Result<ChoiceResult, InferenceError>>>,
    ) -> Self {
        Self {
            class,
            options,
            neutral_prompt: None,
            rows: BTreeSet::new(),
            answer,
            begun: Instant::now(),
            said: None,
            neutral: None,
        }
    }

    /// Begins one of its sides.
    pub(super) fn begin(&mut self, side: Side, scoring: Scoring) {
        match side {
            Side::Said => self.said = Some(scoring),
            Side::Neutral => self.neutral = Some(scoring),
        }
    }

    /// The logits before the next token of option number `at`.
    pub(super) fn count(&mut self, side: Side, at: usize, logits: &[f32]) {
        let scoring = match side {
            Side::Said => self.said.as_mut(),
            Side::Neutral => self.neutral.as_mut(),
        };
        if let (Some(scoring), Some(option)) = (scoring, self.options.get(at)) {
            scoring.count(at, option, logits);
        }
    }

    /// Whether option number `at` is scored on one side.
    pub(super) fn has_scored(&self, side: Side, at: usize) -> bool {
        let scoring = match side {
            Side::Said => &self.said,
            Side::Neutral => &self.neutral,
        };
        scoring.as_ref().is_none_or(|scoring| scoring.has(at))
    }

    /// Whether nobody listens any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.answer.as_ref().is_some_and(oneshot::Sender::is_closed)
    }

    pub(super) fn is_complete(&self) -> bool {
        let sides = [&self.said, &self.neutral];
        sides.into_iter().flatten().all(Scoring::is_complete)
    }

    /// Tells whoever asked. Gives the neutral scores with the prompt they are of, to be kept.
    pub(super) fn conclude(self) -> Option<(Vec<u32>, Vec<Score>)> {
        let neutral = self.neutral.map(|scoring| scoring.scores);
        if let (Some(said), Some(answer)) = (&self.said, self.answer) {
            let choice = Choice::of(&said.scores, neutral.as_deref());
            let _ = answer.send(Ok(ChoiceResult {
                best: choice.best,
                probabilities: choice.probabilities,
                compute: self.begun.elapsed(),
            }));
        }
        Some((self.neutral_prompt?, neutral?))
    }

    pub(super) fn fail(self, error: InferenceError) {
        if let Some(answer) = self.answer {
            let _ = answer.send(Err(error));
        }
    }
}
