//! Whether words are a whole answer, by rule: the last word, punctuation, and how many digits there
//! are. Cheap, explainable, and the same on every machine.
//!
//! It is on the careful side: what no rule knows is unclear.

use crate::{AnswerKind, DigitCount, Expectation};

/// How an answer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Completeness {
    /// Nothing is missing.
    Complete,
    /// No rule knows.
    Unclear,
    /// A number is being read out, and more of it may follow.
    Dictating,
    /// The last word asks for another.
    Incomplete,
}

/// The words of a language that say something about how an answer goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cues {
    /// After these something follows.
    open: &'static [&'static str],
    /// With these at the end all is said.
    close: &'static [&'static str],
    /// Whole answers to a question of yes or no.
    yes_no: &'static [&'static str],
    /// Digits as words, each with how many it stands for.
    digits: &'static [(&'static str, u32)],
}

/// Digits in a row, at the end, from which a number is taken for being read out whatever was asked.
const READ_OUT: u32 = 3;

const ENGLISH: Cues = Cues {
    open: &[
        "a", "an", "the", "my", "your", "his", "its", "our", "their", "and", "or", "but", "so",
        "because", "if", "when", "while", "to", "of", "for", "from", "with", "at", "in", "on",
        "by", "about", "into", "than", "as", "is", "are", "was", "were", "am", "be", "im", "i",
        "id", "ill", "ive", "will", "would", "could", "should", "can", "you", "we", "they", "he",
        "she", "its", "um", "uh", "er", "erm", "hmm", "mm", "like", "well", "until", "between",
        "doctor", "every", "maybe", "whether", "not", "dont", "want", "need", "have", "has", "had",
        "number", "plus",
    ],
    close: &[
        "please",
        "thanks",
        "goodbye",
        "bye",
        "thank you",
        "that is all",
        "thats all",
        "thats it",
        "that is it",
        "nothing else",
    ],
    yes_no: &[
        "yes",
        "no",
        "yeah",
        "yep",
        "nope",
        "sure",
        "okay",
        "ok",
        "correct",
        "right",
        "exactly",
        "yes it is",
        "yes i do",
        "no i dont",
        "no it isnt",
        "that is right",
        "thats right",
        "of course",
        "not really",
        "i do",
        "i dont",
        "that is correct",
        "thats correct",
    ],
    digits: &[
        ("zero", 1),
        ("oh", 1),
        ("o", 1),
        ("one", 1),
        ("two", 1),
        ("three", 1),
        ("four", 1),
        ("five", 1),
        ("six", 1),
        ("seven", 1),
        ("eight", 1),
        ("nine", 1),
        ("ten", 2),
        ("eleven", 2),
        ("twelve", 2),
        ("thirteen", 2),
        ("fourteen", 2),
        ("fifteen", 2),
        ("sixteen", 2),
        ("seventeen", 2),
        ("eighteen", 2),
        ("nineteen", 2),
    ],
};

const UNKNOWN: Cues = Cues {
    open: &[],
    close: &[],
    yes_no: &[],
    digits: &[],
};

/// Tens count two digits, unless a further digit follows, which is then the second one.
const TENS: [&str; 8] = [
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
];

/// So often the digit after it.
const REPEATED: [(&str, u32); 2] = [("double", 2), ("triple", 3)];

impl Cues {
    /// Those of a language (ISO 639-1); none for one that is not known.
    pub(crate) fn of(language: &str) -> Self {
        let code = language.split(['-', '_']).next().unwrap_or_default();
        match code {
            "en" => ENGLISH,
            _ => UNKNOWN,
        }
    }

    /// Judges all the words of a turn so far.
    pub(crate) fn judge(self, text: &str, expecting: &Expectation) -> Completeness {
        let text = text.trim();
        let words: Vec<String> = text
            .split(|c: char| c.is_whitespace() || "-/,".contains(c))
            .map(bare)
            .filter(|word| !word.is_empty())
            .collect();
        let Some(last) = words.last() else {
            return Completeness::Unclear;
        };
        let dictated = self.trailing_digits(&words);
        if let Some(judged) = judge_digits(dictated, expecting) {
            return judged;
        }
        let goes_on = [",", "-", "...", "\u{2026}"];
        if goes_on.iter().any(|mark| text.ends_with(mark)) {
            return Completeness::Incomplete;
        }
        let said = format!(" {}", words.join(" "));
        let answers = expecting.kind == AnswerKind::YesNo && self.yes_no.contains(&said.trim());
        let closes = || {
            let mut phrases = self.close.iter();
            phrases.any(|phrase| said.ends_with(&format!(" {phrase}")))
        };
        if answers || text.ends_with('?') || closes() {
            Completeness::Complete
        } else if self.open.contains(&last.as_str()) {
            Completeness::Incomplete
        } else {
            Completeness::Unclear
        }
    }

