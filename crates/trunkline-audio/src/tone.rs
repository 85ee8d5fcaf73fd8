//! Sine tones, one or two at a time, and the pairs of DTMF (ITU-T Q.23).

use std::f64::consts::TAU;

use trunkline_types::Digit;

/// A steady sine that remembers its phase, so that frames join without a click.
#[derive(Debug, Clone)]
pub struct Tone {
    phase: f64,
    step: f64,
    amplitude: f64,
}

/// Two sines at once.
#[derive(Debug, Clone)]
pub struct DualTone(Tone, Tone);

impl Tone {
    /// A tone of `hz` whose peak is at `peak_dbfs` (0 is full scale).
    pub fn new(hz: f64, peak_dbfs: f64, sample_rate_hz: u32) -> Self {
        Self {
            phase: 0.0,
            step: TAU * hz / f64::from(sample_rate_hz),
            amplitude: 10f64.powf(peak_dbfs / 20.0) * f64::from(i16::MAX),
        }
    }

    /// The next `samples` samples.
    pub fn take(&mut self, samples: usize) -> Vec<i16> {
        (0..samples).map(|_| quantise(self.step())).collect()
    }

    fn step(&mut self) -> f64 {
        let value = self.phase.sin() * self.amplitude;
        self.phase = (self.phase + self.step) % TAU;
        value
    }
}

impl DualTone {
    /// The tones of a key, each with its peak at -10 dBFS.
    pub fn dtmf(digit: Digit, sample_rate_hz: u32) -> Self {
        let (low_hz, high_hz) = dtmf_frequencies_hz(digit);
        Self(
            Tone::new(low_hz, -10.0, sample_rate_hz),
            Tone::new(high_hz, -10.0, sample_rate_hz),
        )
    }

    /// Fills `pcm` with what comes next.
    pub fn fill(&mut self, pcm: &mut [i16]) {
        for sample in pcm {
            *sample = quantise(self.0.step() + self.1.step());
        }
    }
}

/// The low and the high frequency of a key.
pub fn dtmf_frequencies_hz(digit: Digit) -> (f64, f64) {
    const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
    const COLUMNS: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
    let (row, column) = match digit.event() {
        0 => (3, 1),
        10 => (3, 0),
        11 => (3, 2),
        letter @ 12.. => (usize::from(letter - 12) % 4, 3),
        number => (usize::from(number - 1) / 3, usize::from(number - 1) % 3),
    };
    (ROWS[row], COLUMNS[column])
}

fn quantise(value: f64) -> i16 {
    value
        .round()
        .clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone_dbfs;

    #[test]
    fn each_key_sounds_its_two_frequencies_and_no_other() {
        for (key, low, high) in [
            ('1', 697.0, 1209.0),
            ('6', 770.0, 1477.0),
            ('0', 941.0, 1336.0),
            ('*', 941.0, 1209.0),
            ('#', 941.0, 1477.0),
            ('A', 697.0, 1633.0),
            ('D', 941.0, 1633.0),
        ] {
            let digit = Digit::try_from(key).unwrap();
            assert_eq!(dtmf_frequencies_hz(digit), (low, high), "{key}");
            let mut pcm = vec![0; 1600];
            DualTone::dtmf(digit, 8000).fill(&mut pcm);
            assert!((tone_dbfs(&pcm, low, 8000) + 10.0).abs() < 0.5);
            assert!((tone_dbfs(&pcm, high, 8000) + 10.0).abs() < 0.5);
            assert!(tone_dbfs(&pcm, 852.0, 8000) < -30.0);
        }
    }

    #[test]
    fn frames_join_without_a_click() {
        let mut framed = Tone::new(440.0, -6.0, 8000);
        let frames = [framed.take(160), framed.take(160)].concat();
        assert_eq!(frames, Tone::new(440.0, -6.0, 8000).take(320));
    }
}
