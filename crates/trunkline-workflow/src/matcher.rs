//! Finds which of several things a caller means by the words alone, or says that the words do not
//! decide.
//!
//! Every candidate has phrases. What a phrase covers of the heard words counts; the candidate that
//! covers clearly the most wins. Cheap, explainable, and the same on every machine.

use crate::words::{likeness, normalise, weight};

/// The least that must be covered: one word of meaning, perhaps misheard.
const ENOUGH: f32 = 0.75;

/// The winner covers this much more than the next, and the next at most this part of it.
const MARGIN: f32 = 0.5;
const RUNNER_UP: f32 = 0.6;

/// Something that a caller may mean.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    phrases: Vec<Vec<String>>,
}

impl Candidate {
    pub(crate) fn new<'a>(phrases: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            phrases: phrases
                .into_iter()
                .map(normalise)
                .filter(|words| !words.is_empty())
                .collect(),
        }
    }

    /// How well each heard word is covered, 0 to 1.
    fn coverage(&self, heard: &[String]) -> Vec<f32> {
        let mut covered = vec![0.0_f32; heard.len()];
        for phrase in &self.phrases {
            for (start, window) in heard.windows(phrase.len()).enumerate() {
                let fits: Vec<f32> = window
                    .iter()
                    .zip(phrase)
                    .map(|(heard, expected)| likeness(heard, expected))
                    .collect();
                if fits.contains(&0.0) {
                    continue;
                }
                for (cover, fit) in covered.iter_mut().skip(start).zip(fits) {
                    *cover = cover.max(fit);
                }
            }
        }
        covered
    }
}

/// The index of the candidate that the words mean, when they leave no doubt.
pub(crate) fn find(text: &str, candidates: &[Candidate]) -> Option<usize> {
    let heard = normalise(text);
    let whole: Vec<usize> = positions(candidates, |candidate| candidate.phrases.contains(&heard));
    if let [only] = whole[..] {
        return Some(only);
    }
    let coverages: Vec<Vec<f32>> = candidates
        .iter()
        .map(|candidate| candidate.coverage(&heard))
        .collect();
    // A word that one candidate covers exactly is not another one's word misheard.
    let exact: Vec<bool> = (0..heard.len())
        .map(|word| coverages.iter().any(|covered| covered[word] == 1.0))
        .collect();
    let mut scores: Vec<(f32, usize)> = coverages
        .iter()
        .map(|covered| {
            covered
                .iter()
                .zip(&heard)
                .zip(&exact)
                .filter(|((cover, _), exact)| !**exact || **cover == 1.0)
                .map(|((cover, word), _)| cover * weight(word))
                .sum()
        })
        .zip(0..)
        .collect();
    scores.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (best, index) = *scores.first()?;
    let next = scores.get(1).map_or(0.0, |(score, _)| *score);
    (best >= ENOUGH && best - next >= MARGIN && next <= best * RUNNER_UP).then_some(index)
}

fn positions(candidates: &[Candidate], holds: impl Fn(&Candidate) -> bool) -> Vec<usize> {
    (0..candidates.len())
        .filter(|index| holds(&candidates[*index]))
        .collect()
}

const YES: [&str; 36] = [
    "yes",
    "yeah",
    "yep",
    "yup",
    "sure",
    "okay",
    "ok",
    "correct",
    "right",
    "that is right",
    "that is correct",
    "thats right",
    "exactly",
    "absolutely",
    "definitely",
    "certainly",
    "of course",
    "perfect",
    "great",
    "fine",
    "that is fine",
    "sounds good",
    "that works",
    "go ahead",
    "all right",
    "i agree",
    "i do",
    "i would",
    "it is",
    "i think so",
    "wonderful",
    "brilliant",
    "lovely",
    "i confirm",
    "uh huh",
    "book it",
];

const NO: [&str; 32] = [
    "no",
    "nope",
    "nah",
    "not",
    "never",
    "wrong",
    "that is wrong",
    "thats wrong",
    "incorrect",
    "not right",
    "not correct",
    "not really",
    "not that",
    "not that one",
    "do not",
    "i do not",
    "i do not think so",
    "dont",
    "no way",
    "of course not",
    "not at all",
    "not yet",
    "not sure",
    "not fine",
    "is not right",
    "is not correct",
    "neither",
    "i would rather not",
    "would rather not",
    "disagree",
    "cancel",
    "stop",
];

const PLAIN_YES: [&str; 4] = ["yes", "yeah", "yep", "yup"];
const PLAIN_NO: [&str; 3] = ["no", "nope", "nah"];

