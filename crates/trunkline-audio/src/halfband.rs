//! 8 kHz to 16 kHz and back, for the 20 ms frames of a call.
//!
//! A half-band filter of our own, because a call must not wait: each direction is delayed by
//! 2.9 ms, where a resampler by FFT holds back 10 ms of a 20 ms block, and a frame takes a third of
//! the time (0.7 µs against 2.1 µs when this was chosen). Other rates go through
//! [`resample`](crate::resample).

use std::f64::consts::PI;
use std::sync::LazyLock;

/// Taps on the side of the filter that is not a plain delay.
const TAPS: usize = 48;

/// Delay of [`Upsampler`] and of [`Downsampler`], in samples at 16 kHz (2.9 ms).
pub const HALFBAND_DELAY_SAMPLES: usize = TAPS - 1;

/// Input samples that are filtered at a time.
const BLOCK: usize = 160;

/// A Kaiser window of this shape keeps images 90 dB down outside 3.5 to 4.5 kHz.
const KAISER_BETA: f64 = 8.96;

/// The odd taps of the half-band filter, scaled so that they sum to one.
static COEFFICIENTS: LazyLock<[f32; TAPS]> = LazyLock::new(|| {
    let half = TAPS as f64 / 2.0;
    let mut taps = [0f64; TAPS];
    for (index, tap) in taps.iter_mut().enumerate() {
        // The distance from the centre, in output samples: an odd number.
        let distance = 2.0 * (index as f64 - half) + 1.0;
        let sinc = (PI * distance / 2.0).sin() / (PI * distance / 2.0);
        let across = distance / (TAPS as f64);
        *tap = sinc * bessel_i0(KAISER_BETA * (1.0 - across * across).max(0.0).sqrt());
    }
    let sum: f64 = taps.iter().sum();
    taps.map(|tap| (tap / sum) as f32)
});

/// The modified Bessel function of the first kind, order zero, by its series.
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        term *= quarter / f64::from(k * k);
        sum += term;
    }
    sum
}

/// 8 kHz in, 16 kHz out.
#[derive(Debug, Clone)]
pub struct Upsampler {
    history: [f32; TAPS - 1 + BLOCK],
}

/// 16 kHz in, 8 kHz out.
#[derive(Debug, Clone)]
pub struct Downsampler {
    /// Samples with an even index, which only need a delay.
    even: [f32; TAPS / 2 + BLOCK],
    /// Samples with an odd index, which are filtered.
    odd: [f32; TAPS - 1 + BLOCK],
}

impl Default for Upsampler {
    fn default() -> Self {
        Self {
            history: [0.0; TAPS - 1 + BLOCK],
        }
    }
}

impl Default for Downsampler {
    fn default() -> Self {
        Self {
            even: [0.0; TAPS / 2 + BLOCK],
            odd: [0.0; TAPS - 1 + BLOCK],
        }
    }
}

impl Upsampler {
    /// Fills `output`, which is twice as long as `input`; the shorter of the two decides.
    pub fn process(&mut self, input: &[i16], output: &mut [i16]) {
        for (input, output) in input.chunks(BLOCK).zip(output.chunks_mut(2 * BLOCK)) {
            self.block(input, output);
        }
    }

    fn block(&mut self, input: &[i16], output: &mut [i16]) {
        for (slot, sample) in self.history[TAPS - 1..].iter_mut().zip(input) {
            *slot = f32::from(*sample);
        }
        let filtered = filter(&self.history);
        let centres = &self.history[TAPS / 2..];
        for (index, pair) in output.chunks_exact_mut(2).take(input.len()).enumerate() {
            pair[0] = quantise(filtered[index]);
            pair[1] = quantise(centres[index]);
        }
        self.history
            .copy_within(input.len()..input.len() + TAPS - 1, 0);
    }
}

impl Downsampler {
    /// Fills `output`, which is half as long as `input`; an odd last sample is left out.
    pub fn process(&mut self, input: &[i16], output: &mut [i16]) {
        for (input, output) in input.chunks(2 * BLOCK).zip(output.chunks_mut(BLOCK)) {
            self.block(input, output);
        }
    }

