//! The softmax of scores that arrive in blocks, so that no row of all scores is ever held
//! (Milakov and Gimelshein 2018).

use pulp::Simd;

/// The highest score so far, and the sum of all weights relative to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Running {
    top: f32,
    sum: f32,
}

impl Running {
    /// Before the first block.
    pub(crate) const NEW: Self = Self {
        top: f32::NEG_INFINITY,
        sum: 0.0,
    };

    /// Makes weights of a block of scores, in place. What was summed up before with the weights
    /// of earlier blocks, `gathered`, is brought to the same scale. A score of minus infinity
    /// weighs nothing.
    #[inline(always)]
    pub(crate) fn weigh<S: Simd>(&mut self, simd: S, scores: &mut [f32], gathered: &mut [f32]) {
        let top = greatest(scores).max(self.top);
        if top == f32::NEG_INFINITY {
            scores.fill(0.0);
            return;
        }
        if top > self.top {
            let shrink = (self.top - top).exp();
            self.sum *= shrink;
            let (vectors, rest) = S::as_mut_simd_f32s(gathered);
            let factor = simd.splat_f32s(shrink);
            for vector in vectors {
                *vector = simd.mul_f32s(*vector, factor);
            }
            for value in rest {
                *value *= shrink;
            }
            self.top = top;
        }
        for score in &mut *scores {
            *score = exp(*score - top);
        }
        self.sum += sum(scores, |weight| weight);
    }

    /// What the gathered values are to be multiplied by when all blocks are in.
    pub(crate) fn scale(&self) -> f32 {
        if self.sum > 0.0 { 1.0 / self.sum } else { 0.0 }
    }
}

/// Independent partial results, as many as the widest registers hold.
const LANES: usize = 16;

/// The greatest of `values`.
#[inline(always)]
pub(crate) fn greatest(values: &[f32]) -> f32 {
    let best = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = best(*lane, *value);
        }
    }
    rest.iter()
        .chain(&lanes)
        .copied()
        .fold(f32::NEG_INFINITY, best)
}

/// Sum over `values` of what `f` makes of each.
#[inline(always)]
pub(crate) fn sum(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
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

/// The exponential of a number from minus infinity to 0, to two units in the last place, in
/// steps that the compiler turns into vectors: `2^n` goes into the exponent, and the rest, at
/// most half a power of two, into a polynomial (the Taylor series up to the seventh power).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// Added and subtracted again, it rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    /// `ln 2` in two parts, of which the first has room for a product without rounding.
    const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    // Below this the result is no normal number any more.
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    let rest = x - power * LN_2.0 - power * LN_2.1;
    let series = 1.0 / 5_040.0;
    let series = series * rest + 1.0 / 720.0;
    let series = series * rest + 1.0 / 120.0;
    let series = series * rest + 1.0 / 24.0;
    let series = series * rest + 1.0 / 6.0;
    let series = series * rest + 0.5;
    let series = series * rest + 1.0;
    let series = series * rest + 1.0;
    let exponent = shifted.to_bits().wrapping_add(127) << 23;
    let scaled = series * f32::from_bits(exponent);
    if x <= -87.0 { 0.0 } else { scaled }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_that_of_the_library() {
        for step in 0..20_000 {
            let x = -(step as f32) / 200.0;
            let expected = x.exp();
            let error = (exp(x) - expected).abs();
            assert!(error <= expected * 4e-7 + 2e-38, "{x}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
    }

    struct InBlocks<'a>(&'a [f32], usize);

    impl pulp::WithSimd for InBlocks<'_> {
        type Output = Vec<f32>;
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
            // Gathers the weights themselves, one place per score.
            let mut running = Running::NEW;
            let mut gathered = vec![0.0; self.0.len()];
            for (at, block) in self.0.chunks(self.1).enumerate() {
                let mut block = block.to_vec();
                running.weigh(simd, &mut block, &mut gathered);
                let start = at * self.1;
                gathered[start..start + block.len()].copy_from_slice(&block);
            }
            gathered.iter().map(|w| w * running.scale()).collect()
        }
    }

    #[test]
    fn blocks_give_what_the_whole_gives() {
        let never = f32::NEG_INFINITY;
        let scores = [never, 0.3, -2.0, 5.0, 4.9, never, never, 80.0, 79.0, 1.0];
        let total: f64 = scores.iter().map(|s| f64::from(s - 80.0).exp()).sum();
        for block in [1, 2, 3, 10] {
            let found = pulp::Arch::new().dispatch(InBlocks(&scores, block));
            for (found, score) in found.iter().zip(scores) {
                let expected = f64::from(score - 80.0).exp() / total;
                assert!((f64::from(*found) - expected).abs() < 1e-6);
            }
        }
    }
}