/// Whether the words mean yes or no, when they leave no doubt. The first word decides when it is
/// one of the plain ones; a plain one elsewhere does when none contradicts it.
pub(crate) fn yes_or_no(text: &str, more_yes: &[String], more_no: &[String]) -> Option<bool> {
    let heard = normalise(text);
    let plain = |words: &[&str], heard: &String| words.contains(&heard.as_str());
    if let Some(first) = heard.first() {
        if plain(&PLAIN_YES, first) {
            return Some(true);
        }
        if plain(&PLAIN_NO, first) {
            return Some(false);
        }
    }
    let yes = heard.iter().any(|word| plain(&PLAIN_YES, word));
    let no = heard
        .iter()
        .any(|word| plain(&PLAIN_NO, word) || word == "not");
    if yes != no {
        return Some(yes);
    }
    let with = |usual: &[&'static str], more: &[String]| {
        Candidate::new(usual.iter().copied().chain(more.iter().map(String::as_str)))
    };
    find(text, &[with(&YES, more_yes), with(&NO, more_no)]).map(|index| index == 0)
}

const GOODBYES: [&str; 4] = ["goodbye", "bye", "byebye", "cheerio"];

/// What may stand beside a goodbye that is nothing but one.
const BESIDE_GOODBYE: [&str; 34] = [
    "good",
    "thank",
    "thanks",
    "you",
    "very",
    "much",
    "so",
    "ok",
    "okay",
    "all",
    "right",
    "alright",
    "then",
    "now",
    "that",
    "thats",
    "is",
    "was",
    "it",
    "everything",
    "for",
    "your",
    "help",
    "have",
    "a",
    "nice",
    "great",
    "lovely",
    "day",
    "evening",
    "no",
    "nothing",
    "else",
    "again",
];

/// Whether the words are a goodbye and nothing else.
pub(crate) fn is_goodbye(text: &str) -> bool {
    let heard = normalise(text);
    let says_bye = |word: &String| GOODBYES.contains(&word.as_str());
    let only = |word: &String| says_bye(word) || BESIDE_GOODBYE.contains(&word.as_str());
    heard.iter().any(says_bye) && heard.iter().all(only)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(text: &str, options: &[&[&str]]) -> Option<usize> {
        let candidates: Vec<Candidate> = options
            .iter()
            .map(|phrases| Candidate::new(phrases.iter().copied()))
            .collect();
        find(text, &candidates)
    }

    const DAYS: [&[&str]; 3] = [
        &["tuesday", "half past nine", "tuesday at half past nine"],
        &["wednesday", "two thirty", "wednesday at two thirty"],
        &["friday", "quarter past four"],
    ];

    #[test]
    fn one_word_that_belongs_to_one_option_decides() {
        assert_eq!(means("Wednesday please.", &DAYS), Some(1));
        assert_eq!(means("um the one at 2:30", &DAYS), Some(1));
        assert_eq!(means("wensday at too thirty", &DAYS), Some(1));
    }

    #[test]
    fn words_of_two_options_do_not_decide() {
        assert_eq!(means("wednesday or friday", &DAYS), None);
        assert_eq!(means("thursday", &DAYS), None);
        assert_eq!(means("", &DAYS), None);
    }

    #[test]
    fn the_option_that_covers_clearly_more_wins() {
        let wants: [&[&str]; 2] = [
            &["book", "an appointment", "book an appointment"],
            &["cancel", "cancel my appointment", "move my appointment"],
        ];
        assert_eq!(
            means("i would like to cancel my appointment", &wants),
            Some(1)
        );
        assert_eq!(means("can i book an appointment", &wants), Some(0));
    }

    #[test]
    fn a_goodbye_is_one_only_when_nothing_else_is_said() {
        for text in [
            "Bye-bye.",
            "okay thank you very much, goodbye",
            "no that's all, good bye",
        ] {
            assert!(is_goodbye(text), "{text}");
        }
        for text in [
            "thank you",
            "wait before you say goodbye",
            "bye the way is there parking",
            "",
        ] {
            assert!(!is_goodbye(text), "{text}");
        }
    }

    #[test]
    fn yes_and_no_in_the_ways_people_say_them() {
        for text in [
            "yes please",
            "that is right",
            "sure go ahead",
            "Perfect!",
            "ok",
            "oh yes",
        ] {
            assert_eq!(yes_or_no(text, &[], &[]), Some(true), "{text}");
        }
        for text in [
            "no thank you that is fine",
            "that is not right",
            "I don't think so, no",
            "not that one",
        ] {
            assert_eq!(yes_or_no(text, &[], &[]), Some(false), "{text}");
        }
        for text in ["friday", "what was that", ""] {
            assert_eq!(yes_or_no(text, &[], &[]), None, "{text}");
        }
    }
}
