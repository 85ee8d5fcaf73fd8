//! Draws the next token. The same seed, options and logits give the same token everywhere.

/// How a reply is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateOptions {
    /// The reply ends after this many tokens at the latest.
    pub max_tokens: usize,
    /// 0 is greedy.
    pub temperature: f32,
    /// Nucleus: only the likeliest tokens that together reach this probability; 1 keeps all.
    pub top_p: f32,
    /// Logits of recent tokens are divided by it, or multiplied when negative; 1 is off.
    pub repetition_penalty: f32,
    /// Of the random numbers; unused when greedy.
    pub seed: u64,
    /// The reply ends before any of these.
    pub stop: Vec<String>,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            max_tokens: 256,
            temperature: 0.0,
            top_p: 1.0,
            repetition_penalty: 1.0,
            seed: 0,
            stop: Vec::new(),
        }
    }
}

/// The repetition penalty looks back over so many tokens, the prompt's included.
const LOOK_BACK: usize = 64;

pub(super) struct Sampler {
    temperature: f32,
    top_p: f32,
    repetition_penalty: f32,
    state: u64,
}

impl Sampler {
    pub(super) fn new(options: &GenerateOptions) -> Self {
        Self {
            temperature: options.temperature,
            top_p: options.top_p,
            repetition_penalty: options.repetition_penalty,
            state: options.seed,
        }
    }

    /// The next token after `before`.
    pub(super) fn draw(&mut self, logits: &mut [f32], before: &[u32]) -> u32 {
        self.penalise(logits, before);
        if self.temperature <= 0.0 {
            return likeliest(logits);
        }
        let mut ranked = self.ranked(logits);
        let total = self.keep_nucleus(&mut ranked);
        let mut left = self.uniform() * total;
        for (token, probability) in &ranked {
            left -= probability;
            if left < 0.0 {
                return *token;
            }
        }
        ranked.last().map_or(0, |(token, _)| *token)
    }

    fn penalise(&self, logits: &mut [f32], before: &[u32]) {
        if self.repetition_penalty == 1.0 {
            return;
        }
        let mut recent = before[before.len().saturating_sub(LOOK_BACK)..].to_vec();
        recent.sort_unstable();
        recent.dedup();
        for token in recent {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = if *logit > 0.0 {
                    *logit / self.repetition_penalty
                } else {
                    *logit * self.repetition_penalty
                };
            }
        }
    }

    /// Tokens with unnormalised probabilities, likeliest first. What is a thousand million times
    /// less likely than the likeliest is left out.
    fn ranked(&self, logits: &[f32]) -> Vec<(u32, f32)> {
        let top = logits.iter().copied().fold(f32::MIN, f32::max);
        let mut ranked: Vec<(u32, f32)> = logits
            .iter()
            .enumerate()
            .map(|(token, logit)| (token as u32, ((logit - top) / self.temperature).exp()))
            .filter(|(_, probability)| *probability > 1e-9)
            .collect();
        ranked.sort_by(|(a, p), (b, q)| q.total_cmp(p).then(a.cmp(b)));
        ranked
    }

    /// Cuts to the nucleus and gives what is left in total.
    fn keep_nucleus(&self, ranked: &mut Vec<(u32, f32)>) -> f32 {
        let all: f32 = ranked.iter().map(|(_, probability)| probability).sum();
        let mut kept = 0.0;
        let inside = ranked.iter().position(|(_, probability)| {
            kept += probability;
            kept >= all * self.top_p
        });
        if let Some(last) = inside {
            ranked.truncate(last + 1);
        }
        ranked.iter().map(|(_, probability)| probability).sum()
    }

    /// 0 to 1, by SplitMix64 (Steele et al. 2014).
    fn uniform(&mut self) -> f32 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 40) as f32 / (1u64 << 24) as f32
    }
}

fn likeliest(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (token, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = token;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw_many(options: &GenerateOptions, logits: &[f32]) -> Vec<u32> {
        let mut sampler = Sampler::new(options);
        (0..2000)
            .map(|_| sampler.draw(&mut logits.to_vec(), &[]))
            .collect()
    }

    #[test]
    fn cold_is_greedy() {
        let drawn = draw_many(&GenerateOptions::default(), &[0.1, 3.0, 2.9]);
        assert!(drawn.iter().all(|token| *token == 1));
    }

    #[test]
    fn warm_follows_the_probabilities_and_the_seed() {
        let options = GenerateOptions {
            temperature: 1.0,
            seed: 7,
            ..GenerateOptions::default()
        };
        let logits = [0.5f32.ln(), 0.3f32.ln(), 0.2f32.ln()];
        let drawn = draw_many(&options, &logits);
        let share = |token| drawn.iter().filter(|t| **t == token).count() as f32 / 2000.0;
        assert!((share(0) - 0.5).abs() < 0.05);
        assert!((share(2) - 0.2).abs() < 0.05);
        assert_eq!(drawn, draw_many(&options, &logits));
        assert_ne!(
            drawn,
            draw_many(&GenerateOptions { seed: 8, ..options }, &logits)
        );
    }

    #[test]
    fn nothing_outside_the_nucleus_is_drawn() {
        let options = GenerateOptions {
            temperature: 1.0,
            top_p: 0.7,
            ..GenerateOptions::default()
        };
        let logits = [0.5f32.ln(), 0.3f32.ln(), 0.2f32.ln()];
        assert!(draw_many(&options, &logits).iter().all(|token| *token < 2));
    }

    #[test]
    fn what_was_said_becomes_less_likely() {
        let options = GenerateOptions {
            repetition_penalty: 2.0,
            ..GenerateOptions::default()
        };
        let mut sampler = Sampler::new(&options);
        assert_eq!(sampler.draw(&mut [3.0, 2.0, -1.0], &[0]), 1);
        assert_eq!(sampler.draw(&mut [-1.0, -1.5, -9.0], &[0, 2]), 1);
    }
}
