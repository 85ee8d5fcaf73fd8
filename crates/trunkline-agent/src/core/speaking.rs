//! An utterance of the agent: its clauses, how far playout has come, and from that the exact
//! account of what the caller heard.

use trunkline_leg::PlayoutMark;
use trunkline_types::{CallTime, TICK, UtteranceId};

/// One utterance, from the first word decided to the last sample sent.
#[derive(Debug, Clone)]
pub(crate) struct Speaking {
    pub(crate) utterance: UtteranceId,
    /// The workflow's number for the line.
    pub(crate) line: u32,
    /// Whether the caller's voice may stop it.
    pub(crate) interruptible: bool,
    /// When the first sample was sent.
    pub(crate) first_sample: Option<CallTime>,
    clauses: Vec<Clause>,
    /// Whether more text may come.
    complete: bool,
}

#[derive(Debug, Clone)]
struct Clause {
    text: String,
    /// Known once it is synthesised.
    times: Option<ClauseTimes>,
    played_ms: u32,
}

/// The times of a clause that is synthesised, from its first sample.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ClauseTimes {
    /// How long it plays.
    pub(crate) duration_ms: u32,
    /// Where the first sound begins.
    pub(crate) from_ms: u32,
    /// Where the last sound ends.
    pub(crate) until_ms: u32,
}

impl Speaking {
    pub(crate) fn new(utterance: UtteranceId, line: u32, interruptible: bool) -> Self {
        Self {
            utterance,
            line,
            interruptible,
            first_sample: None,
            clauses: Vec::new(),
            complete: false,
        }
    }

    /// Adds a clause and gives its number.
    pub(crate) fn add_clause(&mut self, text: &str) -> u32 {
        self.clauses.push(Clause {
            text: text.to_owned(),
            times: None,
            played_ms: 0,
        });
        u32::try_from(self.clauses.len() - 1).unwrap_or(u32::MAX)
    }

    /// No more text comes.
    pub(crate) fn complete(&mut self) {
        self.complete = true;
    }

    /// A clause is synthesised.
    pub(crate) fn clause_ready(&mut self, clause: u32, times: ClauseTimes) {
        if let Some(clause) = self.clause_mut(clause) {
            clause.times = Some(times);
        }
    }

    /// A frame of it was sent. A mark in a later clause means that those before are through.
    pub(crate) fn played(&mut self, at: CallTime, mark: PlayoutMark) {
        if mark.utterance != self.utterance {
            return;
        }
        if self.first_sample.is_none() {
            self.first_sample = Some(at - TICK);
        }
        let current = usize::try_from(mark.clause).unwrap_or(usize::MAX);
        for (index, clause) in self.clauses.iter_mut().enumerate() {
            if index < current {
                clause.played_ms = clause.times.map_or(u32::MAX, |times| times.duration_ms);
            } else if index == current {
                clause.played_ms = clause.played_ms.max(mark.played_ms);
            }
        }
    }

    /// Whether the last sample was sent, given what is playing now.
    pub(crate) fn is_through(&self, playing: Option<PlayoutMark>) -> bool {
        let still_playing = playing.is_some_and(|mark| mark.utterance == self.utterance);
        self.complete
            && !still_playing
            && self
                .clauses
                .iter()
                .all(|c| match c.times.map(|times| times.duration_ms) {
                    Some(0) => true,
                    Some(duration) => {
                        c.played_ms > 0 && c.played_ms.saturating_add(tick_ms()) >= duration
                    }
                    None => false,
                })
    }

    /// The whole text.
    pub(crate) fn text(&self) -> String {
        let texts: Vec<&str> = self.clauses.iter().map(|c| c.text.trim()).collect();
        texts.join(" ")
    }

    /// What the caller heard: clauses that were played whole, and of the last one the words
    /// that its share of playing time covers.
    pub(crate) fn heard(&self) -> String {
        let mut heard = Vec::new();
        for clause in &self.clauses {
            let text = clause.text.trim();
            let last_sound = clause.times.map_or(u32::MAX, |times| times.until_ms);
            if clause.played_ms.saturating_add(tick_ms()) >= last_sound {
                heard.push(text.to_owned());
                continue;
            }
            let words = words_within(text, clause.played_ms, clause.times);
            if !words.is_empty() {
                heard.push(words);
            }
            break;
        }
        heard.join(" ")
    }

    fn clause_mut(&mut self, clause: u32) -> Option<&mut Clause> {
        usize::try_from(clause)
            .ok()
            .and_then(|index| self.clauses.get_mut(index))
    }
}

fn tick_ms() -> u32 {
    u32::try_from(TICK.as_millis()).unwrap_or(20)
}