    fn block(&mut self, input: &[i16], output: &mut [i16]) {
        let pairs = input.chunks_exact(2);
        let count = pairs.len();
        for (index, pair) in pairs.enumerate() {
            self.even[TAPS / 2 + index] = f32::from(pair[0]);
            self.odd[TAPS - 1 + index] = f32::from(pair[1]);
        }
        let filtered = filter(&self.odd);
        for (index, sample) in output.iter_mut().take(count).enumerate() {
            // Both sides of the filter are centred on the same moment.
            *sample = quantise(0.5 * (self.even[index + 1] + filtered[index]));
        }
        self.even.copy_within(count..count + TAPS / 2, 0);
        self.odd.copy_within(count..count + TAPS - 1, 0);
    }
}

/// The filter over a block. Sixteen outputs at a time, each tap over all of them, so that the
/// compiler may keep the sums in vector registers.
fn filter(history: &[f32; TAPS - 1 + BLOCK]) -> [f32; BLOCK] {
    const SIDE_BY_SIDE: usize = 16;
    let coefficients = &*COEFFICIENTS;
    let mut filtered = [0f32; BLOCK];
    for (block, sums) in filtered.chunks_exact_mut(SIDE_BY_SIDE).enumerate() {
        let mut register = [0f32; SIDE_BY_SIDE];
        for (tap, coefficient) in coefficients.iter().enumerate() {
            let start = block * SIDE_BY_SIDE + tap;
            let samples = &history[start..start + SIDE_BY_SIDE];
            for (sum, sample) in register.iter_mut().zip(samples) {
                *sum += sample * coefficient;
            }
        }
        sums.copy_from_slice(&register);
    }
    filtered
}

/// To the nearest sample. By hand, because `round` is a library call on the oldest processors that
/// we are built for.
fn quantise(value: f32) -> i16 {
    // A float cast cuts off towards zero and saturates.
    (value + 0.5f32.copysign(value)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tone, rms_dbfs, tone_dbfs};

    fn upsampled(pcm: &[i16]) -> Vec<i16> {
        let mut output = vec![0; pcm.len() * 2];
        Upsampler::default().process(pcm, &mut output);
        output
    }

    fn downsampled(pcm: &[i16]) -> Vec<i16> {
        let mut output = vec![0; pcm.len() / 2];
        Downsampler::default().process(pcm, &mut output);
        output
    }

    #[test]
    fn an_impulse_comes_out_after_the_delay_that_is_reported() {
        let mut input = [0i16; 160];
        input[40] = 10_000;
        let output = upsampled(&input);
        let peak = output.iter().position(|s| *s == 10_000);
        assert_eq!(peak, Some(80 + HALFBAND_DELAY_SAMPLES));

        let mut input = [0i16; 320];
        // An odd index: the impulse goes through the filter and lands between two samples.
        input[80] = 10_000;
        let output = downsampled(&input);
        let loudest = output
            .iter()
            .enumerate()
            .max_by_key(|(_, s)| s.unsigned_abs());
        let at_16k = loudest.unwrap().0 * 2;
        assert!(
            at_16k.abs_diff(80 + HALFBAND_DELAY_SAMPLES) <= 1,
            "{at_16k}"
        );
    }

    #[test]
    fn a_tone_in_the_telephone_band_keeps_its_level_and_leaves_no_image() {
        for hz in [300.0, 1000.0, 3400.0] {
            let up = upsampled(&Tone::new(hz, -6.0, 8000).take(8000));
            let up = &up[1000..];
            assert!((tone_dbfs(up, hz, 16_000) + 6.0).abs() < 0.05, "{hz}");
            assert!(tone_dbfs(up, 8000.0 - hz, 16_000) < -88.0, "{hz}");
            let down = downsampled(&Tone::new(hz, -6.0, 16_000).take(16_000));
            assert!(
                (tone_dbfs(&down[500..], hz, 8000) + 6.0).abs() < 0.05,
                "{hz}"
            );
        }
    }

    #[test]
    fn what_is_above_the_band_does_not_fold_into_it() {
        for hz in [4600.0, 6000.0, 7500.0] {
            let down = downsampled(&Tone::new(hz, -6.0, 16_000).take(16_000));
            assert!(rms_dbfs(&down[500..]) < -85.0, "{hz}");
        }
    }

    #[test]
    fn frames_give_what_the_whole_gives() {
        let pcm = Tone::new(700.0, -3.0, 8000).take(1600);
        let mut framed = Upsampler::default();
        let mut output = Vec::new();
        for frame in pcm.chunks(160) {
            let mut wide = [0; 320];
            framed.process(frame, &mut wide);
            output.extend(wide);
        }
        assert_eq!(output, upsampled(&pcm));
    }
}
