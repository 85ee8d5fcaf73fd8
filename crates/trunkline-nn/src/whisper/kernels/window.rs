//! Attention of every position of a window over the whole window: what an encoder's block
//! needs. Scores stay in the nearest cache, a block of keys at a time, and are never all held
//! (Dao et al. 2022).

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::softmax::Running;
use crate::cpu::tile::{COLUMNS, add_product};

/// Positions whose keys and values are used together.
const BLOCK: usize = 64;
/// Queries that are answered together.
const QUERIES: usize = 32;

/// How the projections of some windows lie: `(windows · time, 3 · width)`, queries, already
/// scaled, keys and values of all heads side by side.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Windows {
    /// Positions in a window.
    pub(in super::super) time: usize,
    /// Heads times values a head.
    pub(in super::super) width: usize,
    pub(in super::super) heads: usize,
}

/// What each position finds: `(windows · time, width)`.
pub(in super::super) fn attend_windows(windows: Windows, projected: &[f32]) -> Vec<f32> {
    let Windows { time, width, .. } = windows;
    let count = projected.len() / (3 * width * time);
    let mut found = vec![0f32; count * time * width];
    let laid_out: Vec<Head> = (0..count * windows.heads)
        .into_par_iter()
        .map(|n| {
            let window = &projected[n / windows.heads * time * 3 * width..][..time * 3 * width];
            Head::new(windows, window, n % windows.heads)
        })
        .collect();
    let arch = Arch::new();
    found
        .par_chunks_mut(time * width)
        .zip(projected.par_chunks(time * 3 * width))
        .zip(laid_out.par_chunks(windows.heads))
        .for_each(|((found, projected), heads)| {
            let asked = projected.par_chunks(QUERIES * 3 * width);
            let found = found.par_chunks_mut(QUERIES * width);
            found.zip(asked).for_each(|(found, asked)| {
                arch.dispatch(Answer {
                    windows,
                    heads,
                    asked,
                    found,
                });
            });
        });
    found
}

/// The keys and values of one head of one window, laid out for their products.
struct Head {
    /// For each block, `(values a head, BLOCK)`.
    keys: Vec<f32>,
    /// For each block, `(BLOCK, values a head, padded)`.
    values: Vec<f32>,
}

impl Windows {
    fn head_width(self) -> usize {
        self.width / self.heads
    }

    fn padded(self) -> usize {
        self.head_width().next_multiple_of(COLUMNS)
    }
}

impl Head {
    fn new(windows: Windows, window: &[f32], head: usize) -> Self {
        let (width, padded) = (windows.head_width(), windows.padded());
        let blocks = windows.time.div_ceil(BLOCK);
        let mut keys = vec![0f32; blocks * width * BLOCK];
        let mut values = vec![0f32; blocks * BLOCK * padded];
        let lines = window.chunks_exact(3 * windows.width);
        for (position, (line, value)) in lines.zip(values.chunks_exact_mut(padded)).enumerate() {
            let key = &line[windows.width + head * width..][..width];
            let block = &mut keys[position / BLOCK * width * BLOCK..][..width * BLOCK];
            for (column, key) in block.chunks_exact_mut(BLOCK).zip(key) {
                column[position % BLOCK] = *key;
            }
            value[..width].copy_from_slice(&line[2 * windows.width + head * width..][..width]);
        }
        Self { keys, values }
    }
}

/// Some queries of one window, all heads.
struct Answer<'a> {
    windows: Windows,
    heads: &'a [Head],
    asked: &'a [f32],
    found: &'a mut [f32],
}

impl WithSimd for Answer<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (width, padded) = (self.windows.head_width(), self.windows.padded());
        let line = 3 * self.windows.width;
        let count = self.asked.len() / line;
        let mut queries = vec![0f32; count * width];
        let mut scores = vec![0f32; count * BLOCK];
        let mut gathered = vec![0f32; count * padded];
        let mut running = vec![Running::NEW; count];
        for (number, head) in self.heads.iter().enumerate() {
            let lines = self.asked.chunks_exact(line);
            for (query, line) in queries.chunks_exact_mut(width).zip(lines) {
                query.copy_from_slice(&line[number * width..][..width]);
            }
            gathered.fill(0.0);
            running.fill(Running::NEW);
            let keys = head.keys.chunks_exact(width * BLOCK);
            let values = head.values.chunks_exact(BLOCK * padded);
            for (block, (keys, values)) in keys.zip(values).enumerate() {
                let held = BLOCK.min(self.windows.time - block * BLOCK);
                scores.fill(0.0);
                add_product(simd, &queries, width, keys, BLOCK, &mut scores);
                let lines = scores.chunks_exact_mut(BLOCK);
                let gathering = gathered.chunks_exact_mut(padded);
                for ((line, gathered), running) in lines.zip(gathering).zip(&mut running) {
                    line[held..].fill(f32::NEG_INFINITY);
                    running.weigh(simd, line, gathered);
                }
                add_product(simd, &scores, BLOCK, values, padded, &mut gathered);
            }
            let lines = self.found.chunks_exact_mut(self.windows.width);
            let gathered = gathered.chunks_exact(padded);
            for ((line, gathered), running) in lines.zip(gathered).zip(&running) {
                let scale = running.scale();
                let line = &mut line[number * width..][..width];
                for (found, x) in line.iter_mut().zip(gathered) {
                    *found = x * scale;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize) -> f32 {
        (((n as u32 + 1).wrapping_mul(2_654_435_761)) >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    #[test]
    fn each_position_sees_all_of_its_own_window() {
        for (count, time, width, heads) in [(1, 1, 8, 1), (2, 70, 24, 4), (3, 130, 64, 1)] {
            let windows = Windows { time, width, heads };
            let projected: Vec<f32> = (0..count * time * 3 * width).map(noise).collect();
            let found = attend_windows(windows, &projected);
            let head_width = width / heads;
            let at = |position: usize, part: usize, column: usize| {
                f64::from(projected[(position * 3 + part) * width + column])
            };
            for (n, found) in found.iter().enumerate() {
                let (position, column) = (n / width, n % width);
                let first = position / time * time;
                let columns =
                    column / head_width * head_width..(column / head_width + 1) * head_width;
                let weights: Vec<f64> = (first..first + time)
                    .map(|key| {
                        let score: f64 = columns
                            .clone()
                            .map(|c| at(position, 0, c) * at(key, 1, c))
                            .sum();
                        score.exp()
                    })
                    .collect();
                let total: f64 = weights.iter().sum();
                let expected: f64 = (first..first + time)
                    .zip(&weights)
                    .map(|(key, weight)| weight / total * at(key, 2, column))
                    .sum();
                let difference = f64::from(*found) - expected;
                assert!(difference.abs() < 1e-5, "{time} positions: {difference}");
            }
        }
    }
}
