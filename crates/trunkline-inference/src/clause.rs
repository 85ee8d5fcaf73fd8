//! Cuts text into clauses, so that the first one is heard while the rest is still being written
//! or synthesised.
//!
//! A clause ends at the end of a sentence, or at a comma once it is long enough to be spoken
//! with a natural melody. Numbers, abbreviations and initials are never cut.

/// A first clause may end at a comma from this many letters on: it is what the caller waits for.
const FIRST_CLAUSE_LETTERS: usize = 10;

/// Later clauses end at a comma from this many letters on: longer ones sound better.
const LATER_CLAUSE_LETTERS: usize = 40;

/// A sentence shorter than this joins the next, so that "Yes." is not spoken by itself.
const SENTENCE_LETTERS: usize = 8;

/// Words whose full stop does not end a sentence.
const ABBREVIATIONS: [&str; 14] = [
    "dr", "mr", "mrs", "ms", "st", "no", "e.g", "i.e", "etc", "vs", "approx", "dept", "ext", "prof",
];

/// Cuts text that arrives piece by piece.
#[derive(Debug, Clone, Default)]
pub struct ClauseCutter {
    pending: String,
    first_is_out: bool,
}

impl ClauseCutter {
    /// Takes more text and gives the clauses that are complete. A clause is complete once
    /// something follows it, so the last one waits for [`ClauseCutter::finish`].
    pub fn push(&mut self, text: &str) -> Vec<String> {
        self.pending.push_str(text);
        let mut clauses = Vec::new();
        while let Some(end) = self.first_boundary() {
            let rest = self.pending.split_off(end);
            let clause = std::mem::replace(&mut self.pending, rest.trim_start().to_owned());
            clauses.push(clause.trim().to_owned());
            self.first_is_out = true;
        }
        clauses
    }

    /// What is left when no more text comes.
    pub fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.pending);
        self.first_is_out = false;
        let rest = rest.trim();
        rest.chars()
            .any(char::is_alphanumeric)
            .then(|| rest.to_owned())
    }

    /// The byte after the mark that ends the first clause, if more text follows it.
    fn first_boundary(&self) -> Option<usize> {
        let enough = if self.first_is_out {
            LATER_CLAUSE_LETTERS
        } else {
            FIRST_CLAUSE_LETTERS
        };
        let text = &self.pending;
        let mut letters = 0;
        for (at, mark) in text.char_indices() {
            letters += usize::from(mark.is_alphanumeric());
            let after = at + mark.len_utf8();
            let follows = text[after..].chars().next();
            if !follows.is_some_and(char::is_whitespace) {
                continue;
            }
            let ends = match mark {
                '.' => letters >= SENTENCE_LETTERS && !is_abbreviation(&text[..at]),
                '!' | '?' => letters >= SENTENCE_LETTERS,
                ',' | ';' | ':' => letters >= enough,
                _ => false,
            };
            if ends {
                return Some(after);
            }
        }
        None
    }
}

/// Whether a full stop after `before` belongs to its last word: an abbreviation or an initial.
fn is_abbreviation(before: &str) -> bool {
    let word = before.rsplit(char::is_whitespace).next().unwrap_or(before);
    let word = word.trim_start_matches(|c: char| !c.is_alphanumeric());
    let initial = word.chars().count() == 1 && word.chars().all(char::is_alphabetic);
    initial || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

/// Cuts a whole text.
pub fn split_into_clauses(text: &str) -> Vec<String> {
    let mut cutter = ClauseCutter::default();
    let mut clauses = cutter.push(text);
    clauses.extend(cutter.finish());
    clauses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_clause_comes_early_and_later_ones_are_longer() {
        let clauses = split_into_clauses(
            "Thank you, Susan Garcia, for waiting. Doctor Patel is free on Tuesday, on Wednesday, \
             and on Friday. Which one suits you?",
        );
        assert_eq!(
            clauses,
            [
                "Thank you, Susan Garcia,",
                "for waiting.",
                "Doctor Patel is free on Tuesday, on Wednesday, and on Friday.",
                "Which one suits you?"
            ]
        );
    }

    #[test]
    fn abbreviations_numbers_and_initials_are_not_cut() {
        for whole in [
            "You will see Dr. Patel at 3.30 today",
            "Pay J. Smith 2,500 pounds",
        ] {
            assert_eq!(split_into_clauses(whole), [whole]);
        }
    }

    #[test]
    fn a_short_sentence_joins_the_next() {
        assert_eq!(
            split_into_clauses("Yes. It is booked for you."),
            ["Yes. It is booked for you."]
        );
    }

    #[test]
    fn text_in_pieces_is_cut_like_the_whole() {
        let text = "There is free parking behind the clinic, next to the pharmacy. It is open now!";
        let mut cutter = ClauseCutter::default();
        let mut clauses = Vec::new();
        for letter in text.chars() {
            clauses.extend(cutter.push(&letter.to_string()));
        }
        clauses.extend(cutter.finish());
        assert_eq!(clauses, split_into_clauses(text));
        assert_eq!(clauses.join(" "), text);
    }

    #[test]
    fn text_without_words_says_nothing() {
        assert!(split_into_clauses(" … ").is_empty());
    }
}
