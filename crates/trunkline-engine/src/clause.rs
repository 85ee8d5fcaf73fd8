//! Cutting what the agent says into clauses, so that the first one is heard while the rest is
//! still being written or synthesised.
//!
//! A clause ends with a sentence, at a comma or dash once a few words stand before it, or
//! before a conjunction in a long run without any punctuation. Never inside a number, an
//! abbreviation or a list of digits. A cut is decided from what stands before it and one word
//! after it, so the pieces do not depend on how the text arrived.

/// Words that end in a full stop without ending a sentence.
const ABBREVIATIONS: &[&str] = &[
    "mr", "mrs", "ms", "dr", "prof", "st", "ave", "rd", "no", "vs", "etc", "e.g", "i.e", "approx",
    "dept", "ext", "inc", "ltd", "jr", "sr", "mt", "tel",
];
/// A long clause may end before these.
const CONJUNCTIONS: &[&str] = &[
    "and", "but", "or", "so", "because", "then", "which", "while",
];
/// "Between nine and five" is one breath.
const NUMBER_WORDS: &[&str] = &[
    "zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty",
    "ninety", "hundred", "thousand", "half", "quarter",
];
/// A comma cuts when this much stands before it: less is not worth a breath.
const MIN_WORDS_BEFORE_COMMA: usize = 3;
const MIN_BYTES_BEFORE_COMMA: usize = 12;
/// A conjunction cuts when so many words stand before it; the first clause is cut sooner.
const MIN_WORDS_FIRST_CONJUNCTION: usize = 5;
const MIN_WORDS_LATER_CONJUNCTION: usize = 9;

/// Cuts a whole text. No clause is empty; together they are the text, white space aside.
pub fn split_into_clauses(text: &str) -> Vec<String> {
    let mut cutter = ClauseCutter::default();
    let mut clauses = cutter.push(text);
    clauses.extend(cutter.finish());
    clauses
}

/// Cuts a text that is still being written, e.g. by a language model.
#[derive(Debug, Clone, Default)]
pub struct ClauseCutter {
    held: String,
    cut_before: bool,
}

impl ClauseCutter {
    /// Takes more text and returns the clauses that are complete now, in order. A clause is
    /// complete when the beginning of what follows it is known.
    pub fn push(&mut self, text: &str) -> Vec<String> {
        self.held.push_str(text);
        let mut clauses = Vec::new();
        while let Some(end) = self.find_cut() {
            let rest = self.held.split_off(end);
            let clause = std::mem::replace(&mut self.held, rest);
            self.cut_before = true;
            clauses.push(clause.trim().to_owned());
        }
        clauses
    }

    /// Ends the text and returns what was held back, if it is anything. The cutter is as new.
    pub fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(self).held;
        let rest = rest.trim();
        (!rest.is_empty()).then(|| rest.to_owned())
    }

    /// Where the first clause ends, in bytes.
    fn find_cut(&self) -> Option<usize> {
        let mut words = 0;
        let gaps = Gaps {
            text: &self.held,
            at: 0,
        };
        for gap in gaps {
            let before = &self.held[..gap.start];
            if before.trim().is_empty() {
                continue;
            }
            words += 1;
            let after = self.held[gap.end..].chars().next()?;
            let paragraph = self.held[gap.start..gap.end].contains('\n');
            if paragraph || ends_sentence(before, after) || self.pauses(before, after, words) {
                return Some(gap.end);
            }
            if self.splits_before_conjunction(before, &self.held[gap.end..], words) {
                return Some(gap.end);
            }
        }
        None
    }

    /// Whether a comma or dash is a place to breathe.
    fn pauses(&self, before: &str, after: char, words: usize) -> bool {
        let long = words >= MIN_WORDS_BEFORE_COMMA && before.trim().len() >= MIN_BYTES_BEFORE_COMMA;
        let mark = before.ends_with([',', '—', '–']) || before.ends_with(" -");
        let said = before.trim_end_matches([',', '—', '–', '-', ' ']);
        let digits = said.ends_with(|c: char| c.is_ascii_digit()) && after.is_ascii_digit();
        let counting = is_number(last_word(said)) && words < MIN_WORDS_LATER_CONJUNCTION;
        long && mark && !digits && !counting
    }

    fn splits_before_conjunction(&self, before: &str, rest: &str, words: usize) -> bool {
        let least = if self.cut_before {
            MIN_WORDS_LATER_CONJUNCTION
        } else {
            MIN_WORDS_FIRST_CONJUNCTION
        };
        let Some((next, _)) = rest.split_once(char::is_whitespace) else {
            return false;
        };
        words >= least && CONJUNCTIONS.contains(&next) && !is_number(last_word(before))
    }
}

