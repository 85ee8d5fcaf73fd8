//! Rotary position embedding (Su et al. 2021) of the tokens of a step, each at its own position.

/// Cosines and sines of the packed tokens.
pub(super) struct Rotation {
    half: usize,
    /// For each token `half` cosines, then `half` sines.
    turns: Vec<f32>,
}

impl Rotation {
    /// `frequencies` are the radians per position of each pair of columns.
    pub(super) fn new(frequencies: &[f64], positions: &[usize]) -> Self {
        let half = frequencies.len();
        let mut turns = Vec::with_capacity(positions.len() * 2 * half);
        for position in positions {
            let angle = |frequency: &f64| *position as f64 * frequency;
            turns.extend(frequencies.iter().map(|f| angle(f).cos() as f32));
            turns.extend(frequencies.iter().map(|f| angle(f).sin() as f32));
        }
        Self { half, turns }
    }

    /// For each token half as many cosines as columns, then sines.
    #[cfg(feature = "cuda")]
    pub(super) fn turns(&self) -> &[f32] {
        &self.turns
    }

    /// Turns one head of packed token `token`, in place. A pair is half a head apart.
    pub(super) fn turn(&self, token: usize, head: &mut [f32]) {
        let start = token * 2 * self.half;
        let (cosines, sines) = self.turns[start..start + 2 * self.half].split_at(self.half);
        let (first, second) = head.split_at_mut(self.half);
        for (((a, b), cosine), sine) in first.iter_mut().zip(second).zip(cosines).zip(sines) {
            (*a, *b) = (*a * cosine - *b * sine, *b * cosine + *a * sine);
        }
    }
}

/// Brings a head to a root mean square of 1 and weighs its columns (Zhang and Sennrich 2019), as
/// Qwen 3 does before it turns queries and keys.
pub(super) fn normalise(head: &mut [f32], weights: &[f32], epsilon: f32) {
    let mean = head.iter().map(|x| x * x).sum::<f32>() / head.len() as f32;
    let scale = 1.0 / (mean + epsilon).sqrt();
    for (x, weight) in head.iter_mut().zip(weights) {
        *x *= scale * weight;
    }
}
