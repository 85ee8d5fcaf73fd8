//! When each word was spoken: some heads of cross-attention follow the audio, and the cheapest
//! monotonic path through where they look gives each token its time (dynamic time warping, as
//! in `timing.py` of openai/whisper).

use std::time::Duration;

use super::Whisper;
use super::decoder::Attention;
use super::row::{Row, Said};
use super::slots::Slots;
use super::words;
use crate::NnError;

/// Frames over which attention is smoothed.
const MEDIAN: usize = 7;
/// What one position of the encoder stands for.
const POSITION: Duration = Duration::from_millis(20);

/// When a word was spoken.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// When it begins.
    pub start: Duration,
    /// When it ends.
    pub end: Duration,
    /// The word with its punctuation, without spaces.
    pub text: String,
    /// Mean probability of its tokens, 0 to 1.
    pub probability: f32,
}

/// The words of a row with their times from the start of its window. Each comes with the index
/// of its first token.
pub(super) fn words(
    model: &Whisper,
    slots: &mut Slots,
    slot: usize,
    row: &Row,
    said: &Said,
) -> Result<Vec<(usize, Word)>, NnError> {
    let marks = &model.vocabulary.rules.marks;
    let text: Vec<usize> = (0..said.tokens.len())
        .filter(|n| !marks.contains(&said.tokens[*n]))
        .collect();
    let mut tokens = row.prompt[row.start..].to_vec();
    let before = tokens.len();
    tokens.extend(text.iter().map(|n| said.tokens[*n]));
    let heads = model.alignment_heads.clone();
    let attention = model.decoder.align(slots, slot, &tokens, heads)?;
    let positions = row.audio().as_millis().div_ceil(POSITION.as_millis()) as usize;
    // The token said last decides where the next one looks: the last row belongs to the end.
    let cost = cost(&attention, tokens.len(), before - 1, positions);
    let starts = starts(&cost, text.len() + 1);
    let vocabulary = &model.vocabulary;
    let language = row.language.and_then(|id| vocabulary.language_code(id));
    let groups = words::group(vocabulary, &said.tokens, &text, language)?;
    let time = |token: usize| POSITION * starts[token] as u32;
    Ok(groups
        .into_iter()
        .map(|group| {
            let log_probs = group.tokens.clone().map(|n| said.log_probs[text[n]].exp());
            let word = Word {
                start: time(group.tokens.start),
                end: time(group.tokens.end),
                probability: log_probs.sum::<f32>() / group.tokens.len() as f32,
                text: group.text,
            };
            (text[group.tokens.start], word)
        })
        .collect())
}

/// Cost of each position for each token from `first` on: attention normalised over tokens,
/// smoothed over time, its mean over the heads taken, negative.
fn cost(attention: &Attention, tokens: usize, first: usize, positions: usize) -> Vec<Vec<f32>> {
    let positions = positions.clamp(1, attention.heard);
    let mut mean = vec![vec![0f32; positions]; tokens - first];
    for weights in &attention.weights {
        let mut rows: Vec<Vec<f32>> = weights
            .chunks_exact(attention.heard)
            .map(|row| {
                let sum: f32 = row[..positions].iter().sum();
                row[..positions].iter().map(|w| w / sum).collect()
            })
            .collect();
        normalise_columns(&mut rows);
        for (mean, row) in mean.iter_mut().zip(&rows[first..]) {
            for (n, mean) in mean.iter_mut().enumerate() {
                *mean -= median(row, n) / attention.weights.len() as f32;
            }
        }
    }
    mean
}

/// Each column to mean 0 and standard deviation 1.
fn normalise_columns(rows: &mut [Vec<f32>]) {
    let count = rows.len() as f32;
    for n in 0..rows.first().map_or(0, Vec::len) {
        let mean = rows.iter().map(|row| row[n]).sum::<f32>() / count;
        let variance = rows.iter().map(|row| (row[n] - mean).powi(2)).sum::<f32>() / count;
        let scale = 1.0 / variance.sqrt().max(1e-10);
        for row in &mut *rows {
            row[n] = (row[n] - mean) * scale;
        }
    }
}

/// The median around `row[n]`, mirrored at the ends.
fn median(row: &[f32], n: usize) -> f32 {
    let last = row.len() as isize - 1;
    let reach = (MEDIAN / 2) as isize;
    let mut around: Vec<f32> = (-reach..=reach)
        .map(|step| {
            let at = (n as isize + step).abs();
            let at = if at > last { 2 * last - at } else { at };
            row[at.clamp(0, last) as usize]
        })
        .collect();
    around.sort_by(f32::total_cmp);
    around[MEDIAN / 2]
}

/// The position at which each of `tokens` tokens begins on the cheapest monotonic path.
fn starts(cost: &[Vec<f32>], tokens: usize) -> Vec<usize> {
    let positions = cost.first().map_or(0, Vec::len);
    let rows = cost.len();
    // Costs so far, with a border; and where each came from: 0 both, 1 token, 2 position.
    let mut total = vec![vec![f32::INFINITY; positions + 1]; rows + 1];
    let mut from = vec![vec![0u8; positions + 1]; rows + 1];
    total[0][0] = 0.0;
    for (j, column) in (1..=positions).map(|j| (j, j - 1)) {
        for i in 1..=rows {
            let ways = [total[i - 1][j - 1], total[i - 1][j], total[i][j - 1]];
            let best = if ways[0] < ways[1] && ways[0] < ways[2] {
                0
            } else if ways[1] < ways[0] && ways[1] < ways[2] {
                1
            } else {
                2
            };
            total[i][j] = cost[i - 1][column] + ways[best];
            from[i][j] = best as u8;
        }
    }
    let mut starts = vec![0; tokens];
    let (mut i, mut j) = (rows, positions);
    while i > 0 && j > 0 {
        if let Some(start) = starts.get_mut(i - 1) {
            *start = j - 1;
        }
        match from[i][j] {
            0 => (i, j) = (i - 1, j - 1),
            1 => i -= 1,
            _ => j -= 1,
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_begin_where_attention_moves_on_to_them() {
        // Four tokens over ten positions, with a stretch each.
        let owner = [0, 0, 0, 1, 2, 2, 2, 2, 3, 3];
        let cost: Vec<Vec<f32>> = (0..4)
            .map(|token| {
                let pay = |at: &usize| if *at == token { -1.0 } else { 0.5 };
                owner.iter().map(pay).collect()
            })
            .collect();
        assert_eq!(starts(&cost, 4), [0, 3, 4, 8]);
    }

    #[test]
    fn an_outlier_does_not_move_the_median() {
        let mut row: Vec<f32> = (0..20).map(|n| n as f32).collect();
        row[10] = 1000.0;
        assert_eq!(median(&row, 10), 11.0);
        assert_eq!(median(&row, 0), 2.0);
        assert_eq!(median(&[5.0], 0), 5.0);
    }

    #[test]
    fn columns_are_brought_to_one_scale() {
        let mut rows = vec![vec![1.0, 4.0], vec![3.0, 4.0]];
        normalise_columns(&mut rows);
        assert_eq!(rows, [[-1.0, 0.0], [1.0, 0.0]]);
    }
}
