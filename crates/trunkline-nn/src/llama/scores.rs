//! Scoring a closed list of replies.
//!
//! All options are computed side by side in one pass after the prompt: each sees the prompt
//! and itself, none sees another. The probabilities of an option are those that the model
//! would have while saying it.

use candle_core::Tensor;

use super::network::Pass;
use super::prefixes::Prefix;
use super::{Llama, in_pool};
use crate::NnError;

/// How likely an option is as the whole reply.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Natural logarithm of its probability, the end of the turn included.
    pub log_prob: f32,
    /// Its tokens, the end included.
    pub tokens: usize,
}

/// Which option is the likeliest.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Its index.
    pub best: usize,
    /// One per option, in order; they sum to 1.
    pub probabilities: Vec<f32>,
}

impl Choice {
    /// Makes a choice of scores. With `neutral`, the scores of the same options where nothing
    /// was said, an option does not win by being a likely text in general (contextual
    /// calibration, Zhao et al. 2021).
    pub fn of(scores: &[Score], neutral: Option<&[Score]>) -> Self {
        let weight = |at: usize, score: &Score| {
            let general = neutral.and_then(|all| all.get(at));
            score.log_prob - general.map_or(0.0, |score| score.log_prob)
        };
        let weights: Vec<f32> = scores
            .iter()
            .enumerate()
            .map(|(at, score)| weight(at, score))
            .collect();
        let top = weights.iter().copied().fold(f32::MIN, f32::max);
        let shares: Vec<f32> = weights.iter().map(|weight| (weight - top).exp()).collect();
        let total: f32 = shares.iter().sum();
        Self {
            best: weights.iter().position(|w| *w == top).unwrap_or(0),
            probabilities: shares.iter().map(|share| share / total).collect(),
        }
    }
}

/// Scores options, each a list of tokens, after a prompt. `after_prompt` are the logits of what
/// follows it.
pub(super) fn score(
    model: &Llama,
    prefix: &mut Prefix,
    after_prompt: &[f32],
    options: &[Vec<u32>],
) -> Result<Vec<Score>, NnError> {
    let base = prefix.cache.len();
    let mut tokens = Vec::new();
    let mut positions = Vec::new();
    let mut owner = Vec::new();
    for (at, option) in options.iter().enumerate() {
        // What follows the last token of an option is nobody's concern.
        for (offset, token) in option[..option.len() - 1].iter().enumerate() {
            tokens.push(*token);
            positions.push(base + offset);
            owner.push(at);
        }
    }
    let rows = if tokens.is_empty() {
        Vec::new()
    } else {
        let pass = Pass {
            tokens: &tokens,
            positions: &positions,
            sees: &|query, key| key <= query && owner[query] == owner[key],
        };
        in_pool(|| {
            let hidden = model.network().run(&mut prefix.cache, &pass)?;
            rows_of(&model.network().logits(&hidden)?)
        })?
    };
    let mut rows = rows.iter();
    let mut scores = Vec::with_capacity(options.len());
    for option in options {
        let first = option.first().copied().unwrap_or_default();
        let mut log_prob = log_prob_of(after_prompt, first);
        for token in option.iter().skip(1) {
            let row = rows.next().map(Vec::as_slice).unwrap_or_default();
            log_prob += log_prob_of(row, *token);
        }
        scores.push(Score {
            log_prob,
            tokens: option.len(),
        });
    }
    Ok(scores)
}

fn rows_of(logits: &Tensor) -> Result<Vec<Vec<f32>>, NnError> {
    Ok(logits.to_vec2()?)
}

/// Natural logarithm of a token's probability.
fn log_prob_of(logits: &[f32], token: u32) -> f32 {
    let top = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - top).exp()).sum();
    let own = logits.get(token as usize).copied();
    own.unwrap_or(f32::NEG_INFINITY) - top - sum.ln()
}
