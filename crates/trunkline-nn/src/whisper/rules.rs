//! Which token may come next, and which one does.
//!
//! What is never said, what is not said first, and where time marks are out of the question is
//! one table of masks, made once. Only the order of time marks depends on what a row has said;
//! it takes away ranges. The rules of time marks are those of the reference implementation
//! (`ApplyTimestampRules` of openai/whisper).

use std::ops::Range;

use super::kernels::{Summary, summarize};
use super::random::Random;

/// The first time mark is at most so many steps of 20 ms in: one second.
const FIRST_MARK: u32 = 50;

/// The rules of one vocabulary.
pub(super) struct Rules {
    /// Added to logits, by [`Rules::class`].
    masks: [Vec<f32>; 4],
    end: u32,
    /// Time marks, 20 ms apart. Empty when the model has none.
    pub(super) marks: Range<u32>,
}

/// What a row has said after its prompt, and how it goes on.
#[derive(Clone, Copy)]
pub(super) struct Course<'a> {
    pub(super) said: &'a [u32],
    /// Whether it says time marks.
    pub(super) marks: bool,
    /// Whether it may not end yet.
    pub(super) must_go_on: bool,
}

/// A decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Choice {
    pub(super) token: u32,
    /// Natural logarithm of its probability, whatever temperature chose it.
    pub(super) log_prob: f32,
}

impl Rules {
    pub(super) fn new(
        vocabulary: usize,
        end: u32,
        marks: Range<u32>,
        no_marks: u32,
        never: &[u32],
        not_first: &[u32],
    ) -> Self {
        let mask = |first: bool, with_marks: bool| {
            let mut mask = vec![0f32; vocabulary];
            let out = never.iter().chain(not_first.iter().filter(|_| first));
            let no_marks = with_marks.then_some(no_marks);
            for token in out.copied().chain(no_marks) {
                rule_out(&mut mask, token..token + 1);
            }
            if !with_marks {
                rule_out(&mut mask, marks.clone());
            }
            mask
        };
        Self {
            masks: [
                mask(false, false),
                mask(true, false),
                mask(false, true),
                mask(true, true),
            ],
            end,
            marks,
        }
    }

    fn class(course: Course<'_>) -> usize {
        usize::from(course.said.is_empty()) + 2 * usize::from(course.marks)
    }

    /// Takes away what may not come next.
    pub(super) fn apply(&self, logits: &mut [f32], course: Course<'_>) {
        let mask = &self.masks[Self::class(course)];
        for (logit, mask) in logits.iter_mut().zip(mask) {
            *logit += mask;
        }
        if course.must_go_on {
            rule_out(logits, self.end..self.end + 1);
        }
        if course.marks {
            self.order_marks(logits, course.said);
        }
    }

    /// Time marks come first, in pairs, and never go back.
    fn order_marks(&self, logits: &mut [f32], said: &[u32]) {
        let Range { start, end } = self.marks.clone();
        let is_mark = |token: Option<&u32>| token.is_some_and(|token| *token >= start);
        let Some(last) = said.last() else {
            rule_out(logits, 0..start);
            rule_out(logits, start + FIRST_MARK + 1..end);
            return;
        };
        let last_is_mark = is_mark(Some(last));
        let one_before = said.len().checked_sub(2).map(|n| &said[n]);
        let pair_is_full = one_before.is_none() || is_mark(one_before);
        if last_is_mark && pair_is_full {
            rule_out(logits, start..end);
        } else if last_is_mark {
            rule_out(logits, 0..self.end);
            rule_out(logits, self.end + 1..start);
        }
        if let Some(latest) = said.iter().rev().find(|token| **token >= start) {
            // A segment has some length; the mark that opens the next may equal the last.
            let from = latest + u32::from(!last_is_mark || pair_is_full);
            rule_out(logits, start..from.min(end));
        }
        let (text, marks) = logits.split_at(start as usize);
        let likeliest_text = text.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if summarize(marks).log_sum > likeliest_text {
            rule_out(logits, 0..start);
        }
    }
}

/// The likeliest token; the rules are applied already.
pub(super) fn likeliest(logits: &[f32], summary: Summary) -> Choice {
    let token = logits.iter().position(|logit| *logit == summary.top);
    choice(logits, summary, token.unwrap_or(0) as u32)
}

