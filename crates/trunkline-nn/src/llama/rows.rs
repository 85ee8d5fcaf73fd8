//! What one step computes: several sequences, each with as many new tokens as it likes, packed
//! one after another without padding.

use super::pool::KvPool;
use crate::NnError;

/// One sequence's part of a step.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The new tokens, at least one.
    pub tokens: &'a [u32],
    /// How many tokens of the sequence are in its blocks already: the position of the first new
    /// one.
    pub start: usize,
    /// The sequence's blocks, in order, with room for the new tokens. Those that new tokens fall
    /// into belong to this row alone.
    pub blocks: &'a [u32],
    /// What follows is wanted for so many tokens at the end of the new ones: 0 where more of the
    /// prompt is to come, 1 for the last, all to score what is said.
    pub logits: usize,
}

/// The logits that a step was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Logits {
    values: Vec<f32>,
    vocabulary: usize,
    /// For each row, the first of its lines and how many.
    lines: Vec<(usize, usize)>,
}

impl Logits {
    pub(super) fn new(values: Vec<f32>, vocabulary: usize, rows: &[Row<'_>]) -> Self {
        let mut next = 0;
        let lines = rows
            .iter()
            .map(|row| {
                let (first, count) = (next, row.logits.min(row.tokens.len()));
                next += count;
                (first, count)
            })
            .collect();
        Self {
            values,
            vocabulary,
            lines,
        }
    }

    /// What follows each of the tokens that row `row` asked about, in order.
    pub fn of(&self, row: usize) -> impl ExactSizeIterator<Item = &[f32]> {
        let (first, count) = self.lines.get(row).copied().unwrap_or_default();
        let range = first * self.vocabulary..(first + count) * self.vocabulary;
        self.values[range].chunks_exact(self.vocabulary.max(1))
    }

    /// What follows the last token of row `row`, if that was asked; to be changed at will.
    pub fn last_mut(&mut self, row: usize) -> Option<&mut [f32]> {
        let (first, count) = self.lines.get(row).copied()?;
        let line = (first + count).checked_sub(1).filter(|_| count > 0)?;
        let start = line * self.vocabulary;
        self.values.get_mut(start..start + self.vocabulary)
    }
}

/// The rows of a step as the network's operations see them.
pub(super) struct Packed<'a> {
    pub(super) rows: Vec<PackedRow<'a>>,
    /// Of all rows, one after another.
    pub(super) tokens: Vec<u32>,
    /// Of each token, within its sequence.
    pub(super) positions: Vec<usize>,
    /// Which of the packed tokens are asked about, in order.
    pub(super) wanted: Vec<u32>,
}

/// Where a row's tokens are.
#[derive(Clone, Copy)]
pub(super) struct PackedRow<'a> {
    /// Its first packed token.
    pub(super) first: usize,
    pub(super) count: usize,
    /// Position of its first token.
    pub(super) start: usize,
    pub(super) blocks: &'a [u32],
}

impl<'a> Packed<'a> {
    pub(super) fn new(rows: &[Row<'a>], pool: &KvPool, context: usize) -> Result<Self, NnError> {
        let mut packed = Self {
            rows: Vec::with_capacity(rows.len()),
            tokens: Vec::new(),
            positions: Vec::new(),
            wanted: Vec::new(),
        };
        for row in rows {
            let (first, count) = (packed.tokens.len(), row.tokens.len());
            let end = row.start.saturating_add(count);
            if end > context || count == 0 {
                return Err(NnError::PromptTooLong {
                    tokens: end,
                    limit: context,
                });
            }
            let needed = end.div_ceil(pool.block_tokens());
            if row.blocks.len() < needed {
                return Err(NnError::BlocksMissing {
                    blocks: row.blocks.len(),
                    needed,
                });
            }
            for block in row.blocks {
                pool.check(*block)?;
            }
            packed.tokens.extend_from_slice(row.tokens);
            packed.positions.extend(row.start..end);
            let asked = count - row.logits.min(count)..count;
            packed.wanted.extend(asked.map(|at| (first + at) as u32));
            packed.rows.push(PackedRow {
                first,
                count,
                start: row.start,
                blocks: row.blocks,
            });
        }
        Ok(packed)
    }
}