/// White space between two words.
struct Gap {
    start: usize,
    end: usize,
}

struct Gaps<'a> {
    text: &'a str,
    at: usize,
}

impl Iterator for Gaps<'_> {
    type Item = Gap;

    fn next(&mut self) -> Option<Gap> {
        let rest = &self.text[self.at..];
        let start = self.at + rest.find(char::is_whitespace)?;
        let end = self.text[start..]
            .find(|c: char| !c.is_whitespace())
            .map_or(self.text.len(), |length| start + length);
        self.at = end;
        Some(Gap { start, end })
    }
}

/// Whether `before` ends a sentence, when `after` is the first character that follows.
fn ends_sentence(before: &str, after: char) -> bool {
    let before = before.trim_end_matches(['"', '\'', ')', ']', '”', '’']);
    if before.ends_with(['!', '?', '…', ':', ';']) {
        return true;
    }
    let Some(sentence) = before.strip_suffix('.') else {
        return false;
    };
    let word = last_word(sentence).trim_start_matches(['(', '"', '“']);
    let lower = word.to_lowercase();
    // "J. Smith" goes on; so does whatever is followed by a small letter.
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase) && word != "I";
    !after.is_lowercase() && !initial && !ABBREVIATIONS.contains(&lower.as_str())
}

fn last_word(text: &str) -> &str {
    text.split_whitespace().next_back().unwrap_or_default()
}

fn is_number(word: &str) -> bool {
    let word = word.trim_matches(|c: char| !c.is_alphanumeric());
    word.chars().any(|c| c.is_ascii_digit()) || NUMBER_WORDS.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_and_commas_cut() {
        assert_eq!(
            split_into_clauses(
                "Thank you for calling Harbour Clinic, how can I help you today? I can book a visit."
            ),
            [
                "Thank you for calling Harbour Clinic,",
                "how can I help you today?",
                "I can book a visit."
            ]
        );
    }

    #[test]
    fn a_long_run_without_punctuation_is_cut_before_a_conjunction() {
        assert_eq!(
            split_into_clauses("I have found your appointment on Tuesday and I can move it"),
            [
                "I have found your appointment on Tuesday",
                "and I can move it"
            ]
        );
    }

    #[test]
    fn numbers_abbreviations_and_short_beginnings_stay_whole() {
        for whole in [
            "Dr. Smith lives at 12 Main St. now",
            "It costs 3.50 or 1,200 in all",
            "Your number is 4, 7, 2, 9",
            "The code is four, seven, two, nine",
            "Ask for J. Brown please",
            "We open at 9 a.m. every day",
            "We are open between nine and five",
            "Yes, of course",
        ] {
            assert_eq!(split_into_clauses(whole), [whole]);
        }
    }

    #[test]
    fn quotes_close_with_their_sentence() {
        assert_eq!(
            split_into_clauses("She said \"come in.\" Then she left."),
            ["She said \"come in.\"", "Then she left."]
        );
    }

    #[test]
    fn pieces_do_not_depend_on_how_the_text_arrived() {
        let text = "Good morning. Dr. Jones is free at 9.30, on Monday the 4th, and she will see \
                    you then! Shall I book it for you\nor would you rather wait — say, until May?";
        let whole = split_into_clauses(text);
        assert!(whole.len() > 4, "{whole:?}");
        for size in 1..20 {
            let mut cutter = ClauseCutter::default();
            let mut pieces = Vec::new();
            let characters: Vec<char> = text.chars().collect();
            for chunk in characters.chunks(size) {
                pieces.extend(cutter.push(&chunk.iter().collect::<String>()));
            }
            pieces.extend(cutter.finish());
            assert_eq!(pieces, whole, "in chunks of {size}");
        }
    }

    #[test]
    fn nothing_is_lost_and_nothing_is_empty() {
        let text = "  \n One.  Two,\tthree four five six, seven.\n\n ";
        let clauses = split_into_clauses(text);
        assert!(clauses.iter().all(|clause| !clause.is_empty()));
        let words: Vec<&str> = clauses.iter().flat_map(|c| c.split_whitespace()).collect();
        assert_eq!(words, text.split_whitespace().collect::<Vec<_>>());
        assert_eq!(split_into_clauses(" \n"), Vec::<String>::new());
    }
}
