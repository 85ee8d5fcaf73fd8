//! What the agent wants heard, cut into 20 ms frames, with the count of what was really played.

use std::collections::VecDeque;
use std::time::Duration;

use trunkline_leg::{AudioSource, FRAME_SAMPLES, PlayoutChunk, PlayoutMark, SAMPLE_RATE_HZ};
use trunkline_types::{TICK, UtteranceId};

const SAMPLES_PER_MS: u32 = SAMPLE_RATE_HZ / 1000;

/// The clause that was heard last and how much of it.
#[derive(Debug, Clone, Copy)]
struct Clause {
    utterance: UtteranceId,
    clause: u32,
    source: AudioSource,
    samples: u32,
}

/// The queue of one leg.
#[derive(Debug, Default)]
pub(crate) struct Playout {
    waiting: VecDeque<PlayoutChunk>,
    /// Samples of the first chunk that were played.
    played: usize,
    clause: Option<Clause>,
    /// The last frame had sound, so a clear must fade.
    sounding: bool,
}

impl Playout {
    pub(crate) fn play(&mut self, chunk: PlayoutChunk) {
        if !chunk.pcm.is_empty() {
            self.waiting.push_back(chunk);
        }
    }

    /// Drops what is queued but for the fade of what is being heard, which fits into one frame.
    pub(crate) fn clear(&mut self, fade: Duration) {
        let fade_samples = if self.sounding {
            let micros = fade.min(TICK).as_micros() as usize;
            micros * SAMPLE_RATE_HZ as usize / 1_000_000
        } else {
            0
        };
        let mut kept = VecDeque::new();
        let mut left = fade_samples;
        let mut skip = std::mem::take(&mut self.played);
        for mut chunk in self.waiting.drain(..) {
            chunk.pcm.drain(..skip);
            skip = 0;
            if left == 0 {
                break;
            }
            chunk.pcm.truncate(left);
            left -= chunk.pcm.len();
            kept.push_back(chunk);
        }
        let length = fade_samples - left;
        let samples = kept.iter_mut().flat_map(|chunk| chunk.pcm.iter_mut());
        for (index, sample) in samples.enumerate() {
            let gain = 1.0 - (index as f32 + 1.0) / length as f32;
            *sample = (f32::from(*sample) * gain) as i16;
        }
        self.waiting = kept;
    }

    /// Fills `frame` with the next 20 ms, silence where nothing is queued. Returns how far playout
    /// has come; `None` when nothing sounded.
    pub(crate) fn next(&mut self, frame: &mut [i16; FRAME_SAMPLES]) -> Option<PlayoutMark> {
        let mut filled = 0;
        while let Some(chunk) = self.waiting.front() {
            let rest = &chunk.pcm[self.played..];
            let taken = rest.len().min(FRAME_SAMPLES - filled);
            frame[filled..filled + taken].copy_from_slice(&rest[..taken]);
            let finished = taken == rest.len();
            let heard = Clause {
                utterance: chunk.utterance,
                clause: chunk.clause,
                source: chunk.source,
                samples: 0,
            };
            self.advance(heard, taken as u32);
            filled += taken;
            self.played += taken;
            if finished {
                self.waiting.pop_front();
                self.played = 0;
            }
            if filled == FRAME_SAMPLES {
                break;
            }
        }
        frame[filled..].fill(0);
        self.sounding = filled > 0;
        self.clause.filter(|_| filled > 0).map(Clause::mark)
    }

    /// Nothing was asked for in this tick: the far end is on hold, or a key is being sent.
    pub(crate) fn wait(&mut self, frame: &mut [i16; FRAME_SAMPLES]) {
        frame.fill(0);
        self.sounding = false;
    }

    fn advance(&mut self, heard: Clause, samples: u32) {
        let before = self
            .clause
            .filter(|clause| clause.utterance == heard.utterance && clause.clause == heard.clause)
            .map_or(0, |clause| clause.samples);
        self.clause = Some(Clause {
            samples: before.saturating_add(samples),
            ..heard
        });
    }
}

impl Clause {
    fn mark(self) -> PlayoutMark {
        PlayoutMark {
            utterance: self.utterance,
            clause: self.clause,
            played_ms: self.samples / SAMPLES_PER_MS,
            source: self.source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(clause: u32, samples: usize) -> PlayoutChunk {
        PlayoutChunk {
            utterance: UtteranceId(1),
            clause,
            source: AudioSource::Live,
            pcm: vec![10_000; samples],
        }
    }

    fn next(playout: &mut Playout) -> ([i16; FRAME_SAMPLES], Option<PlayoutMark>) {
        let mut frame = [7; FRAME_SAMPLES];
        let mark = playout.next(&mut frame);
        (frame, mark)
    }

    #[test]
    fn an_empty_queue_is_digital_silence() {
        let (frame, mark) = next(&mut Playout::default());
        assert_eq!((frame, mark), ([0; FRAME_SAMPLES], None));
    }

    #[test]
    fn the_mark_counts_each_clause_from_its_own_start() {
        let mut playout = Playout::default();
        playout.play(chunk(0, 480));
        playout.play(chunk(0, 160));
        playout.play(chunk(1, 480));
        let marks: Vec<(u32, u32)> = (0..4)
            .filter_map(|_| next(&mut playout).1)
            .map(|mark| (mark.clause, mark.played_ms))
            .collect();
        assert_eq!(marks, [(0, 20), (0, 40), (1, 20), (1, 30)]);
        assert_eq!(next(&mut playout).1, None);
    }

    #[test]
    fn a_clause_that_comes_in_pieces_is_counted_through_the_gap() {
        let mut playout = Playout::default();
        playout.play(chunk(0, 320));
        next(&mut playout);
        assert_eq!(next(&mut playout).1, None);
        playout.play(chunk(0, 320));
        assert_eq!(next(&mut playout).1.map(|mark| mark.played_ms), Some(40));
    }

    #[test]
    fn a_clear_fades_within_one_frame_and_what_follows_plays_after_it() {
        let mut playout = Playout::default();
        playout.play(chunk(0, 32_000));
        next(&mut playout);
        playout.clear(Duration::from_millis(10));
        playout.play(chunk(5, 320));
        let (frame, mark) = next(&mut playout);
        assert!(frame[0] > 9000 && frame[100] < frame[0] && frame[159] == 0);
        assert_eq!(frame[160], 10_000);
        assert_eq!(mark.map(|mark| mark.clause), Some(5));
    }

    #[test]
    fn a_clear_never_outlasts_one_frame_and_adds_nothing_when_silent() {
        let mut playout = Playout::default();
        playout.play(chunk(0, 32_000));
        next(&mut playout);
        playout.clear(Duration::from_secs(3));
        let (frame, mark) = next(&mut playout);
        assert_eq!(frame[FRAME_SAMPLES - 1], 0);
        assert_eq!(mark.map(|mark| mark.played_ms), Some(40));
        assert_eq!(next(&mut playout), ([0; FRAME_SAMPLES], None));

        playout.play(chunk(1, 32_000));
        playout.clear(Duration::from_millis(20));
        assert_eq!(next(&mut playout), ([0; FRAME_SAMPLES], None));
    }
}
