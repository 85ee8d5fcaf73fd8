//! Error function, softmax and layer normalisation, vectorised by the compiler.

use crate::cpu::softmax::{exp, greatest, sum};

/// Independent partial sums, as many as the widest registers hold.
pub(super) const LANES: usize = 16;

/// The exact GELU, x · Φ(x), by formula 7.1.26 of Abramowitz and Stegun: error below 2e-7 · |x|.
#[inline(always)]
pub(super) fn gelu(x: f32) -> f32 {
    let z = x * std::f32::consts::FRAC_1_SQRT_2;
    let a = z.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let mut p = 1.061_405_4;
    p = p * t - 1.453_152;
    p = p * t + 1.421_413_7;
    p = p * t - 0.284_496_74;
    p = p * t + 0.254_829_6;
    let erf = (1.0 - p * t * exp(-a * a)).copysign(z);
    0.5 * x * (1.0 + erf)
}

/// Adds to each element of `out` the one of `more` in its place.
#[inline(always)]
pub(in super::super) fn add(out: &mut [f32], more: &[f32]) {
    for (out, more) in out.iter_mut().zip(more) {
        *out += more;
    }
}

/// The same, and then the exact GELU.
#[inline(always)]
pub(in super::super) fn add_gelu(out: &mut [f32], more: &[f32]) {
    for (out, more) in out.iter_mut().zip(more) {
        *out = gelu(*out + more);
    }
}

/// Turns scores into probabilities.
#[inline(always)]
pub(super) fn softmax(scores: &mut [f32]) {
    let top = greatest(scores);
    let mut lanes = [0f32; LANES];
    let (chunks, rest) = scores.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for (lane, score) in lanes.iter_mut().zip(chunk) {
            *score = exp(*score - top);
            *lane += *score;
        }
    }
    let mut total = lanes.iter().sum::<f32>();
    for score in rest {
        *score = exp(*score - top);
        total += *score;
    }
    let scale = 1.0 / total;
    for score in scores {
        *score *= scale;
    }
}

/// Writes the normalised `row` to `out`: mean 0, variance 1, then scaled and shifted.
#[inline(always)]
pub(super) fn layer_norm(row: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, out: &mut [f32]) {
    let n = row.len() as f32;
    let mean = sum(row, |x| x) / n;
    let variance = sum(row, |x| (x - mean) * (x - mean)) / n;
    let scale = 1.0 / (variance + epsilon).sqrt();
    for (((out, x), weight), bias) in out.iter_mut().zip(row).zip(weight).zip(bias) {
        *out = (x - mean) * scale * weight + bias;
    }
}

/// What a decision needs to know of a row of logits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct Summary {
    /// The greatest logit.
    pub(in super::super) top: f32,
    /// Natural logarithm of the sum of the exponentials.
    pub(in super::super) log_sum: f32,
}

/// Reads a row of logits once. Entries of minus infinity have no share.
pub(in super::super) fn summarize(logits: &[f32]) -> Summary {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let top = greatest(logits);
            Summary {
                top,
                log_sum: top + sum(logits, |x| exp(x - top)).ln(),
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_activation_is_the_exact_one() {
        // x · Φ(x) by numerical integration.
        for (x, exact) in [
            (-3.0, -0.004_049_694),
            (-1.0, -0.158_655_25),
            (0.0, 0.0),
            (0.5, 0.345_731_23),
            (2.0, 1.954_499_7),
        ] {
            assert!((gelu(x) - exact).abs() < 5e-7, "{x}: {}", gelu(x));
        }
    }

    #[test]
    fn probabilities_sum_to_one_and_keep_the_order() {
        let mut scores: Vec<f32> = (0..37).map(|n| (n * 7 % 37) as f32 / 3.0).collect();
        let before = scores.clone();
        softmax(&mut scores);
        assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        for n in 1..37 {
            assert_eq!(before[n] > before[0], scores[n] > scores[0]);
        }
    }

    #[test]
    fn a_normalised_row_has_mean_zero_and_variance_one() {
        let row: Vec<f32> = (0..50).map(|n| (n * n % 13) as f32).collect();
        let mut out = vec![0.0; 50];
        layer_norm(&row, &[1.0; 50], &[0.0; 50], 1e-5, &mut out);
        assert!(sum(&out, |x| x).abs() < 1e-4);
        assert!((sum(&out, |x| x * x) / 50.0 - 1.0).abs() < 1e-4);
    }

    #[test]
    fn what_is_ruled_out_has_no_share() {
        let summary = summarize(&[0.0, f32::NEG_INFINITY, 0.0]);
        assert_eq!(summary.top, 0.0);
        assert!((summary.log_sum - 2f32.ln()).abs() < 1e-6);
    }
}