/// How long things take to say, in letters: what stands for a digit, a comma, a full stop, and the
/// gap between two words.
const DIGIT: u64 = 4;
const COMMA: u64 = 3;
const STOP: u64 = 5;
const GAP: u64 = 1;

/// Letters that are spoken in a second, where a clause is not yet synthesised.
const LETTERS_PER_SECOND: u64 = 15;

/// The words of `text` that are said to their end within `played_ms`, by their share of its letters.
fn words_within(text: &str, played_ms: u32, times: Option<ClauseTimes>) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    // When each word ends, in letters.
    let mut ends = Vec::with_capacity(words.len());
    let mut at = 0;
    for word in &words {
        at += letters(word);
        ends.push(at);
        at += pause_after(word) + GAP;
    }
    let whole = ends.last().copied().unwrap_or(0);
    let covered = match times {
        Some(times) => {
            let sounding = times.until_ms.saturating_sub(times.from_ms).max(1);
            let played = played_ms.saturating_sub(times.from_ms);
            u64::from(played) * whole / u64::from(sounding)
        }
        None => u64::from(played_ms) * LETTERS_PER_SECOND / 1000,
    };
    let said = ends.iter().take_while(|end| **end <= covered).count();
    words[..said].join(" ")
}

fn letters(word: &str) -> u64 {
    let length = |c: char| {
        if c.is_ascii_digit() {
            DIGIT
        } else {
            u64::from(c.is_alphanumeric())
        }
    };
    word.chars().map(length).sum()
}

fn pause_after(word: &str) -> u64 {
    match word.chars().last() {
        Some(',' | ';' | ':') => COMMA,
        Some('.' | '!' | '?') => STOP,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use trunkline_leg::AudioSource;

    use super::*;

    fn mark(clause: u32, played_ms: u32) -> PlayoutMark {
        PlayoutMark {
            utterance: UtteranceId(3),
            clause,
            played_ms,
            source: AudioSource::Live,
        }
    }

    fn times(from_ms: u32, until_ms: u32, duration_ms: u32) -> ClauseTimes {
        ClauseTimes {
            duration_ms,
            from_ms,
            until_ms,
        }
    }

    fn two_clauses() -> Speaking {
        let mut speaking = Speaking::new(UtteranceId(3), 0, true);
        speaking.add_clause("Thank you, Susan.");
        speaking.add_clause("Doctor Patel is free on Tuesday.");
        speaking.complete();
        speaking.clause_ready(0, times(0, 1000, 1000));
        speaking.clause_ready(1, times(0, 2000, 2000));
        speaking
    }

    #[test]
    fn only_the_words_that_were_played_count_as_heard() {
        let mut speaking = two_clauses();
        speaking.played(CallTime::from_millis(100), mark(0, 400));
        assert_eq!(speaking.heard(), "Thank");
        speaking.played(CallTime::from_millis(2000), mark(1, 1000));
        assert_eq!(speaking.heard(), "Thank you, Susan. Doctor Patel is");
    }

    #[test]
    fn an_utterance_is_through_when_its_last_clause_fell_silent() {
        let mut speaking = two_clauses();
        speaking.played(CallTime::from_millis(100), mark(0, 20));
        assert!(
            !speaking.is_through(None),
            "a pause between clauses is not the end"
        );
        speaking.played(CallTime::from_millis(4000), mark(1, 2000));
        assert!(!speaking.is_through(Some(mark(1, 2000))));
        assert!(speaking.is_through(None));
        assert_eq!(speaking.heard(), speaking.text());
    }

    #[test]
    fn the_silence_of_the_voice_says_no_words_and_digits_take_their_time() {
        let mut speaking = Speaking::new(UtteranceId(3), 0, true);
        speaking.add_clause("Dial 0299, please.");
        speaking.clause_ready(0, times(300, 1300, 2000));
        let mut heard = |played_ms| {
            speaking.played(CallTime::from_millis(100), mark(0, played_ms));
            speaking.heard()
        };
        assert_eq!(heard(300), "");
        assert_eq!(heard(500), "Dial");
        assert_eq!(heard(960), "Dial");
        assert_eq!(heard(1100), "Dial 0299,");
        assert_eq!(heard(1300), "Dial 0299, please.");
    }

    #[test]
    fn nothing_is_heard_before_the_first_sample() {
        assert_eq!(two_clauses().heard(), "");
    }

    #[test]
    fn marks_of_another_utterance_do_not_count() {
        let mut speaking = two_clauses();
        let other = PlayoutMark {
            utterance: UtteranceId(2),
            ..mark(0, 900)
        };
        speaking.played(CallTime::from_millis(100), other);
        assert_eq!(speaking.first_sample, None);
    }
}
