//! How long a step takes: a line through the measured ones, time against tokens.
//!
//! The length of the contexts is not in the model; recent steps count most, so that it follows.

use std::time::Duration;

/// What a sample is worth when the next one comes.
const DECAY: f64 = 0.98;

/// Samples before the line is trusted.
const ENOUGH: u32 = 3;

/// A decaying least-squares line.
#[derive(Debug, Clone, Default)]
pub(crate) struct StepTime {
    samples: u32,
    weight: f64,
    tokens: f64,
    seconds: f64,
    tokens_squared: f64,
    tokens_seconds: f64,
}

/// Seconds of a step: `base + per_token * tokens`.
#[derive(Debug, Clone, Copy)]
struct Line {
    base: f64,
    per_token: f64,
}

impl StepTime {
    pub(crate) fn observe(&mut self, tokens: usize, took: Duration) {
        let (x, y) = (tokens as f64, took.as_secs_f64());
        self.samples = self.samples.saturating_add(1);
        self.weight = self.weight * DECAY + 1.0;
        self.tokens = self.tokens * DECAY + x;
        self.seconds = self.seconds * DECAY + y;
        self.tokens_squared = self.tokens_squared * DECAY + x * x;
        self.tokens_seconds = self.tokens_seconds * DECAY + x * y;
    }

    /// What a step of so many tokens takes; `None` before enough was measured.
    pub(crate) fn predict(&self, tokens: usize) -> Option<Duration> {
        let line = self.line()?;
        Some(Duration::from_secs_f64(
            line.base + line.per_token * tokens as f64,
        ))
    }

    /// How many tokens a step may have to end within `span`; `None` before enough was measured.
    pub(crate) fn tokens_within(&self, span: Duration) -> Option<usize> {
        let line = self.line()?;
        let left = span.as_secs_f64() - line.base;
        Some(if left <= 0.0 {
            0
        } else if line.per_token <= 0.0 {
            usize::MAX
        } else {
            // Saturates.
            (left / line.per_token) as usize
        })
    }

    fn line(&self) -> Option<Line> {
        if self.samples < ENOUGH || self.tokens <= 0.0 {
            return None;
        }
        let spread = self.weight * self.tokens_squared - self.tokens * self.tokens;
        let proportional = Line {
            base: 0.0,
            per_token: self.seconds / self.tokens,
        };
        // Steps of one size do not tell the base from the slope; all slope is the careful guess.
        if spread <= 1e-6 * self.weight * self.tokens_squared {
            return Some(proportional);
        }
        let per_token = (self.weight * self.tokens_seconds - self.tokens * self.seconds) / spread;
        let base = (self.seconds - per_token * self.tokens) / self.weight;
        Some(if base < 0.0 {
            proportional
        } else if per_token < 0.0 {
            Line {
                base: self.seconds / self.weight,
                per_token: 0.0,
            }
        } else {
            Line { base, per_token }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(samples: &[(usize, u64)]) -> StepTime {
        let mut model = StepTime::default();
        for (tokens, millis) in samples {
            model.observe(*tokens, Duration::from_millis(*millis));
        }
        model
    }

    #[test]
    fn a_line_is_found_again() {
        let model = measured(&[(10, 11), (100, 20), (500, 60), (50, 15)]);
        let predicted = model.predict(300).unwrap();
        assert!(predicted.abs_diff(Duration::from_millis(40)) < Duration::from_micros(10));
        let tokens = model.tokens_within(Duration::from_millis(40)).unwrap();
        assert!((299..=300).contains(&tokens));
        assert_eq!(model.tokens_within(Duration::from_millis(9)), Some(0));
    }

    #[test]
    fn few_samples_say_nothing_and_equal_ones_scale() {
        assert!(measured(&[(10, 10), (20, 20)]).predict(10).is_none());
        let model = measured(&[(10, 10); 5]);
        assert_eq!(model.tokens_within(Duration::from_millis(100)), Some(100));
    }

    #[test]
    fn steps_that_get_shorter_with_tokens_are_read_as_constant() {
        let model = measured(&[(10, 30), (100, 20), (200, 10)]);
        assert_eq!(model.predict(10), model.predict(1000));
        assert_eq!(
            model.tokens_within(Duration::from_secs(1)),
            Some(usize::MAX)
        );
    }
}
