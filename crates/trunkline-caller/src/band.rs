//! The band of a telephone line: 300 to 3400 Hz, by two second-order Butterworth filters (R.
//! Bristow-Johnson, Audio EQ Cookbook).

use std::f64::consts::{FRAC_1_SQRT_2, TAU};

use trunkline_leg::SAMPLE_RATE_HZ;

/// One second-order section, direct form I.
struct Section {
    b: [f64; 3],
    a: [f64; 2],
    x: [f64; 2],
    y: [f64; 2],
}

impl Section {
    fn high_pass(corner_hz: f64) -> Self {
        Self::new(corner_hz, |cos| {
            [(1.0 + cos) / 2.0, -(1.0 + cos), (1.0 + cos) / 2.0]
        })
    }

    fn low_pass(corner_hz: f64) -> Self {
        Self::new(corner_hz, |cos| {
            [(1.0 - cos) / 2.0, 1.0 - cos, (1.0 - cos) / 2.0]
        })
    }

    fn new(corner_hz: f64, numerator: impl Fn(f64) -> [f64; 3]) -> Self {
        let (sin, cos) = (TAU * corner_hz / f64::from(SAMPLE_RATE_HZ)).sin_cos();
        let alpha = sin / (2.0 * FRAC_1_SQRT_2);
        let a0 = 1.0 + alpha;
        Self {
            b: numerator(cos).map(|b| b / a0),
            a: [-2.0 * cos / a0, (1.0 - alpha) / a0],
            x: [0.0; 2],
            y: [0.0; 2],
        }
    }

    fn step(&mut self, x: f64) -> f64 {
        let y = self.b[0] * x + self.b[1] * self.x[0] + self.b[2] * self.x[1]
            - self.a[0] * self.y[0]
            - self.a[1] * self.y[1];
        self.x = [x, self.x[0]];
        self.y = [y, self.y[0]];
        y
    }
}

/// Passes 16 kHz audio through the line.
pub(crate) fn telephone_band(pcm: &mut [i16]) {
    let mut low = Section::high_pass(300.0);
    let mut high = Section::low_pass(3400.0);
    for sample in pcm {
        *sample = high.step(low.step(f64::from(*sample))).round() as i16;
    }
}

#[cfg(test)]
mod tests {
    use trunkline_audio::{Tone, rms_dbfs};

    use super::*;

    fn loss_db(hz: f64) -> f64 {
        let mut pcm = Tone::new(hz, -10.0, SAMPLE_RATE_HZ).take(16_000);
        let before = rms_dbfs(&pcm);
        telephone_band(&mut pcm);
        before - rms_dbfs(&pcm[1600..])
    }

    #[test]
    fn the_middle_passes_and_the_edges_fall() {
        assert!(loss_db(1000.0) < 0.5);
        assert!((loss_db(300.0) - 3.0).abs() < 0.3);
        assert!((loss_db(3400.0) - 3.0).abs() < 0.3);
        assert!(loss_db(75.0) > 20.0);
        assert!(loss_db(7000.0) > 20.0);
    }
}
