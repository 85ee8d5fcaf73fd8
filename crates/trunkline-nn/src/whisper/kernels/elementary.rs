//! Exponential, error function, softmax and layer normalisation, vectorised by the compiler.

/// Independent partial sums, as many as the widest registers hold.
pub(super) const LANES: usize = 16;

/// eˣ within 2 units in the last place for -87 < x < 88; 0 below.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding this leaves the integer part in the low bits of the mantissa.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.clamp(-87.0, 88.0);
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * LN_2_HIGH - n * LN_2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 0.166_666_66;
    p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    let scaled = f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23));
    if x < -87.0 { 0.0 } else { scaled }
}

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

/// Sum over `values` of what `f` makes of each.
#[inline(always)]
pub(super) fn sum(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += f(*value);
        }
    }
    let tail: f32 = rest.iter().map(|value| f(*value)).sum();
    lanes.iter().sum::<f32>() + tail
}

/// The greatest of `values`.
#[inline(always)]
pub(super) fn greatest(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    let best = |a: f32, b: &f32| if *b > a { *b } else { a };
    rest.iter().fold(lanes.iter().fold(f32::MIN, best), best)
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
    fn the_exponential_is_exact_to_the_last_digits() {
        for n in -8_700..8_800 {
            let x = n as f32 / 100.0;
            let (found, exact) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((found / exact - 1.0).abs() < 2.5e-7, "{x}: {found} {exact}");
        }
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-1000.0), 0.0);
    }

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
