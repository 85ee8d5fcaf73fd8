//! The planner that sorts everything at every step.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context as _, Result};
use trunkline_scheduler::{BlockId, Token};

use super::{ANSWER, BLOCK_TOKENS, BLOCKS, BUDGET, PROMPT, Planner, ROWS, due, prompt};

struct Row {
    due: Duration,
    arrival: u32,
    tokens: Vec<Token>,
    computed: usize,
    blocks: Vec<BlockId>,
}

/// All rows in one list.
pub(super) struct SortingPlanner {
    rows: Vec<Row>,
    free: Vec<BlockId>,
}

/// What a network needs: packed tokens and block tables.
#[derive(Default)]
struct Packed {
    tokens: Vec<Token>,
    blocks: Vec<BlockId>,
    /// The place in the list, and where its tokens end.
    rows: Vec<(usize, usize)>,
}

impl SortingPlanner {
    pub(super) fn new() -> Self {
        Self {
            rows: Vec::new(),
            free: (0..BLOCKS).map(BlockId).collect(),
        }
    }

    fn plan(&mut self) -> Result<Packed> {
        // Who decodes first, then by deadline.
        self.rows
            .sort_by_key(|row| (row.computed < PROMPT, row.due, row.arrival));
        let mut packed = Packed::default();
        let mut left = BUDGET;
        for (place, row) in self.rows.iter_mut().enumerate() {
            let pending = row.tokens.len() - row.computed;
            let run = if row.computed < PROMPT {
                pending.min(left)
            } else {
                pending
            };
            if run == 0 || packed.rows.len() == 2 * ROWS {
                continue;
            }
            if row.computed < PROMPT {
                left -= run;
            }
            let end = row.computed + run;
            while row.blocks.len() * BLOCK_TOKENS < end {
                row.blocks.push(self.free.pop().context("no block left")?);
            }
            packed
                .tokens
                .extend_from_slice(&row.tokens[row.computed..end]);
            packed.blocks.extend_from_slice(&row.blocks);
            packed.rows.push((place, end));
        }
        Ok(packed)
    }
}

impl Planner for SortingPlanner {
    fn submit(&mut self, number: u32) -> Result<()> {
        self.rows.push(Row {
            due: due(number),
            arrival: number,
            tokens: prompt(number),
            computed: 0,
            blocks: Vec::new(),
        });
        Ok(())
    }

    fn step(&mut self, _now: Duration) -> Result<(usize, usize)> {
        let packed = black_box(self.plan()?);
        for (place, end) in &packed.rows {
            let row = &mut self.rows[*place];
            row.computed = *end;
            if *end == row.tokens.len() {
                row.tokens.push(7);
            }
        }
        let before = self.rows.len();
        let free = &mut self.free;
        self.rows.retain_mut(|row| {
            let done = row.tokens.len() == PROMPT + ANSWER;
            if done {
                free.append(&mut row.blocks);
            }
            !done
        });
        Ok((packed.tokens.len(), before - self.rows.len()))
    }
}
