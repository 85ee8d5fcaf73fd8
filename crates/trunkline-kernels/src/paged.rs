//! Launches of attention over keys and values in blocks (`kernels/paged.cu`).

use crate::{Argument, KernelError, Launch, Number};

const WARP: usize = 32;
/// Warps that share the keys of one query.
const WARPS: usize = 4;
/// A split takes at least so many keys: fewer cost more to put together than they save.
const SPLIT_TOKENS: usize = 256;
/// Splits at most.
const SPLITS: usize = 32;
/// Columns of a head at most.
const WIDEST: usize = 256;

/// The attention of one layer, and how a block of the pool lies in memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys; each serves as many heads of queries as the others.
    pub kv_heads: usize,
    /// Columns of a head.
    pub width: usize,
    /// Columns that a token's values take in the pool.
    pub padded: usize,
    /// Tokens of a block.
    pub block_tokens: usize,
    /// A query sees so many tokens, itself included; all when `None`.
    pub window: Option<usize>,
    /// Of the norms of queries and keys, where there are any.
    pub epsilon: f32,
}

impl Shape {
    /// Columns of what is projected for a token: its queries, keys and values.
    pub fn columns(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.width
    }

    /// Numbers that a block's keys take.
    pub fn block_keys(&self) -> usize {
        self.kv_heads * self.width * self.block_tokens
    }

    /// Numbers that a block's values take.
    pub fn block_values(&self) -> usize {
        self.kv_heads * self.padded * self.block_tokens
    }

    /// Refuses what no kernel is built for.
    ///
    /// # Errors
    /// [`KernelError::UnsupportedShape`].
    pub fn check(&self) -> Result<(), KernelError> {
        let problem = if self.width > WIDEST || !self.width.is_multiple_of(2) || self.width == 0 {
            ("a head", self.width)
        } else if self.kv_heads == 0 || !self.heads.is_multiple_of(self.kv_heads) {
            ("heads that share keys", self.heads)
        } else if self.padded < self.width {
            ("padded columns", self.padded)
        } else if self.block_tokens == 0 {
            ("a block", self.block_tokens)
        } else {
            return Ok(());
        };
        let (what, number) = problem;
        Err(KernelError::UnsupportedShape { what, number })
    }

