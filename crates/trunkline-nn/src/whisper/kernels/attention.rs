//! Attention of single queries over keys and values in slots: what a decoder step needs, where
//! each row looks at a slot and a length of its own.

use rayon::prelude::*;

use super::elementary::{LANES, softmax};

/// A pool of keys or values: `(slots, positions, width)`, row-major.
#[derive(Clone, Copy)]
pub(in super::super) struct Heard<'a> {
    pub(in super::super) keys: &'a [f32],
    pub(in super::super) values: &'a [f32],
    /// Positions in a slot.
    pub(in super::super) positions: usize,
    /// Heads times values a head.
    pub(in super::super) width: usize,
    pub(in super::super) heads: usize,
}

/// Which slot a query looks at, and how many of its positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Query {
    pub(in super::super) slot: usize,
    pub(in super::super) length: usize,
}

/// `queries` are rows of `width`, already scaled; `found` takes as many rows.
///
/// A query's heads are shared out between threads only when there are too few queries: a pass
/// over a slot is quickest in the order in which it lies in memory.
pub(in super::super) fn attend(
    pool: Heard<'_>,
    asks: &[Query],
    queries: &[f32],
    found: &mut [f32],
) {
    let threads = rayon::current_num_threads();
    let shares = threads.div_ceil(asks.len().max(1)).min(pool.heads);
    let heads_each = pool.heads.div_ceil(shares);
    let head_width = pool.width / pool.heads;
    let tasks: Vec<_> = queries
        .chunks_exact(pool.width)
        .zip(found.chunks_exact_mut(pool.width))
        .zip(asks)
        .flat_map(|((query, found), ask)| {
            let step = heads_each * head_width;
            query
                .chunks(step)
                .zip(found.chunks_mut(step))
                .enumerate()
                .map(move |(n, (query, found))| (n * step, *ask, query, found))
        })
        .collect();
    tasks
        .into_par_iter()
        .for_each(|(first, ask, query, found)| {
            pulp::Arch::new().dispatch(
                #[inline(always)]
                || attend_one(pool, ask, first, head_width, query, found),
            );
        });
}

/// Some heads of one query; `first` is the column of the first of them.
#[inline(always)]
fn attend_one(
    pool: Heard<'_>,
    ask: Query,
    first: usize,
    head_width: usize,
    query: &[f32],
    found: &mut [f32],
) {
    let columns = first..first + query.len();
    let start = ask.slot * pool.positions * pool.width;
    let span = start..start + ask.length * pool.width;
    let heads = query.len() / head_width;
    let mut scores = vec![0f32; heads * ask.length];
    let keys = pool.keys[span.clone()].chunks_exact(pool.width);
    for (position, key) in keys.enumerate() {
        let pairs = key[columns.clone()]
            .chunks_exact(head_width)
            .zip(query.chunks_exact(head_width));
        for (head, (key, query)) in pairs.enumerate() {
            scores[head * ask.length + position] = dot(key, query);
        }
    }
    scores.chunks_exact_mut(ask.length).for_each(softmax);
    found.fill(0.0);
    let values = pool.values[span].chunks_exact(pool.width);
    for (position, value) in values.enumerate() {
        let pairs = value[columns.clone()]
            .chunks_exact(head_width)
            .zip(found.chunks_exact_mut(head_width));
        for (head, (value, found)) in pairs.enumerate() {
            let weight = scores[head * ask.length + position];
            for (found, value) in found.iter_mut().zip(value) {
                *found += weight * value;
            }
        }
    }
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect()
    }

    #[test]
    fn each_query_sees_its_slot_and_its_length_only() {
        const SLOTS: usize = 3;
        let (positions, width, heads) = (40, 24, 4);
        let mut keys = noise(SLOTS * positions * width, 1);
        let values = noise(SLOTS * positions * width, 2);
        let queries = noise(2 * width, 3);
        let asks = [
            Query {
                slot: 2,
                length: 17,
            },
            Query { slot: 0, length: 1 },
        ];
        let run = |keys: &[f32]| {
            let mut found = vec![0f32; 2 * width];
            let pool = Heard {
                keys,
                values: &values,
                positions,
                width,
                heads,
            };
            attend(pool, &asks, &queries, &mut found);
            found
        };
        let found = run(&keys);
        assert_eq!(found[width..], values[..width], "one position is its value");
        for (head, columns) in (0..width).collect::<Vec<_>>().chunks(6).enumerate() {
            let at = |position: usize, column: usize| (2 * positions + position) * width + column;
            let weights: Vec<f64> = (0..17)
                .map(|p| {
                    let score: f32 = columns.iter().map(|c| queries[*c] * keys[at(p, *c)]).sum();
                    f64::from(score).exp()
                })
                .collect();
            let total: f64 = weights.iter().sum();
            for column in columns {
                let expected: f64 = (0..17)
                    .map(|p| weights[p] / total * f64::from(values[at(p, *column)]))
                    .sum();
                let difference = f64::from(found[*column]) - expected;
                assert!(difference.abs() < 1e-6, "head {head}: {difference}");
            }
        }
        keys[(2 * positions + 17) * width..].fill(9.0);
        keys[positions * width..2 * positions * width].fill(9.0);
        assert_eq!(run(&keys), found);
    }
}
