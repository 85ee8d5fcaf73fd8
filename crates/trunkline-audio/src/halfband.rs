//! 8 kHz to 16 kHz and back, for the 20 ms frames of a call.
//!
//! A half-band filter of our own, because a call must not wait: it delays by 3 ms where a
//! resampler by FFT holds back half a block, and it costs a third of the time. Other rates go
//! through [`resample`](crate::resample).

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
        let coefficients = &*COEFFICIENTS;
        for (slot, sample) in self.history[TAPS - 1..].iter_mut().zip(input) {
            *slot = f32::from(*sample);
        }
        let windows = self.history.windows(TAPS).take(input.len());
        for (window, pair) in windows.zip(output.chunks_exact_mut(2)) {
            pair[0] = quantise(dot(window, coefficients));
            pair[1] = quantise(window[TAPS / 2]);
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
        let coefficients = &*COEFFICIENTS;
        let pairs = input.chunks_exact(2);
        let count = pairs.len();
        for (index, pair) in pairs.enumerate() {
            self.even[TAPS / 2 + index] = f32::from(pair[0]);
            self.odd[TAPS - 1 + index] = f32::from(pair[1]);
        }
        let windows = self.odd.windows(TAPS).take(count);
        for (index, (window, sample)) in windows.zip(output.iter_mut()).enumerate() {
            // Both sides of the filter are centred on the same moment.
            let centre = self.even[index + 1];
            *sample = quantise(0.5 * (centre + dot(window, coefficients)));
        }
        self.even.copy_within(count..count + TAPS / 2, 0);
        self.odd.copy_within(count..count + TAPS - 1, 0);
    }
}

/// Eight sums side by side, so that the compiler may use vector registers.
fn dot(window: &[f32], coefficients: &[f32; TAPS]) -> f32 {
    let mut sums = [0f32; 8];
    for (samples, taps) in window.chunks_exact(8).zip(coefficients.chunks_exact(8)) {
        for lane in 0..8 {
            sums[lane] += samples[lane] * taps[lane];
        }
    }
    sums.iter().sum()
}

fn quantise(value: f32) -> i16 {
    // A float cast saturates.
    value.round() as i16
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
