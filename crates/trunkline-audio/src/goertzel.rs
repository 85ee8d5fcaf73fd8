//! One bin of a spectrum, by Goertzel's algorithm.

use std::f64::consts::TAU;

use crate::level::SILENT_DBFS;

/// How strong the tone of `hz` is in `pcm`: the peak of its sine in dBFS, so that a tone made at
/// -10 dBFS reads -10. Selectivity is about the reciprocal of the length: 205 samples at 8 kHz
/// tell tones 39 Hz apart.
pub fn tone_dbfs(pcm: &[i16], hz: f64, sample_rate_hz: u32) -> f64 {
    if pcm.is_empty() || sample_rate_hz == 0 {
        return SILENT_DBFS;
    }
    let turn = TAU * hz / f64::from(sample_rate_hz);
    let coefficient = 2.0 * turn.cos();
    let (mut one_ago, mut two_ago) = (0.0, 0.0);
    for sample in pcm {
        let now = f64::from(*sample) + coefficient * one_ago - two_ago;
        two_ago = one_ago;
        one_ago = now;
    }
    let power = one_ago * one_ago + two_ago * two_ago - coefficient * one_ago * two_ago;
    let amplitude = 2.0 * power.max(0.0).sqrt() / pcm.len() as f64;
    (20.0 * (amplitude / f64::from(i16::MAX)).log10()).max(SILENT_DBFS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tone;

    #[test]
    fn a_tone_reads_its_own_level_and_little_of_its_neighbours() {
        let pcm = Tone::new(1000.0, -20.0, 8000).take(800);
        assert!((tone_dbfs(&pcm, 1000.0, 8000) + 20.0).abs() < 0.1);
        assert!(tone_dbfs(&pcm, 1200.0, 8000) < -50.0);
    }

    #[test]
    fn silence_reads_the_floor() {
        assert_eq!(tone_dbfs(&[0; 160], 440.0, 8000), SILENT_DBFS);
        assert_eq!(tone_dbfs(&[], 440.0, 8000), SILENT_DBFS);
    }
}
