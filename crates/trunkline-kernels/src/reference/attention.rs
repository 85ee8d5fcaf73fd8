//! Attention.

use super::rows::rms_norm;

/// One head of a query or key where it is compared: its norm, where there is one, then the turn
/// to its position (Su et al. 2021). `turns` are half as many cosines as columns, then sines; a
/// pair is half a head apart.
pub fn turned(head: &[f64], norm: Option<(&[f64], f64)>, turns: &[f64]) -> Vec<f64> {
    let mut head = match norm {
        Some((weight, epsilon)) => rms_norm(head, weight, epsilon),
        None => head.to_vec(),
    };
    let (cosines, sines) = turns.split_at(head.len() / 2);
    let (first, second) = head.split_at_mut(cosines.len());
    for (((a, b), cosine), sine) in first.iter_mut().zip(second).zip(cosines).zip(sines) {
        (*a, *b) = (*a * cosine - *b * sine, *b * cosine + *a * sine);
    }
    head
}

/// The keys and values of one head of one sequence, token by token.
#[derive(Debug, Clone, Default)]
pub struct Sequence {
    /// For each token, the columns of its key.
    pub keys: Vec<Vec<f64>>,
    /// For each token, the columns of its value.
    pub values: Vec<Vec<f64>>,
}

/// What a query finds that sees the tokens of `seen`. Its scores are divided by the root of the
/// width, their softmax weighs the values.
pub fn attend_tokens(
    query: &[f64],
    sequence: &Sequence,
    seen: std::ops::RangeInclusive<usize>,
) -> Vec<f64> {
    let scale = (query.len() as f64).sqrt().recip();
    weigh(query, sequence, seen, scale)
}

/// What a query finds among the first `length` tokens of a slot; it is scaled already.
pub fn attend_slots(query: &[f64], slot: &Sequence, length: usize) -> Vec<f64> {
    weigh(query, slot, 0..=length.saturating_sub(1), 1.0)
}

fn weigh(
    query: &[f64],
    sequence: &Sequence,
    seen: std::ops::RangeInclusive<usize>,
    scale: f64,
) -> Vec<f64> {
    let keys = &sequence.keys[seen.clone()];
    let score = |key: &Vec<f64>| key.iter().zip(query).map(|(k, q)| k * q).sum::<f64>() * scale;
    let scores: Vec<f64> = keys.iter().map(score).collect();
    let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|score| (score - best).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let mut found = vec![0.0; query.len()];
    for (weight, value) in weights.iter().zip(&sequence.values[seen]) {
        for (found, value) in found.iter_mut().zip(value) {
            *found += weight / sum * value;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_keeps_lengths_and_depends_only_on_the_distance() {
        let turns = |angle: f64| [angle.cos(), angle.sin()];
        let (query, key) = ([0.3, -1.2], [0.8, 0.5]);
        let product = |a: f64, b: f64| {
            let (q, k) = (
                turned(&query, None, &turns(a)),
                turned(&key, None, &turns(b)),
            );
            q[0] * k[0] + q[1] * k[1]
        };
        assert!((product(5.0, 2.0) - product(13.0, 10.0)).abs() < 1e-12);
        assert!((product(1.0, 1.0) - (0.3 * 0.8 - 1.2 * 0.5)).abs() < 1e-12);
    }

    #[test]
    fn one_token_is_found_whole_and_equal_keys_share() {
        let sequence = Sequence {
            keys: vec![vec![1.0, 0.0], vec![1.0, 0.0]],
            values: vec![vec![2.0, 4.0], vec![4.0, 8.0]],
        };
        assert_eq!(attend_tokens(&[9.0, 9.0], &sequence, 0..=0), [2.0, 4.0]);
        assert_eq!(attend_tokens(&[9.0, 9.0], &sequence, 0..=1), [3.0, 6.0]);
        assert_eq!(attend_slots(&[9.0, 9.0], &sequence, 2), [3.0, 6.0]);
    }
}
