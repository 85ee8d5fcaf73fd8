//! The front end's part of a transcription: audio cut to windows, and each window's spectrum.
//! It needs no weights and may run on any thread.

use super::options::WhisperOptions;
use super::{HOP, Whisper, split};
use crate::NnError;

/// Silence heard after the last sample, in frames of 10 ms. Without it the model sees words
/// that end at the edge of the window, which it never did in training.
const SILENCE_FRAMES: usize = 50;
/// Windows are multiples of this many frames, so that many have one length.
const BUCKET_FRAMES: usize = 50;
/// Positions that a processor encodes at once: with more, activations leave its cache and
/// nothing is gained.
const CPU_POSITIONS: usize = 1_500;

/// The spectrum of one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Log-mel features, one row of `frames` values for each mel.
    pub(super) features: Vec<f32>,
    /// Its length in frames of 10 ms, silence included. Windows of one length are encoded
    /// together.
    pub frames: usize,
    /// Samples of audio in it.
    pub samples: usize,
}

impl Whisper {
    /// Cuts audio into parts that each fit a window, where it is quietest.
    pub fn parts<'a>(&self, pcm: &'a [f32]) -> Vec<&'a [f32]> {
        split::split(pcm, self.frames * HOP)
    }

    /// The spectrum of one part: mono samples at 16 kHz, -1 to 1. What does not fit the longest
    /// window is not heard. Samples that are no numbers count as silence.
    ///
    /// # Errors
    /// [`NnError::Compute`].
    pub fn window(&self, pcm: &[f32], options: &WhisperOptions) -> Result<Window, NnError> {
        let frames = if options.full_window {
            self.frames
        } else {
            self.frames_for(pcm.len())
        };
        Ok(Window {
            features: self.mel.features(pcm, frames)?,
            frames,
            samples: pcm.len(),
        })
    }

    /// Frames for so many samples: the audio, some silence, rounded up.
    fn frames_for(&self, samples: usize) -> usize {
        let frames = samples.div_ceil(HOP) + SILENCE_FRAMES;
        (frames.div_ceil(BUCKET_FRAMES) * BUCKET_FRAMES).min(self.frames)
    }

    pub(super) fn windows_at_once(&self, frames: usize) -> usize {
        if self.device.is_cpu() {
            (CPU_POSITIONS / (frames / 2)).max(1)
        } else {
            usize::MAX
        }
    }
}
