//! Tells the beginning of speech from a click.

use std::time::Duration;

use trunkline_types::{CallTime, TICK};

/// Frames below the threshold that a beginning survives: plosives dip for a frame.
const TOLERATED_DIP: u32 = 1;

/// How far speech may fall below the threshold where it began and still go on, in probability.
const HYSTERESIS: f32 = 0.15;

/// The two levels of the hysteresis, on the scale of a frame's probability.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Levels {
    begin: u8,
    go_on: u8,
}

impl Levels {
    pub(crate) fn new(threshold: f32) -> Self {
        Self {
            begin: to_level(threshold),
            go_on: to_level(threshold - HYSTERESIS),
        }
    }

    /// Whether a frame is voiced, given whether the one before it was.
    pub(crate) fn voiced(self, speech: u8, before: bool) -> bool {
        speech >= if before { self.go_on } else { self.begin }
    }
}

/// Clamped to 1, so that a frame of probability zero is never voiced.
fn to_level(probability: f32) -> u8 {
    (probability * 255.0).round().clamp(1.0, 255.0) as u8
}

/// A beginning under watch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Onset {
    /// Start of its first voiced frame.
    pub(crate) start: CallTime,
    /// End of its last voiced frame.
    pub(crate) last_voice: CallTime,
    /// Voiced frames so far.
    pub(crate) voiced: u32,
    dip: u32,
}

impl Onset {
    /// Takes the frame that ended at `at`; gives the beginning that is under watch after it.
    pub(crate) fn follow(watched: Option<Self>, at: CallTime, voiced: bool) -> Option<Self> {
        match (watched, voiced) {
            (None, false) => None,
            (None, true) => Some(Self {
                start: at - TICK,
                last_voice: at,
                voiced: 1,
                dip: 0,
            }),
            (Some(onset), true) => Some(Self {
                last_voice: at,
                voiced: onset.voiced + 1,
                dip: 0,
                ..onset
            }),
            (Some(onset), false) if onset.dip < TOLERATED_DIP => Some(Self {
                dip: onset.dip + 1,
                ..onset
            }),
            (Some(_), false) => None,
        }
    }

    /// Whether there has been at least `needed` of speech.
    pub(crate) fn lasts(self, needed: Duration) -> bool {
        TICK * self.voiced >= needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_goes_on_below_the_level_where_it_begins() {
        let levels = Levels::new(0.5);
        assert!(!levels.voiced(100, false));
        assert!(levels.voiced(100, true));
        assert!(!levels.voiced(80, true));
        assert!(levels.voiced(128, false));
    }

    #[test]
    fn a_dip_of_one_frame_is_survived_and_of_two_is_not() {
        let follow = |frames: &[bool]| {
            frames.iter().zip(1..).fold(None, |onset, (voiced, tick)| {
                Onset::follow(onset, CallTime::ZERO + TICK * tick, *voiced)
            })
        };
        let survived = follow(&[true, true, false, true]).unwrap();
        assert_eq!(survived.voiced, 3);
        assert_eq!(survived.start, CallTime::ZERO);
        let restarted = follow(&[true, true, false, false, true]).unwrap();
        assert_eq!(restarted.voiced, 1);
        assert_eq!(restarted.start, CallTime::from_millis(80));
    }
}
