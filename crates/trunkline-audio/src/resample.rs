//! Any rate to any other, a whole clip at a time: synthesised speech and WAV files.

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

use crate::AudioError;

/// Frames that the resampler works on at a time. Large, because nobody waits inside a clip.
const CHUNK: usize = 1024;

/// Converts a whole mono clip. The delay of the filter is cut off, so the clip keeps its timing.
///
/// # Errors
/// [`AudioError::Rates`] when a rate is zero or beyond what the resampler takes.
pub fn resample(pcm: &[i16], from_hz: u32, to_hz: u32) -> Result<Vec<i16>, AudioError> {
    if from_hz == to_hz && from_hz > 0 {
        return Ok(pcm.to_vec());
    }
    let wrong = || AudioError::Rates { from_hz, to_hz };
    let sane = 1000..=384_000;
    if !sane.contains(&from_hz) || !sane.contains(&to_hz) {
        return Err(wrong());
    }
    if pcm.is_empty() {
        return Ok(Vec::new());
    }
    let input: Vec<f32> = pcm.iter().map(|sample| f32::from(*sample)).collect();
    let mut resampler =
        Fft::<f32>::new(from_hz as usize, to_hz as usize, CHUNK, 1, FixedSync::Input)
            .map_err(|_| wrong())?;
    let adapter = InterleavedSlice::new(&input, 1, input.len()).map_err(|_| wrong())?;
    let output = resampler
        .process_all(&adapter, input.len(), None)
        .map_err(|_| wrong())?
        .take_data();
    // A float cast saturates.
    Ok(output.iter().map(|sample| sample.round() as i16).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tone, tone_dbfs};

    #[test]
    fn a_tone_keeps_its_pitch_level_and_length_from_every_rate_of_speech_synthesis() {
        for from_hz in [8000, 11_025, 22_050, 24_000, 44_100, 48_000] {
            let clip = Tone::new(1000.0, -9.0, from_hz).take(from_hz as usize);
            let out = resample(&clip, from_hz, 16_000).unwrap();
            assert!(out.len().abs_diff(16_000) <= 2, "{from_hz}: {}", out.len());
            let level = tone_dbfs(&out[800..15_200], 1000.0, 16_000);
            assert!((level + 9.0).abs() < 0.1, "{from_hz}: {level}");
        }
    }

    #[test]
    fn timing_is_kept() {
        let mut clip = vec![0i16; 24_000];
        clip[12_000..12_240].copy_from_slice(&Tone::new(1000.0, -3.0, 24_000).take(240));
        let out = resample(&clip, 24_000, 16_000).unwrap();
        let first = out.iter().position(|s| s.unsigned_abs() > 8000).unwrap();
        assert!(first.abs_diff(8000) < 8, "{first}");
    }

    #[test]
    fn an_impossible_rate_is_an_error_and_nothing_gives_nothing() {
        assert!(matches!(
            resample(&[1, 2], 0, 16_000),
            Err(AudioError::Rates { .. })
        ));
        assert!(resample(&[], 24_000, 16_000).unwrap().is_empty());
        assert!(!resample(&[5; 3], 48_000, 16_000).unwrap().is_empty());
    }
}
