//! The last seconds of the caller's audio, so that a transcription can begin before the moment
//! in which speech was recognised as speech.

use std::collections::VecDeque;
use std::time::Duration;

use trunkline_leg::Frame;
use trunkline_types::CallTime;
#[cfg(test)]
use trunkline_types::TICK;

/// How much is kept: longer than any pre-roll and onset together.
const KEPT: Duration = Duration::from_secs(2);

/// A ring of recent frames.
#[derive(Debug, Default)]
pub(crate) struct AudioMemory {
    frames: VecDeque<(CallTime, Frame)>,
}

impl AudioMemory {
    /// Keeps a frame that ended at `at`.
    pub(crate) fn push(&mut self, at: CallTime, frame: Frame) {
        self.frames.push_back((at, frame));
        while self
            .frames
            .front()
            .is_some_and(|(first, _)| at.since(*first) >= KEPT)
        {
            self.frames.pop_front();
        }
    }

    /// All audio from the frame that holds `from` to now.
    pub(crate) fn since(&self, from: CallTime) -> Vec<i16> {
        self.frames
            .iter()
            .filter(|(end, _)| *end > from)
            .flat_map(|(_, frame)| frame.0.iter().copied())
            .collect()
    }

    /// How much is held.
    #[cfg(test)]
    fn held(&self) -> Duration {
        TICK * u32::try_from(self.frames.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use trunkline_leg::FRAME_SAMPLES;

    use super::*;

    fn frame(value: i16) -> Frame {
        Frame(Box::new([value; FRAME_SAMPLES]))
    }

    #[test]
    fn audio_comes_back_from_the_asked_moment_on() {
        let mut memory = AudioMemory::default();
        for index in 1..=10_i16 {
            memory.push(
                CallTime::from_millis(u64::from(index.unsigned_abs()) * 20),
                frame(index),
            );
        }
        let audio = memory.since(CallTime::from_millis(160));
        assert_eq!(audio.len(), 2 * FRAME_SAMPLES);
        assert_eq!((audio[0], audio[FRAME_SAMPLES]), (9, 10));
    }

    #[test]
    fn old_audio_is_forgotten() {
        let mut memory = AudioMemory::default();
        for index in 1..=500 {
            memory.push(CallTime::from_millis(index * 20), frame(0));
        }
        assert_eq!(memory.held(), KEPT);
    }
}
