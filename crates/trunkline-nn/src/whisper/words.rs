//! Tokens to words: a word begins at a space, or, in scripts that have none, at each character.
//! Punctuation belongs to the word that it touches.

use std::ops::Range;

use super::vocabulary::Vocabulary;
use crate::NnError;

/// Languages that are written without spaces.
const WITHOUT_SPACES: [&str; 6] = ["zh", "ja", "th", "lo", "my", "yue"];
/// Punctuation that opens what follows it.
const OPENING: &str = "\"'“¿([{-";
/// Punctuation that closes what came before it.
const CLOSING: &str = "\"'.。,，!！?？:：”)]}、";

/// A word and the tokens that it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) text: String,
    /// Indices into the tokens of the text.
    pub(super) tokens: Range<usize>,
}

/// The words of a text. `text` are the indices of `said` that are no time marks.
pub(super) fn group(
    vocabulary: &Vocabulary,
    said: &[u32],
    text: &[usize],
    language: Option<&str>,
) -> Result<Vec<Group>, NnError> {
    let mut pieces = Vec::new();
    let mut first = 0;
    for end in 1..=text.len() {
        let tokens: Vec<u32> = text[first..end].iter().map(|n| said[*n]).collect();
        let piece = vocabulary.untrimmed(&tokens)?;
        // A token may be part of a character only.
        if end == text.len() || !piece.ends_with('\u{fffd}') {
            pieces.push((piece, first..end));
            first = end;
        }
    }
    Ok(merge(pieces, is_spaced(language)))
}

/// Whether a language is written with spaces between words.
pub(super) fn is_spaced(language: Option<&str>) -> bool {
    language.is_none_or(|code| !WITHOUT_SPACES.contains(&code))
}

fn merge(pieces: Vec<(String, Range<usize>)>, spaced: bool) -> Vec<Group> {
    let mut words: Vec<(String, Range<usize>)> = Vec::new();
    let is_made_of = |text: &str, set: &str| {
        let text = text.trim();
        !text.is_empty() && text.chars().all(|mark| set.contains(mark))
    };
    for (piece, tokens) in pieces {
        let joins = words.last().is_some_and(|(word, _)| {
            let closes = is_made_of(&piece, CLOSING) && !piece.starts_with(' ');
            let follows_opening = is_made_of(word, OPENING) && !piece.starts_with(' ');
            let same_word = spaced && !piece.starts_with(' ');
            piece.trim().is_empty() || closes || follows_opening || same_word
        });
        match words.last_mut().filter(|_| joins) {
            Some((word, range)) => {
                word.push_str(&piece);
                range.end = tokens.end;
            }
            None => words.push((piece, tokens)),
        }
    }
    words
        .into_iter()
        .map(|(text, tokens)| Group {
            text: text.trim().to_owned(),
            tokens,
        })
        .filter(|group| !group.text.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(pieces: &[&str], spaced: bool) -> Vec<(String, Range<usize>)> {
        let pieces = pieces.iter().enumerate();
        let pieces = pieces.map(|(n, piece)| ((*piece).to_owned(), n..n + 1));
        merge(pieces.collect(), spaced)
            .into_iter()
            .map(|group| (group.text, group.tokens))
            .collect()
    }

    #[test]
    fn pieces_join_to_words_at_spaces_with_their_punctuation() {
        let found = words(
            &[" My", " acc", "ount", ",", " (", "please", ")", "."],
            true,
        );
        let expected = [
            ("My".to_owned(), 0..1),
            ("account,".to_owned(), 1..4),
            ("(please).".to_owned(), 4..8),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn scripts_without_spaces_have_a_word_for_each_piece() {
        let found = words(&["你好", "，", "世界"], false);
        let expected = [("你好，".to_owned(), 0..2), ("世界".to_owned(), 2..3)];
        assert_eq!(found, expected);
    }
}
