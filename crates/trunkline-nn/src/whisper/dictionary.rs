//! The custom dictionary: phrases that are likelier on this line than in the language.
//!
//! Their tokens form a trie. While a row decodes, each phrase that what it said may be the
//! beginning of gives its next tokens a bonus, and every phrase may begin anywhere at the start
//! of a word (shallow fusion with a trie, as in contextual speech recognition). A bonus chooses
//! between likely tokens; it is too small to bring out what was not heard.

use std::collections::BTreeMap;

use super::Whisper;
use crate::NnError;

/// Natural-logarithmic bonus of a token that begins a phrase.
const BEGINS: f32 = 1.5;
/// Of one that goes on with a phrase that was begun: more, since the beginning fits already.
const GOES_ON: f32 = 3.0;

/// Phrases ready for one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Dictionary {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Node {
    next: BTreeMap<u32, usize>,
}

/// Where a row stands in a dictionary: the nodes of the phrases that it may be saying.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    begun: Vec<usize>,
}

impl Dictionary {
    pub(super) fn new(phrases: impl IntoIterator<Item = Vec<u32>>) -> Self {
        let mut nodes = vec![Node::default()];
        for phrase in phrases {
            let mut at = 0;
            for token in phrase {
                let fresh = nodes.len();
                at = *nodes[at].next.entry(token).or_insert(fresh);
                if at == fresh {
                    nodes.push(Node::default());
                }
            }
        }
        Self { nodes }
    }

    /// The bonus of each token that has one, by what was said so far.
    pub(super) fn bonuses(&self, place: &Place) -> Vec<(u32, f32)> {
        let begins = self.nodes[0].next.keys().map(|token| (*token, BEGINS));
        let goes_on = place
            .begun
            .iter()
            .flat_map(|node| self.nodes[*node].next.keys())
            .map(|token| (*token, GOES_ON));
        goes_on.chain(begins).collect()
    }

    /// Moves on by a token that was said.
    pub(super) fn follow(&self, place: &mut Place, token: u32) {
        let begun = place.begun.iter().copied().chain(std::iter::once(0));
        place.begun = begun
            .filter_map(|node| self.nodes[node].next.get(&token).copied())
            .collect();
    }
}

impl Whisper {
    /// Makes a dictionary of phrases. Each is looked for as it is written and in lower case,
    /// at the start of a text and within it.
    ///
    /// # Errors
    /// [`NnError::Tokenizer`].
    pub fn dictionary(&self, phrases: &[String]) -> Result<Dictionary, NnError> {
        let mut tokens = Vec::new();
        for phrase in phrases.iter().map(|phrase| phrase.trim()) {
            let lower = phrase.to_lowercase();
            for text in [phrase, lower.as_str()] {
                if !text.is_empty() {
                    tokens.push(self.vocabulary.encode(&format!(" {text}"))?);
                    tokens.push(self.vocabulary.encode(text)?);
                }
            }
        }
        tokens.retain(|phrase| !phrase.is_empty());
        Ok(Dictionary::new(tokens))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bonus_of(dictionary: &Dictionary, place: &Place, token: u32) -> f32 {
        let bonuses = dictionary.bonuses(place);
        let own = bonuses.iter().filter(|(id, _)| *id == token);
        own.map(|(_, bonus)| *bonus).fold(0.0, f32::max)
    }

    #[test]
    fn a_phrase_gets_more_as_it_goes_on_and_nothing_once_it_is_over() {
        let dictionary = Dictionary::new([vec![1, 2, 3], vec![1, 4], vec![2, 9]]);
        let mut place = Place::default();
        assert_eq!(bonus_of(&dictionary, &place, 1), BEGINS);
        assert_eq!(bonus_of(&dictionary, &place, 3), 0.0);
        dictionary.follow(&mut place, 1);
        assert_eq!(bonus_of(&dictionary, &place, 4), GOES_ON);
        dictionary.follow(&mut place, 2);
        assert_eq!(bonus_of(&dictionary, &place, 3), GOES_ON);
        assert_eq!(
            bonus_of(&dictionary, &place, 9),
            GOES_ON,
            "it may have begun there"
        );
        dictionary.follow(&mut place, 7);
        assert_eq!(bonus_of(&dictionary, &place, 3), 0.0);
        assert_eq!(bonus_of(&dictionary, &place, 9), 0.0);
    }

    #[test]
    fn no_phrases_no_bonuses() {
        let dictionary = Dictionary::new(Vec::new());
        assert!(dictionary.bonuses(&Place::default()).is_empty());
    }
}
