//! Scoring a closed list of replies.
//!
//! The probabilities of an option are those that the model would have while saying it.

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

/// Natural logarithm of a token's probability.
pub fn log_prob_of(logits: &[f32], token: u32) -> f32 {
    let top = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - top).exp()).sum();
    let own = logits.get(token as usize).copied();
    own.unwrap_or(f32::NEG_INFINITY) - top - sum.ln()
}

/// The likeliest tokens with their log-probabilities, the likeliest first.
pub fn likeliest(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut ranked: Vec<(u32, f32)> = (0u32..).zip(logits.iter().copied()).collect();
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if count < ranked.len() {
        ranked.select_nth_unstable_by(count, order);
        ranked.truncate(count);
    }
    ranked.sort_by(order);
    let tokens = ranked.into_iter();
    tokens
        .map(|(token, _)| (token, log_prob_of(logits, token)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_probabilities_sum_to_one_and_are_ranked() {
        let logits = [1.0, 3.0, -2.0, 3.0, 0.5];
        let all = likeliest(&logits, 9);
        let total: f32 = all.iter().map(|(_, log_prob)| log_prob.exp()).sum();
        assert!((total - 1.0).abs() < 1e-6);
        let first: Vec<u32> = likeliest(&logits, 3)
            .iter()
            .map(|(token, _)| *token)
            .collect();
        assert_eq!(first, [1, 3, 0]);
        assert!(likeliest(&logits, 0).is_empty());
        assert_eq!(log_prob_of(&logits, 99), f32::NEG_INFINITY);
    }

    #[test]
    fn a_choice_is_calibrated_by_where_nothing_was_said() {
        let score = |log_prob| Score {
            log_prob,
            tokens: 1,
        };
        let (said, silent) = ([score(-1.0), score(-2.0)], [score(-1.0), score(-4.0)]);
        assert_eq!(Choice::of(&said, None).best, 0);
        let calibrated = Choice::of(&said, Some(&silent));
        assert_eq!(calibrated.best, 1);
        let total: f32 = calibrated.probabilities.iter().sum();
        assert!((total - 1.0).abs() < 1e-6);
    }
}
