//! Is there speech in these 20 ms?
//!
//! A small neural detector hears 16 ms windows; what comes out is one smoothed probability for
//! each 20 ms frame. Deciding when a turn begins or ends is not done here.

use earshot::Detector;

/// Samples of one 20 ms frame at 16 kHz.
const FRAME_SAMPLES: usize = 320;

/// Samples that the network takes at a time.
const WINDOW_SAMPLES: usize = 256;

/// A window whose loudest sample is below this (-66 dBFS) holds no speech: it is the noise of a
/// codec's smallest steps.
const INAUDIBLE_PEAK: u16 = 16;

/// How far a rising probability is followed at once. Onsets matter for barge-in, so nearly all.
const ATTACK: f32 = 0.7;

/// How far a falling probability is followed at once, so that a plosive's gap is bridged.
const RELEASE: f32 = 0.35;

/// Hears one direction of one call. About 8 KiB of state.
pub struct SpeechDetector {
    network: Box<Detector>,
    pending: [i16; WINDOW_SAMPLES],
    filled: usize,
    probability: f32,
}

impl Default for SpeechDetector {
    fn default() -> Self {
        Self::new()
    }
}

impl SpeechDetector {
    /// A detector that has heard nothing.
    pub fn new() -> Self {
        Self {
            network: Box::new(Detector::default()),
            pending: [0; WINDOW_SAMPLES],
            filled: 0,
            probability: 0.0,
        }
    }

    /// Hears 20 ms of mono PCM at 16 kHz. Returns the probability that it holds speech, from 0
    /// (no) to 255 (yes).
    pub fn hear(&mut self, frame: &[i16; FRAME_SAMPLES]) -> u8 {
        let mut rest: &[i16] = frame;
        while !rest.is_empty() {
            let taken = rest.len().min(WINDOW_SAMPLES - self.filled);
            let (now, later) = rest.split_at(taken);
            self.pending[self.filled..self.filled + taken].copy_from_slice(now);
            self.filled += taken;
            rest = later;
            if self.filled == WINDOW_SAMPLES {
                self.filled = 0;
                self.follow();
            }
        }
        // In range by construction: a probability times 255.
        (self.probability * 255.0).round() as u8
    }

    /// Forgets what was heard, for a new call or after a hold.
    pub fn reset(&mut self) {
        self.network.reset();
        self.filled = 0;
        self.probability = 0.0;
    }

    fn follow(&mut self) {
        let peak = self.pending.iter().map(|s| s.unsigned_abs()).max();
        // The network is the dearest part of a leg; it is not asked about what nobody can hear.
        let heard = if peak < Some(INAUDIBLE_PEAK) {
            0.0
        } else {
            self.network.predict_i16(&self.pending).clamp(0.0, 1.0)
        };
        let step = if heard > self.probability {
            ATTACK
        } else {
            RELEASE
        };
        self.probability += step * (heard - self.probability);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_not_speech() {
        let mut detector = SpeechDetector::new();
        let loudest = (0..100).map(|_| detector.hear(&[0; FRAME_SAMPLES])).max();
        assert!(loudest.unwrap() < 64, "{loudest:?}");
    }
}
