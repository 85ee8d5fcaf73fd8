//! How much silence an utterance ends with. This decides only whether a transcript already
//! covers all that was said, so it is on the careful side: noise counts as voice.

/// 20 ms at 16 kHz.
pub(super) const FRAME: usize = 320;
/// A frame is silent when it is this much weaker than the loudest one (−28 dB): below the
/// faintest consonants of the same speaker.
const BELOW_PEAK: f32 = 0.04;
/// Or when it is as good as nothing (−55 dBFS).
const NOTHING_RMS: f32 = 60.0;

/// The levels of an utterance, frame by frame.
#[derive(Debug, Default)]
pub(super) struct Levels {
    frames: Vec<f32>,
    /// Energy and samples of the frame that is not full yet.
    energy: f64,
    filled: usize,
    peak: f32,
}

impl Levels {
    pub(super) fn push(&mut self, pcm: &[i16]) {
        for sample in pcm {
            self.energy += f64::from(*sample).powi(2);
            self.filled += 1;
            if self.filled == FRAME {
                let rms = (self.energy / FRAME as f64).sqrt() as f32;
                self.frames.push(rms);
                self.peak = self.peak.max(rms);
                (self.energy, self.filled) = (0.0, 0);
            }
        }
    }

    /// Samples of silence at the end. The frame that is not full yet counts as voice unless
    /// it is silent so far.
    pub(super) fn trailing_silence(&self) -> usize {
        let silent = |rms: f32| rms < NOTHING_RMS.max(self.peak * BELOW_PEAK);
        if self.filled > 0 && !silent((self.energy / self.filled as f64).sqrt() as f32) {
            return 0;
        }
        let frames = self
            .frames
            .iter()
            .rev()
            .take_while(|rms| silent(**rms))
            .count();
        frames * FRAME + self.filled
    }

    /// Whether any frame was more than nothing.
    pub(super) fn any_sound(&self) -> bool {
        self.peak >= NOTHING_RMS
            || (self.filled > 0 && (self.energy / self.filled as f64).sqrt() as f32 >= NOTHING_RMS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(samples: usize, amplitude: f64) -> Vec<i16> {
        (0..samples)
            .map(|i| ((i as f64 * 0.3).sin() * amplitude) as i16)
            .collect()
    }

    #[test]
    fn silence_after_speech_is_measured_and_a_faint_consonant_ends_it() {
        let mut levels = Levels::default();
        levels.push(&tone(16_000, 8000.0));
        assert_eq!(levels.trailing_silence(), 0);
        levels.push(&tone(3200, 100.0));
        assert_eq!(levels.trailing_silence(), 3200);
        levels.push(&tone(100, 0.0));
        assert_eq!(levels.trailing_silence(), 3300);
        levels.push(&tone(640, 600.0));
        assert_eq!(levels.trailing_silence(), 0);
    }

    #[test]
    fn noise_is_not_silence() {
        let mut levels = Levels::default();
        levels.push(&tone(16_000, 2000.0));
        levels.push(&tone(16_000, 300.0));
        assert_eq!(levels.trailing_silence(), 0);
        assert!(levels.any_sound());
    }

    #[test]
    fn digital_silence_is_no_sound() {
        let mut levels = Levels::default();
        levels.push(&vec![3; 16_000]);
        assert!(!levels.any_sound());
    }
}
