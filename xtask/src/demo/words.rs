//! Word error rate: the fewest words to put in, leave out or change, over the words really said.

/// What a comparison counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct WordErrors {
    /// Words put in, left out or changed.
    pub(super) errors: usize,
    /// Words really said.
    pub(super) words: usize,
}

impl WordErrors {
    /// Compares what was said with what was heard.
    pub(super) fn between(said: &str, heard: &str) -> Self {
        let (said, heard) = (words(said), words(heard));
        Self {
            errors: distance(&said, &heard),
            words: said.len(),
        }
    }

    /// Errors of several comparisons together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            errors: self.errors + other.errors,
            words: self.words + other.words,
        }
    }

    /// Errors per word; `None` when nothing was said.
    pub(super) fn rate(self) -> Option<f64> {
        (self.words > 0).then(|| self.errors as f64 / self.words as f64)
    }
}

/// Lower case, punctuation dropped: neither is heard.
fn words(text: &str) -> Vec<String> {
    let is_part = |c: &char| c.is_alphanumeric() || c.is_whitespace();
    text.to_lowercase()
        .replace('-', " ")
        .chars()
        .filter(is_part)
        .collect::<String>()
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

/// Levenshtein distance over words.
fn distance(said: &[String], heard: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (count, word) in said.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = count + 1;
        for (index, other) in heard.iter().enumerate() {
            let change = diagonal + usize::from(word != other);
            diagonal = row[index + 1];
            row[index + 1] = change.min(diagonal + 1).min(row[index] + 1);
        }
    }
    row[heard.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(said: &str, heard: &str) -> (usize, usize) {
        let errors = WordErrors::between(said, heard);
        (errors.errors, errors.words)
    }

    #[test]
    fn case_and_punctuation_are_not_errors() {
        assert_eq!(
            counted(
                "Yes, please: at half-past two!",
                "yes please at half past two"
            ),
            (0, 6)
        );
        assert_eq!(counted("that's all", "thats all"), (0, 2));
    }

    #[test]
    fn each_kind_of_error_counts_once() {
        assert_eq!(counted("book an appointment", "book appointment"), (1, 3));
        assert_eq!(
            counted("book an appointment", "book me an appointment"),
            (1, 3)
        );
        assert_eq!(
            counted("book an appointment", "look an appointment"),
            (1, 3)
        );
        assert_eq!(counted("one two three four", "two three four five"), (2, 4));
    }

    #[test]
    fn nothing_heard_is_every_word_lost_and_nothing_said_has_no_rate() {
        assert_eq!(counted("no thank you", ""), (3, 3));
        assert_eq!(WordErrors::between("", "hello").rate(), None);
        assert_eq!(
            WordErrors::between("no thank you", "no").rate(),
            Some(2.0 / 3.0)
        );
    }
}