    /// Digits in the words at the end that are nothing but digits.
    fn trailing_digits(self, words: &[String]) -> u32 {
        let mut digits = 0;
        // The digits of the word after this one, which a repetition or a ten speaks of.
        let mut after = 0;
        for word in words.iter().rev() {
            let own = if word.bytes().all(|byte| byte.is_ascii_digit()) {
                u32::try_from(word.len()).unwrap_or(u32::MAX)
            } else if let Some((_, count)) = self.digits.iter().find(|(name, _)| name == word) {
                *count
            } else if !self.digits.is_empty() && TENS.contains(&word.as_str()) {
                // "forty two" is two digits, of which one is counted.
                if after == 1 { 1 } else { 2 }
            } else if let Some((_, times)) = REPEATED.iter().find(|(name, _)| name == word) {
                times - 1
            } else {
                break;
            };
            digits += own;
            after = own;
        }
        digits
    }
}

fn judge_digits(dictated: u32, expecting: &Expectation) -> Option<Completeness> {
    if expecting.kind != AnswerKind::Digits {
        return (dictated >= READ_OUT).then_some(Completeness::Dictating);
    }
    if dictated == 0 {
        return None;
    }
    Some(match expecting.digits {
        Some(DigitCount { most, .. }) if dictated >= most => Completeness::Complete,
        Some(DigitCount { least, .. }) if dictated < least => Completeness::Incomplete,
        _ => Completeness::Dictating,
    })
}

fn bare(word: &str) -> String {
    let letters = word.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str, kind: AnswerKind, digits: Option<(u32, u32)>) -> Completeness {
        let expecting = Expectation {
            kind,
            digits: digits.map(|(least, most)| DigitCount { least, most }),
            ..Expectation::default()
        };
        Cues::of("en-GB").judge(text, &expecting)
    }

    #[test]
    fn the_last_word_says_whether_more_is_to_come() {
        let free = |text| judge(text, AnswerKind::Free, None);
        for text in [
            "I would like to book an",
            "my number is",
            "on Wednesday and",
            "I want to, um",
            "it is the second,",
            "Well...",
        ] {
            assert_eq!(free(text), Completeness::Incomplete, "{text}");
        }
        for text in [
            "book it please",
            "No, that's all.",
            "Where can I park?",
            "thank you",
        ] {
            assert_eq!(free(text), Completeness::Complete, "{text}");
        }
        for text in ["", "on wednesday", "Yes.", "I lost my card."] {
            assert_eq!(free(text), Completeness::Unclear, "{text}");
        }
    }

    #[test]
    fn a_plain_yes_is_whole_where_it_was_asked_for() {
        let asked = |text| judge(text, AnswerKind::YesNo, None);
        assert_eq!(asked("Yes."), Completeness::Complete);
        assert_eq!(asked("that's right"), Completeness::Complete);
        assert_eq!(asked("yes on wednesday"), Completeness::Unclear);
        assert_eq!(asked("no but"), Completeness::Incomplete);
    }

    #[test]
    fn a_number_is_whole_when_it_has_its_digits() {
        let asked = |text| judge(text, AnswerKind::Digits, Some((4, 6)));
        assert_eq!(asked("it is four seven"), Completeness::Incomplete);
        assert_eq!(asked("four seven two nine"), Completeness::Dictating);
        assert_eq!(asked("472-918"), Completeness::Complete);
        assert_eq!(
            asked("forty seven double two nine eighteen"),
            Completeness::Complete
        );
        assert_eq!(asked("forty seven, twenty nine"), Completeness::Dictating);
        assert_eq!(asked("I do not know it"), Completeness::Unclear);
        let unknown = judge("four seven", AnswerKind::Digits, None);
        assert_eq!(unknown, Completeness::Dictating);
    }

    #[test]
    fn a_number_that_is_read_out_unasked_is_noticed() {
        let free = |text| judge(text, AnswerKind::Free, None);
        assert_eq!(free("my number is oh two nine"), Completeness::Dictating);
        assert_eq!(free("call me on 0299 1836"), Completeness::Dictating);
        assert_eq!(free("the second at two"), Completeness::Unclear);
    }

    #[test]
    fn words_of_an_unknown_language_decide_nothing() {
        let expecting = Expectation::default();
        let cues = Cues::of("xx");
        assert_eq!(cues.judge("please", &expecting), Completeness::Unclear);
        assert_eq!(cues.judge("va bene?", &expecting), Completeness::Complete);
        assert_eq!(cues.judge("0299", &expecting), Completeness::Dictating);
    }
}
