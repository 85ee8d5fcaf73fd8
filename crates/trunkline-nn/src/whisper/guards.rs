//! What gives a hallucination away: loops, text that compresses too well, words where there
//! was no speech, and more words than anyone can say in that time.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::SAMPLE_RATE_HZ;

/// Nobody speaks faster than this, whatever the language and tokenizer.
const TOKENS_PER_SECOND: f32 = 14.0;
/// On top of [`TOKENS_PER_SECOND`], so that short audio is not cut by the rule.
const TOKENS_ALWAYS: usize = 12;
/// A phrase of up to so many tokens is watched for repetition.
const PHRASE: usize = 10;
/// A repetition counts when a phrase stands this often in a row …
const REPEATS: usize = 4;
/// … and the run has at least so many tokens. "nine nine nine nine" is a number, not a fault.
const RUN: usize = 12;

/// When a result is not believed, and what is done then. The limits are those of the
/// reference implementation.
#[derive(Debug, Clone, PartialEq)]
pub struct Guards {
    /// Tried in turn until a result is believed; 0 takes the likeliest token. The result of the
    /// last is taken as it is.
    pub temperatures: Vec<f32>,
    /// Text whose length over its compressed length is more than this repeats itself.
    pub max_compression_ratio: f32,
    /// A mean log-probability below this is a guess.
    pub min_mean_log_prob: f32,
    /// Whether a guess is worth another attempt; text that repeats itself always is.
    pub retries_guesses: bool,
    /// A guess where silence is more probable than this is silence.
    pub max_no_speech_prob: f32,
}

impl Default for Guards {
    fn default() -> Self {
        Self {
            temperatures: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            max_compression_ratio: 2.4,
            min_mean_log_prob: -1.0,
            retries_guesses: true,
            max_no_speech_prob: 0.6,
        }
    }
}

impl Guards {
    /// One attempt, whatever it is like: for text that is replaced soon, and for lines on which
    /// somebody waits.
    pub fn once() -> Self {
        Self {
            temperatures: vec![0.0],
            ..Self::default()
        }
    }
}

/// Tokens that can be said in so many samples of audio.
pub(super) fn sayable(samples: usize) -> usize {
    let seconds = samples as f32 / SAMPLE_RATE_HZ as f32;
    (seconds * TOKENS_PER_SECOND) as usize + TOKENS_ALWAYS
}

/// If the text has ended in a loop, the length up to the end of the first round.
pub(super) fn repetition(tokens: &[u32]) -> Option<usize> {
    (1..=PHRASE.min(tokens.len())).find_map(|phrase| {
        let (_, last) = tokens.split_at(tokens.len() - phrase);
        let rounds = tokens
            .rchunks_exact(phrase)
            .take_while(|round| *round == last)
            .count();
        (rounds >= REPEATS && rounds * phrase >= RUN).then(|| tokens.len() - (rounds - 1) * phrase)
    })
}

/// Length of a text over its length when compressed; 0 for no text.
pub(super) fn compression_ratio(text: &str) -> f32 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder
        .write_all(text.as_bytes())
        .and_then(|()| encoder.finish());
    match compressed {
        Ok(compressed) => text.len() as f32 / compressed.len() as f32,
        Err(_) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_cut_after_its_first_round() {
        let mut tokens = vec![5, 6];
        for _ in 0..4 {
            tokens.extend([1, 2, 3]);
        }
        assert_eq!(repetition(&tokens), Some(5));
    }

    #[test]
    fn a_repeated_digit_is_not_a_loop() {
        assert_eq!(repetition(&[4, 9, 9, 9, 9]), None);
        assert_eq!(repetition(&[1, 2, 1, 2, 1, 2, 1, 2]), None);
    }

    #[test]
    fn text_that_repeats_itself_compresses_too_well() {
        let limit = Guards::default().max_compression_ratio;
        assert!(compression_ratio(&"thank you for watching ".repeat(12)) > limit);
        let said = "my account number is four seven two nine one and i moved to leeds in may";
        assert!(compression_ratio(said) < limit);
        assert_eq!(compression_ratio(""), 0.0);
    }
}
