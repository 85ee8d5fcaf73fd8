//! The log-mel front end, number for number that of `WhisperFeatureExtractor`.
//!
//! 25 ms Hann windows every 10 ms, power spectrum, Slaney mel filters, log10 clipped to eight
//! decades below the loudest cell, scaled to about -1..1. Frames are centred, with the signal
//! mirrored at both ends. It does not resample.

use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};

use crate::NnError;

pub(super) const SAMPLE_RATE_HZ: usize = 16_000;
pub(super) const N_FFT: usize = 400;
pub(super) const HOP: usize = 160;
const BINS: usize = N_FFT / 2 + 1;
const NYQUIST_HZ: f64 = 8_000.0;

/// Turns samples into log-mel features.
pub(super) struct LogMel {
    mels: usize,
    window: Vec<f32>,
    /// For each mel: the first bin it hears, and its weights from there on.
    filters: Vec<(usize, Vec<f32>)>,
    fft: Arc<dyn RealToComplex<f32>>,
}

impl LogMel {
    /// A front end with 80 or 128 mels.
    pub(super) fn new(mels: usize) -> Self {
        let step = std::f64::consts::TAU / N_FFT as f64;
        let window = (0..N_FFT)
            .map(|n| (0.5 - 0.5 * (step * n as f64).cos()) as f32)
            .collect();
        Self {
            mels,
            window,
            filters: mel_filters(mels),
            fft: RealFftPlanner::<f32>::new().plan_fft_forward(N_FFT),
        }
    }

    /// Rows of features.
    #[cfg(test)]
    pub(super) fn mels(&self) -> usize {
        self.mels
    }

    /// Features of `pcm` padded with silence to `frames` frames of 10 ms, as `mels` rows of
    /// `frames` values. Samples beyond that are ignored.
    pub(super) fn features(&self, pcm: &[f32], frames: usize) -> Result<Vec<f32>, NnError> {
        let padded = mirror_ends(pcm, frames * HOP);
        let mut features = vec![0f32; self.mels * frames];
        let mut input = self.fft.make_input_vec();
        let mut spectrum = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        let mut power = [0f32; BINS];
        for frame in 0..frames {
            let samples = &padded[frame * HOP..frame * HOP + N_FFT];
            for ((slot, sample), weight) in input.iter_mut().zip(samples).zip(&self.window) {
                *slot = sample * weight;
            }
            self.fft
                .process_with_scratch(&mut input, &mut spectrum, &mut scratch)
                .map_err(candle_core::Error::wrap)?;
            for (power, bin) in power.iter_mut().zip(&spectrum) {
                *power = bin.norm_sqr();
            }
            for (mel, (first, weights)) in self.filters.iter().enumerate() {
                let energy: f32 = power[*first..]
                    .iter()
                    .zip(weights)
                    .map(|(power, weight)| power * weight)
                    .sum();
                features[mel * frames + frame] = energy.max(1e-10).log10();
            }
        }
        let loudest = features.iter().copied().fold(f32::MIN, f32::max);
        for value in &mut features {
            *value = (value.max(loudest - 8.0) + 4.0) / 4.0;
        }
        Ok(features)
    }
}

/// `pcm` cut or zero-padded to `samples`, with half a window mirrored at both ends.
fn mirror_ends(pcm: &[f32], samples: usize) -> Vec<f32> {
    const HALF: usize = N_FFT / 2;
    let pcm = &pcm[..pcm.len().min(samples)];
    let mut padded = vec![0f32; samples + N_FFT];
    for (slot, sample) in padded[HALF..].iter_mut().zip(pcm) {
        *slot = if sample.is_finite() { *sample } else { 0.0 };
    }
    for n in 0..HALF {
        padded[HALF - 1 - n] = padded[HALF + 1 + n];
        padded[HALF + samples + n] = padded[HALF + samples - 2 - n];
    }
    padded
}

/// Triangular filters of equal area, evenly spaced on Slaney's mel scale (Auditory Toolbox,
/// 1998): linear below 1 kHz, logarithmic above.
fn mel_filters(mels: usize) -> Vec<(usize, Vec<f32>)> {
    let top = hz_to_mel(NYQUIST_HZ);
    let edges: Vec<f64> = (0..mels + 2)
        .map(|n| mel_to_hz(top * n as f64 / (mels + 1) as f64))
        .collect();
    let bin_hz = NYQUIST_HZ / (BINS - 1) as f64;
    edges
        .windows(3)
        .map(|edge| {
            let (low, centre, high) = (edge[0], edge[1], edge[2]);
            let weights: Vec<f32> = (0..BINS)
                .map(|bin| {
                    let hz = bin as f64 * bin_hz;
                    let rising = (hz - low) / (centre - low);
                    let falling = (high - hz) / (high - centre);
                    (rising.min(falling).max(0.0) * 2.0 / (high - low)) as f32
                })
                .collect();
            let first = weights.iter().position(|w| *w > 0.0).unwrap_or(0);
            let end = weights
                .iter()
                .rposition(|w| *w > 0.0)
                .map_or(first, |last| last + 1);
            (first, weights[first..end].to_vec())
        })
        .collect()
}

fn hz_to_mel(hz: f64) -> f64 {
    if hz < 1000.0 {
        3.0 * hz / 200.0
    } else {
        15.0 + (hz / 1000.0).ln() * 27.0 / 6.4f64.ln()
    }
}

fn mel_to_hz(mel: f64) -> f64 {
    if mel < 15.0 {
        200.0 * mel / 3.0
    } else {
        1000.0 * (6.4f64.ln() / 27.0 * (mel - 15.0)).exp()
    }
}
