//! Runs of frames: the 50 inputs a second that the media wheel gives the core, kept small.
//!
//! A frame that the core sees is one byte of speech probability and a playout mark. Marks
//! advance by 20 ms a frame while a clause plays, so a run keeps only the frames where the
//! mark does something else.

use serde::{Deserialize, Serialize};
use trunkline_leg::PlayoutMark;
use trunkline_types::{CallTime, TICK};

/// One frame as the core sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreFrame {
    /// The end of the frame on the call's clock.
    pub at: CallTime,
    /// Probability of speech, 0 to 255.
    pub speech: u8,
    /// How far playout has come.
    pub playing: Option<PlayoutMark>,
}

/// Consecutive frames.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameRun {
    /// The end of the first frame.
    #[serde(rename = "first_us")]
    first: CallTime,
    /// One hexadecimal byte per frame.
    speech: String,
    /// The mark before the first frame.
    before: Option<PlayoutMark>,
    /// Frames, by index, whose mark is not what the one before predicts.
    marks: Vec<(u32, Option<PlayoutMark>)>,
    #[serde(skip)]
    last: Option<PlayoutMark>,
}

fn predicted(mark: Option<PlayoutMark>) -> Option<PlayoutMark> {
    let step = u32::try_from(TICK.as_millis()).unwrap_or(20);
    mark.map(|m| PlayoutMark {
        played_ms: m.played_ms + step,
        ..m
    })
}

impl FrameRun {
    /// An empty run that follows a frame with this mark.
    pub fn after(mark: Option<PlayoutMark>) -> Self {
        Self {
            before: mark,
            last: mark,
            ..Self::default()
        }
    }

    /// Adds the frame that follows; `false` when it does not follow without a gap.
    pub fn push(&mut self, frame: CoreFrame) -> bool {
        if self.speech.is_empty() {
            self.first = frame.at;
        } else if frame.at != self.end() + TICK {
            return false;
        }
        if frame.playing != predicted(self.last) {
            self.marks.push((self.len(), frame.playing));
        }
        self.last = frame.playing;
        self.speech.push_str(&format!("{:02x}", frame.speech));
        true
    }

    /// How many frames.
    pub fn len(&self) -> u32 {
        u32::try_from(self.speech.len() / 2).unwrap_or(u32::MAX)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.speech.is_empty()
    }

    /// The mark of the last frame.
    pub fn last_mark(&self) -> Option<PlayoutMark> {
        self.last
    }

    fn end(&self) -> CallTime {
        self.first + TICK * self.len().saturating_sub(1)
    }

    /// The frames again. Speech bytes that are not hexadecimal end the run.
    pub fn frames(&self) -> Vec<CoreFrame> {
        let mut frames = Vec::new();
        let mut mark = self.before;
        let mut exceptions = self.marks.iter().peekable();
        for (index, pair) in (0_u32..).zip(self.speech.as_bytes().chunks(2)) {
            let Some(speech) = std::str::from_utf8(pair)
                .ok()
                .and_then(|p| u8::from_str_radix(p, 16).ok())
            else {
                break;
            };
            mark = predicted(mark);
            if let Some((_, exception)) = exceptions.next_if(|(at, _)| *at == index) {
                mark = *exception;
            }
            frames.push(CoreFrame {
                at: self.first + TICK * index,
                speech,
                playing: mark,
            });
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use trunkline_leg::AudioSource;
    use trunkline_types::UtteranceId;

    use super::*;

    fn mark(utterance: u32, played_ms: u32) -> Option<PlayoutMark> {
        Some(PlayoutMark {
            utterance: UtteranceId(utterance),
            clause: 0,
            played_ms,
            source: AudioSource::Live,
        })
    }

    fn frame(index: u64, speech: u8, playing: Option<PlayoutMark>) -> CoreFrame {
        CoreFrame {
            at: CallTime::from_millis(index * 20),
            speech,
            playing,
        }
    }

    #[test]
    fn a_run_gives_back_the_frames_that_went_in_through_json() {
        let frames = vec![
            frame(5, 0, mark(1, 40)),
            frame(6, 255, mark(1, 60)),
            frame(7, 17, None),
            frame(8, 3, mark(2, 20)),
            frame(9, 3, mark(2, 40)),
        ];
        let mut run = FrameRun::after(mark(1, 20));
        for f in &frames {
            assert!(run.push(*f));
        }
        let text = serde_json::to_string(&run).unwrap();
        let back: FrameRun = serde_json::from_str(&text).unwrap();
        assert_eq!(back.frames(), frames);
        assert_eq!(run.marks.len(), 2, "only the changes are kept: {text}");
    }

    #[test]
    fn a_frame_after_a_gap_begins_another_run() {
        let mut run = FrameRun::after(None);
        assert!(run.push(frame(1, 0, None)));
        assert!(!run.push(frame(3, 0, None)));
        assert_eq!(run.len(), 1);
    }
}
