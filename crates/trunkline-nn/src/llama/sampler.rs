//! Draws the next token. The same seed, options and logits give the same token everywhere.

use super::constraint::Allowed;

/// How tokens are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f32,
    /// Nucleus: only the likeliest tokens that together reach this probability; 1 keeps all.
    pub top_p: f32,
    /// Tokens less likely than this share of the likeliest are not drawn; 0 keeps all.
    pub min_p: f32,
    /// Only so many of the likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Logits of recent tokens are divided by it, or multiplied when negative; 1 is off.
    pub repetition_penalty: f32,
    /// Of the random numbers; unused when greedy.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            min_p: 0.0,
            top_k: 0,
            repetition_penalty: 1.0,
            seed: 0,
        }
    }
}

/// The repetition penalty looks back over so many tokens, the prompt's included.
const LOOK_BACK: usize = 64;

/// Draws the tokens of one reply.
#[derive(Debug, Clone)]
pub struct Sampler {
    options: Sampling,
    state: u64,
}

impl Sampler {
    /// Begins with the seed.
    pub fn new(options: Sampling) -> Self {
        Self {
            state: options.seed,
            options,
        }
    }

    /// The next token after `before`, of the allowed ones. `None` when none is allowed. The
    /// logits are changed on the way.
    pub fn draw(
        &mut self,
        logits: &mut [f32],
        before: &[u32],
        allowed: Option<&Allowed>,
    ) -> Option<u32> {
        if let Some(allowed) = allowed {
            allowed.apply(logits);
        }
        self.penalise(logits, before);
        let best = likeliest(logits)?;
        if self.options.temperature <= 0.0 {
            return Some(best);
        }
        let mut ranked = self.ranked(logits, logits[best as usize]);
        let total = self.cut(&mut ranked);
        let mut left = self.uniform() * total;
        for (token, probability) in &ranked {
            left -= probability;
            if left < 0.0 {
                return Some(*token);
            }
        }
        ranked.last().map(|(token, _)| *token)
    }

    fn penalise(&self, logits: &mut [f32], before: &[u32]) {
        let penalty = self.options.repetition_penalty;
        if penalty == 1.0 {
            return;
        }
        let mut recent = before[before.len().saturating_sub(LOOK_BACK)..].to_vec();
        recent.sort_unstable();
        recent.dedup();
        for token in recent {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = if *logit > 0.0 {
                    *logit / penalty
                } else {
                    *logit * penalty
                };
            }
        }
    }

    /// Tokens with unnormalised probabilities, likeliest first. What is a thousand million times
    /// less likely than the likeliest is left out.
    fn ranked(&self, logits: &[f32], top: f32) -> Vec<(u32, f32)> {
        let least = self.options.min_p.max(1e-9);
        let mut ranked: Vec<(u32, f32)> = (0u32..)
            .zip(logits)
            .map(|(token, logit)| (token, ((logit - top) / self.options.temperature).exp()))
            .filter(|(_, probability)| *probability >= least)
            .collect();
        ranked.sort_by(|(a, p), (b, q)| q.total_cmp(p).then(a.cmp(b)));
        ranked
    }

    /// Cuts to the likeliest and to the nucleus, and gives what is left in total.
    fn cut(&self, ranked: &mut Vec<(u32, f32)>) -> f32 {
        if self.options.top_k > 0 {
            ranked.truncate(self.options.top_k);
        }
        let all: f32 = ranked.iter().map(|(_, probability)| probability).sum();
        let mut kept = 0.0;
        let inside = ranked.iter().position(|(_, probability)| {
            kept += probability;
            kept >= all * self.options.top_p
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

/// The token with the highest logit, if any is above minus infinity.
fn likeliest(logits: &[f32]) -> Option<u32> {
    const LANES: usize = 16;
    // Many side by side, in the form that becomes one instruction.
    let top = pulp::Arch::new().dispatch(|| {
        let mut tops = [f32::NEG_INFINITY; LANES];
        let (whole, rest) = logits.as_chunks::<LANES>();
        for chunk in whole {
            for (top, logit) in tops.iter_mut().zip(chunk) {
                *top = if *logit > *top { *logit } else { *top };
            }
        }
        tops.iter()
            .chain(rest)
            .copied()
            .fold(f32::NEG_INFINITY, f32::max)
    });
    if top == f32::NEG_INFINITY {
        return None;
    }
    let found = logits.iter().position(|logit| *logit == top)?;
    u32::try_from(found).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw_many(options: Sampling, logits: &[f32]) -> Vec<u32> {
        let mut sampler = Sampler::new(options);
        (0..2000)
            .map(|_| sampler.draw(&mut logits.to_vec(), &[], None).unwrap())
            .collect()
    }

    fn warm() -> Sampling {
        Sampling {
            temperature: 1.0,
            seed: 7,
            ..Sampling::default()
        }
    }

    fn fifty_thirty_twenty() -> [f32; 3] {
        [0.5f32.ln(), 0.3f32.ln(), 0.2f32.ln()]
    }

    #[test]
    fn cold_is_greedy() {
        let drawn = draw_many(Sampling::default(), &[0.1, 3.0, 2.9]);
        assert!(drawn.iter().all(|token| *token == 1));
    }

    #[test]
    fn warm_follows_the_probabilities_and_the_seed() {
        let drawn = draw_many(warm(), &fifty_thirty_twenty());
        let share = |token| drawn.iter().filter(|t| **t == token).count() as f32 / 2000.0;
        assert!((share(0) - 0.5).abs() < 0.05);
        assert!((share(2) - 0.2).abs() < 0.05);
        assert_eq!(drawn, draw_many(warm(), &fifty_thirty_twenty()));
        let other = Sampling { seed: 8, ..warm() };
        assert_ne!(drawn, draw_many(other, &fifty_thirty_twenty()));
    }

    #[test]
    fn what_is_too_unlikely_is_not_drawn() {
        let nucleus = Sampling {
            top_p: 0.7,
            ..warm()
        };
        let share_of_best = Sampling {
            min_p: 0.5,
            ..warm()
        };
        let few = Sampling { top_k: 2, ..warm() };
        for options in [nucleus, share_of_best, few] {
            let drawn = draw_many(options, &fifty_thirty_twenty());
            assert!(drawn.iter().all(|token| *token < 2), "{options:?}");
            assert!(drawn.contains(&1), "{options:?}");
        }
    }

    #[test]
    fn what_was_said_becomes_less_likely() {
        let options = Sampling {
            repetition_penalty: 2.0,
            ..Sampling::default()
        };
        let mut sampler = Sampler::new(options);
        assert_eq!(sampler.draw(&mut [3.0, 2.0, -1.0], &[0], None), Some(1));
        assert_eq!(
            sampler.draw(&mut [-1.0, -1.5, -9.0], &[0, 2], None),
            Some(1)
        );
    }

    #[test]
    fn where_nothing_is_allowed_nothing_is_drawn() {
        let mut sampler = Sampler::new(warm());
        let never = f32::NEG_INFINITY;
        assert_eq!(sampler.draw(&mut [never, never], &[], None), None);
    }
}
