//! When a side of the call was audible: stretches of voice found by energy, to 5 ms.
//!
//! Energy is enough here: both voices are synthetic and nothing but digital silence lies between
//! their words.

use std::time::Duration;

use trunkline_audio::rms_dbfs;
use trunkline_leg::Frame;
use trunkline_types::{CallTime, TICK};

/// Samples of one measurement: 5 ms at 16 kHz.
pub(crate) const BLOCK: usize = 80;

/// The length of one measurement.
const BLOCK_TIME: Duration = Duration::from_millis(5);

/// What is at least this loud is voice.
pub(crate) const VOICED_DBFS: f64 = -45.0;

/// Shorter gaps belong to one stretch: stops and pauses inside a sentence.
pub(crate) const PAUSE: Duration = Duration::from_millis(400);

/// One stretch of voice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// The start of its first sound.
    pub(crate) start: CallTime,
    /// The end of its last sound.
    pub(crate) end: CallTime,
}

/// All stretches of one side, in order.
#[derive(Debug, Default)]
pub(crate) struct VoiceTrace(Vec<Stretch>);

impl VoiceTrace {
    /// Takes the frame that ends at `at`.
    pub(crate) fn take(&mut self, frame: &Frame, at: CallTime) {
        let mut start = at - TICK;
        for block in frame.0.chunks_exact(BLOCK) {
            let end = start + BLOCK_TIME;
            if rms_dbfs(block) >= VOICED_DBFS {
                self.add(Stretch { start, end });
            }
            start = end;
        }
    }

    fn add(&mut self, block: Stretch) {
        match self.0.last_mut() {
            Some(last) if block.start.since(last.end) < PAUSE => last.end = block.end,
            _ => self.0.push(block),
        }
    }

    /// The first stretch that begins at `time` or later.
    pub(crate) fn first_from(&self, time: CallTime) -> Option<Stretch> {
        self.0.iter().copied().find(|each| each.start >= time)
    }

    /// The last stretch, if it begins at `time` or later.
    pub(crate) fn last_from(&self, time: CallTime) -> Option<Stretch> {
        self.0.last().copied().filter(|each| each.start >= time)
    }

    /// The stretch that sounds at `time`, pauses included.
    pub(crate) fn at(&self, time: CallTime) -> Option<Stretch> {
        self.0
            .iter()
            .copied()
            .find(|each| each.start <= time && time < each.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(voiced_blocks: std::ops::Range<usize>) -> Frame {
        let mut frame = Frame::silence();
        frame.0[voiced_blocks.start * BLOCK..voiced_blocks.end * BLOCK].fill(3000);
        frame
    }

    #[test]
    fn a_stretch_is_found_to_five_milliseconds() {
        let mut trace = VoiceTrace::default();
        trace.take(&frame(1..4), CallTime::from_millis(20));
        trace.take(&frame(0..2), CallTime::from_millis(40));
        let expected = Stretch {
            start: CallTime::from_millis(5),
            end: CallTime::from_millis(30),
        };
        assert_eq!(trace.last_from(CallTime::ZERO), Some(expected));
        assert_eq!(trace.at(CallTime::from_millis(29)), Some(expected));
        assert_eq!(trace.at(CallTime::from_millis(30)), None);
    }

    #[test]
    fn a_pause_joins_and_a_longer_silence_parts() {
        let mut trace = VoiceTrace::default();
        for at in [20, 300, 1000] {
            trace.take(&frame(0..4), CallTime::from_millis(at));
        }
        let starts: Vec<u64> = trace.0.iter().map(|each| each.start.as_millis()).collect();
        assert_eq!(starts, [0, 980]);
        let later = trace.first_from(CallTime::from_millis(1)).unwrap();
        assert_eq!(later.start, CallTime::from_millis(980));
    }
}