    /// As the kernels take it, after their other arguments.
    pub fn arguments<B>(&self) -> [Argument<'static, B>; 7]
    where
        B: 'static,
    {
        let number = |x: usize| Argument::Number(x as u32);
        [
            number(self.heads),
            number(self.kv_heads),
            number(self.width),
            number(self.padded),
            number(self.block_tokens),
            number(self.window.unwrap_or(0)),
            Argument::Float(self.epsilon),
        ]
    }

    fn lane_columns(&self) -> usize {
        self.width.div_ceil(WARP).next_power_of_two().max(2)
    }

    /// Queries of one head of keys that a block answers at once.
    fn at_once(&self) -> usize {
        match self.heads / self.kv_heads {
            1 => 1,
            2..=4 => 4,
            _ => 8,
        }
    }

    fn chunks(&self) -> usize {
        (self.heads / self.kv_heads).div_ceil(self.at_once())
    }

    /// The first token that a block at `position` reads: of the unit of a warp in which the
    /// window begins.
    fn begin(&self, position: usize) -> usize {
        let first_seen = match self.window {
            Some(window) => (position + 1).saturating_sub(window),
            None => 0,
        };
        first_seen / WARP * WARP
    }

    /// Into how many splits the keys of these queries are cut, so that a card of so many
    /// multiprocessors has enough to do.
    pub fn splits(&self, positions: &[usize], multiprocessors: usize) -> usize {
        let lengths = positions.iter().map(|at| at + 1 - self.begin(*at));
        let longest = lengths.max().unwrap_or(1);
        let blocks = (positions.len() * self.kv_heads * self.chunks()).max(1);
        let wanted = (2 * multiprocessors).div_ceil(blocks);
        wanted.min(longest / SPLIT_TOKENS).clamp(1, SPLITS)
    }

    /// What the kernel asks of each query: its position, where its sequence's blocks begin in
    /// the table, and how many keys a split takes.
    pub fn asks(&self, queries: &[(usize, usize)], splits: usize) -> Vec<u32> {
        let ask = |(position, table): &(usize, usize)| {
            let length = position + 1 - self.begin(*position);
            let share = length.div_ceil(splits).next_multiple_of(WARP);
            [*position as u32, *table as u32, share as u32]
        };
        queries.iter().flat_map(ask).collect()
    }

    /// Stores the keys and values of so many tokens. Arguments: keys, values, projected, turns,
    /// norm or nothing, slots, the shape.
    pub fn store(&self, number: Number, tokens: usize) -> Launch {
        Launch {
            module: "paged",
            kernel: format!("store_{}", number.name()),
            grid: [tokens as u32, self.kv_heads as u32, 1],
            threads: WARP as u32,
            shared_bytes: 0,
        }
    }

    /// What the queries of so many tokens find. Arguments: out, parts or nothing, projected,
    /// keys, values, turns, norm or nothing, asks, tables, the shape.
    pub fn attend(&self, number: Number, tokens: usize, splits: usize) -> Launch {
        let (columns, at_once) = (self.lane_columns(), self.at_once());
        let row = at_once * WARP * columns;
        let floats = row + WARPS * (2 * at_once + row);
        Launch {
            module: "paged",
            kernel: format!("attend_{}_c{columns}_r{at_once}", number.name()),
            grid: [
                tokens as u32,
                (self.kv_heads * self.chunks()) as u32,
                splits as u32,
            ],
            threads: (WARPS * WARP) as u32,
            shared_bytes: (floats * size_of::<f32>()) as u32,
        }
    }

    /// Numbers of 32 bits that the parts of several splits take.
    pub fn parts(&self, tokens: usize, splits: usize) -> usize {
        splits * tokens * self.heads * (self.width + 2)
    }

    /// Puts the parts together. Arguments: out, parts, splits, the shape.
    pub fn combine(&self, number: Number, tokens: usize) -> Launch {
        Launch {
            module: "paged",
            kernel: format!("combine_{}", number.name()),
            grid: [tokens as u32, self.heads as u32, 1],
            threads: self.width.next_multiple_of(WARP) as u32,
            shared_bytes: 0,
        }
    }
}

/// Copies a block onto another of the same pool. Arguments: pool, from, to, numbers of a block.
pub fn copy_block(number: Number, numbers: usize) -> Launch {
    Launch {
        module: "paged",
        kernel: format!("copy_block_{}", number.name()),
        grid: [numbers.div_ceil(256).clamp(1, 1024) as u32, 1, 1],
        threads: 256,
        shared_bytes: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LLAMA: Shape = Shape {
        heads: 32,
        kv_heads: 8,
        width: 128,
        padded: 128,
        block_tokens: 32,
        window: None,
        epsilon: 1e-5,
    };

    #[test]
    fn every_key_is_in_one_split() {
        for window in [None, Some(1), Some(33), Some(500)] {
            let shape = Shape { window, ..LLAMA };
            for position in [0, 31, 32, 63, 500, 4095] {
                for splits in [1, 2, 7, 32] {
                    let asks = shape.asks(&[(position, 0)], splits);
                    let reached = shape.begin(position) + asks[2] as usize * splits;
                    assert!(reached > position, "{window:?} {position} {splits}");
                    assert!(asks[2].is_multiple_of(32));
                }
            }
        }
    }

    #[test]
    fn one_long_conversation_uses_the_whole_card_and_many_short_ones_are_not_split() {
        assert_eq!(LLAMA.splits(&[8000], 132), 31);
        assert_eq!(LLAMA.splits(&[40; 64], 132), 1);
        assert_eq!(LLAMA.splits(&[8000; 64], 132), 1);
        assert_eq!(LLAMA.splits(&[], 132), 1);
    }

    #[test]
    fn what_a_block_shares_is_there_without_asking() {
        for (heads, width) in [(32, 128), (64, 256), (14, 64), (8, 96)] {
            let shape = Shape {
                heads,
                kv_heads: if heads == 14 { 2 } else { 8 },
                width,
                padded: width,
                ..LLAMA
            };
            assert!(shape.check().is_ok());
            assert!(shape.attend(Number::BF16, 1, 1).shared_bytes <= 48 * 1024);
        }
    }

    #[test]
    fn heads_that_no_kernel_is_built_for_are_refused() {
        for width in [0, 65, 258] {
            let shape = Shape {
                width,
                padded: 512,
                ..LLAMA
            };
            assert!(shape.check().is_err(), "{width}");
        }
    }
}