/// A token drawn by chance at a temperature above 0.
pub(super) fn draw(
    logits: &[f32],
    summary: Summary,
    temperature: f32,
    random: &mut Random,
) -> Choice {
    let weight = |logit: f32| f64::from((logit - summary.top) / temperature).exp();
    let total: f64 = logits.iter().map(|logit| weight(*logit)).sum();
    let mut left = random.unit() * total;
    let mut drawn = 0;
    for (token, logit) in logits.iter().enumerate() {
        let weight = weight(*logit);
        if weight > 0.0 {
            drawn = token;
            left -= weight;
            if left <= 0.0 {
                break;
            }
        }
    }
    choice(logits, summary, drawn as u32)
}

/// Natural logarithm of a token's probability.
pub(super) fn log_prob(logits: &[f32], token: u32) -> f32 {
    choice(logits, summarize(logits), token).log_prob
}

/// A token that is given.
pub(super) fn choice(logits: &[f32], summary: Summary, token: u32) -> Choice {
    let own = logits.get(token as usize).copied().unwrap_or(f32::MIN);
    Choice {
        token,
        log_prob: own - summary.log_sum,
    }
}

fn rule_out(logits: &mut [f32], tokens: Range<u32>) {
    let end = (tokens.end as usize).min(logits.len());
    let start = (tokens.start as usize).min(end);
    logits[start..end].fill(f32::NEG_INFINITY);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten words, the end (10), no-time-marks (11), and time marks 12 to 20.
    fn rules() -> Rules {
        Rules::new(21, 10, 12..21, 11, &[3], &[4])
    }

    fn allowed(said: &[u32], marks: bool) -> Vec<u32> {
        let mut logits: Vec<f32> = (0..21).map(|n| if n < 11 { 10.0 } else { 0.0 }).collect();
        let course = Course {
            said,
            marks,
            must_go_on: false,
        };
        rules().apply(&mut logits, course);
        (0..21)
            .filter(|n| logits[*n as usize].is_finite())
            .collect()
    }

    #[test]
    fn without_time_marks_only_words_and_the_end_are_said() {
        assert_eq!(allowed(&[], false), [0, 1, 2, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(allowed(&[1], false), [0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11]);
    }

    #[test]
    fn time_marks_open_and_close_a_segment_and_never_go_back() {
        assert_eq!(allowed(&[], true), (12..21).collect::<Vec<_>>());
        let words = [0, 1, 2, 4, 5, 6, 7, 8, 9, 10];
        assert_eq!(allowed(&[14], true), words, "a segment has text");
        assert_eq!(
            allowed(&[14, 1], true)[words.len()..],
            [15, 16, 17, 18, 19, 20]
        );
        let open_next = [10, 17, 18, 19, 20];
        assert_eq!(allowed(&[14, 1, 17], true), open_next, "or the end");
        assert_eq!(allowed(&[14, 1, 17, 17], true), words);
    }

    #[test]
    fn the_likeliest_is_chosen_and_probabilities_sum_to_one() {
        let logits = [1.0, 2.0, -3.0, 0.5];
        let chosen = likeliest(&logits, summarize(&logits));
        assert_eq!(chosen.token, 1);
        assert!((chosen.log_prob - log_prob(&logits, 1)).abs() < 1e-6);
        let sum: f32 = (0..4).map(|id| log_prob(&logits, id).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6);
    }

    #[test]
    fn tokens_are_drawn_as_often_as_they_are_likely_and_the_same_again_by_seed() {
        let logits = [0.0, 1.0, f32::NEG_INFINITY];
        let draws = |seed| {
            let mut random = Random::new(seed);
            (0..4000)
                .map(|_| draw(&logits, summarize(&logits), 0.5, &mut random).token)
                .collect::<Vec<_>>()
        };
        let drawn = draws(7);
        let first = drawn.iter().filter(|token| **token == 0).count() as f64 / 4000.0;
        // exp(0) against exp(1 / 0.5)
        assert!((first - 1.0 / (1.0 + 2f64.exp())).abs() < 0.03, "{first}");
        assert!(!drawn.contains(&2));
        assert_eq!(drawn, draws(7));
        assert_ne!(drawn, draws(8));
    }
}
