//! Comfort noise (RFC 3389): what the sender says its silence sounds like.
//!
//! Only the level is used; the spectrum that may follow it is not worth its filter here. We send
//! audio all the time and therefore never comfort noise.

/// The payload type of comfort noise at 8000 Hz (RFC 3551).
pub const COMFORT_NOISE_PAYLOAD_TYPE: u8 = 13;

/// Noise louder than this is not comfort: a sender that says so is not believed.
const LOUDEST_BELOW_OVERLOAD_DB: u8 = 40;

/// White noise of the level that the far end told.
#[derive(Debug)]
pub struct ComfortNoise {
    amplitude: f32,
    state: u32,
}

impl ComfortNoise {
    /// Noise of a comfort noise payload; `None` when it is empty.
    pub fn from_payload(payload: &[u8]) -> Option<Self> {
        let below_overload = (payload.first()? & 0x7f).max(LOUDEST_BELOW_OVERLOAD_DB);
        // Evenly distributed noise has a root mean square of its peak over the root of three.
        let peak = 10f32.powf(-f32::from(below_overload) / 20.0) * 3f32.sqrt();
        Some(Self {
            amplitude: peak * 32_768.0,
            state: 0x9e37_79b9,
        })
    }

    /// Fills `pcm` with noise.
    pub fn fill(&mut self, pcm: &mut [i16]) {
        for sample in pcm {
            self.state = self
                .state
                .wrapping_mul(1_664_525)
                .wrapping_add(1_013_904_223);
            let even = (self.state >> 16) as f32 / 32_768.0 - 1.0;
            *sample = (even * self.amplitude) as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use trunkline_audio::rms_dbfs;

    use super::*;

    #[test]
    fn noise_has_the_level_that_was_told_but_is_never_loud() {
        for (told, expected) in [(50, -50.0), (60, -60.0), (0, -40.0)] {
            let mut pcm = vec![0; 8000];
            ComfortNoise::from_payload(&[told]).unwrap().fill(&mut pcm);
            let level = rms_dbfs(&pcm);
            assert!((level - expected).abs() < 1.5, "{told}: {level}");
        }
        assert!(ComfortNoise::from_payload(&[]).is_none());
    }
}
