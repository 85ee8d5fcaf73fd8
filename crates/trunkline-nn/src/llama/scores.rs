//! Scoring a closed list of replies.
//!
//! All options are computed side by side in one pass after the prompt: each sees the prompt
//! and itself, none sees another. The probabilities of an option are those that the model
//! would have while saying it.

use super::pool::KvPool;
use super::prefixes::Prefix;
use super::rows::Row;
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
/// follows it. Each option is a row that shares the prompt's blocks.
pub(super) fn score(
    model: &Llama,
    (prefix, pool, spare): (&Prefix, &mut KvPool, &[u32]),
    after_prompt: &[f32],
    options: &[Vec<u32>],
) -> Result<Vec<Score>, NnError> {
    let start = prefix.tokens.len();
    let block = pool.block_tokens();
    let whole = start / block;
    let mut spare = spare.iter().copied();
    let mut tables: Vec<Vec<u32>> = Vec::new();
    for option in options {
        let needed = (start + option.len()).div_ceil(block) - whole;
        let mut table = prefix.blocks[..whole].to_vec();
        table.extend(spare.by_ref().take(needed));
        if let Some(own) = table.get(whole).filter(|_| !start.is_multiple_of(block)) {
            pool.copy_block(prefix.blocks[whole], *own)?;
        }
        tables.push(table);
    }
    let rows: Vec<Row<'_>> = options
        .iter()
        .zip(&tables)
        .filter(|(option, _)| option.len() > 1)
        .map(|(option, blocks)| Row {
            // What follows the last token of an option is nobody's concern.
            tokens: &option[..option.len() - 1],
            start,
            blocks,
            logits: option.len() - 1,
        })
        .collect();
    let logits = in_pool(|| model.network().step(pool, &rows))?;
    let mut rows = (0..rows.len()).flat_map(|row| logits.of(row));
    let mut scores = Vec::with_capacity(options.len());
    for option in options {
        let first = option.first().copied().unwrap_or_default();
        let mut log_prob = log_prob_of(after_prompt, first);
        for token in option.iter().skip(1) {
            let row = rows.next().unwrap_or_default();
            log_prob += log_prob_of(row, *token);
        }
        scores.push(Score {
            log_prob,
            tokens: option.len(),
        });
    }
    Ok(scores)
}

/// Natural logarithm of a token's probability.
fn log_prob_of(logits: &[f32], token: u32) -> f32 {
    let top = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - top).exp()).sum();
    let own = logits.get(token as usize).copied();
    own.unwrap_or(f32::NEG_INFINITY) - top - sum.ln()
}
