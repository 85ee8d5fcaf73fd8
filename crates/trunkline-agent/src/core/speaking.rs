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
    duration_ms: Option<u32>,
    played_ms: u32,
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
            duration_ms: None,
            played_ms: 0,
        });
        u32::try_from(self.clauses.len() - 1).unwrap_or(u32::MAX)
    }

    /// No more text comes.
    pub(crate) fn complete(&mut self) {
        self.complete = true;
    }

    /// A clause is synthesised.
    pub(crate) fn clause_ready(&mut self, clause: u32, duration_ms: u32) {
        if let Some(clause) = self.clause_mut(clause) {
            clause.duration_ms = Some(duration_ms);
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
                clause.played_ms = clause.duration_ms.unwrap_or(u32::MAX);
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
            && self.clauses.iter().all(|c| match c.duration_ms {
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
            let duration = clause.duration_ms.unwrap_or(u32::MAX);
            if clause.played_ms.saturating_add(tick_ms()) >= duration {
                heard.push(text.to_owned());
                continue;
            }
            let words = words_within(text, clause.played_ms, duration);
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

/// The words of `text` whose share of letters fits in the share of time. A clause that is
/// not fully synthesised has no known duration; then a second of speech counts as 15 letters.
fn words_within(text: &str, played_ms: u32, duration_ms: u32) -> String {
    let letters = text.chars().count();
    let covered = if duration_ms == u32::MAX {
        usize::try_from(u64::from(played_ms) * 15 / 1000).unwrap_or(usize::MAX)
    } else {
        let share = u64::from(played_ms) * letters as u64 / u64::from(duration_ms.max(1));
        usize::try_from(share).unwrap_or(usize::MAX)
    };
    let mut end = 0;
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        end += word.chars().count();
        if end > covered {
            break;
        }
        words.push(word);
        end += 1;
    }
    words.join(" ")
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

    fn two_clauses() -> Speaking {
        let mut speaking = Speaking::new(UtteranceId(3), 0, true);
        speaking.add_clause("Thank you, Susan.");
        speaking.add_clause("Doctor Patel is free on Tuesday.");
        speaking.complete();
        speaking.clause_ready(0, 1000);
        speaking.clause_ready(1, 2000);
        speaking
    }

    #[test]
    fn only_the_words_that_were_played_count_as_heard() {
        let mut speaking = two_clauses();
        speaking.played(CallTime::from_millis(100), mark(0, 500));
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
