//! Greedy decoding of one window, with the two guards that a small Whisper needs: it stops
//! when it repeats itself, and when it says more than anyone can say in that time.

use candle_core::Tensor;

use super::decoder::Decoder;
use super::vocabulary::Vocabulary;
use crate::NnError;

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

/// What was heard in one window.
pub(super) struct Heard {
    pub(super) tokens: Vec<u32>,
    /// Sum over `tokens` and the end.
    pub(super) log_prob: f32,
    pub(super) no_speech_prob: f32,
}

/// Decodes one window of `seconds`. `positions` is the longest text with its prompt.
pub(super) fn decode(
    decoder: &Decoder,
    vocabulary: &Vocabulary,
    encoded: &Tensor,
    language: Option<&str>,
    seconds: f32,
    positions: usize,
) -> Result<Heard, NnError> {
    let mut memory = decoder.listen(encoded)?;
    let logits = decoder.step(&mut memory, &[vocabulary.start()])?;
    let no_speech_prob = vocabulary
        .no_speech
        .map_or(0.0, |id| log_prob(&logits, id).exp());
    let prompt = vocabulary.prompt(language, &logits)?;
    let mut logits = decoder.step(&mut memory, &prompt)?;
    let limit = positions
        .saturating_sub(prompt.len() + 1)
        .min((seconds * TOKENS_PER_SECOND) as usize + TOKENS_ALWAYS);
    let mut heard = Heard {
        tokens: Vec::new(),
        log_prob: 0.0,
        no_speech_prob,
    };
    loop {
        vocabulary.suppress(&mut logits, heard.tokens.is_empty());
        let token = likeliest(&logits);
        heard.log_prob += log_prob(&logits, token);
        if token == vocabulary.end {
            return Ok(heard);
        }
        heard.tokens.push(token);
        if let Some(keep) = repetition(&heard.tokens) {
            heard.tokens.truncate(keep);
            return Ok(heard);
        }
        if heard.tokens.len() >= limit {
            return Ok(heard);
        }
        logits = decoder.step(&mut memory, &[token])?;
    }
}

/// If the text has ended in a loop, the length up to the end of the first round.
fn repetition(tokens: &[u32]) -> Option<usize> {
    (1..=PHRASE.min(tokens.len())).find_map(|phrase| {
        let (_, last) = tokens.split_at(tokens.len() - phrase);
        let rounds = tokens
            .rchunks_exact(phrase)
            .take_while(|round| *round == last)
            .count();
        (rounds >= REPEATS && rounds * phrase >= RUN).then(|| tokens.len() - (rounds - 1) * phrase)
    })
}

fn likeliest(logits: &[f32]) -> u32 {
    logits
        .iter()
        .enumerate()
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map_or(0, |(id, _)| id as u32)
}

/// Natural logarithm of a token's probability.
fn log_prob(logits: &[f32], token: u32) -> f32 {
    let top = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - top).exp()).sum();
    let own = logits.get(token as usize).copied().unwrap_or(f32::MIN);
    own - top - sum.ln()
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
    fn probabilities_sum_to_one() {
        let logits = [1.0, 2.0, -3.0, 0.5];
        let sum: f32 = (0..4).map(|id| log_prob(&logits, id).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6);
        assert_eq!(likeliest(&logits), 1);
    }
}
