//! A network that computes hashes: each position's "keys and values" depend on all tokens before
//! it as they are found in the blocks, so that a block with anything else in it gives other
//! logits.

use crate::{BlockCopy, Plan, RowStep, Salt, Token};

/// What a position leaves in the cache, and its logits.
pub(crate) type Cell = u64;

fn mix(a: u64, b: u64) -> u64 {
    let mut x = (a ^ b.rotate_left(32)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn begin(salt: Option<Salt>) -> u64 {
    // Rows without a salt are of a model of their own.
    salt.map_or(u64::MAX, |salt| salt.0)
}

fn cell(context: u64, token: Token) -> Cell {
    mix(context, u64::from(token) + 1)
}

/// The logits of each position of a row, computed from its tokens alone.
pub(crate) fn alone(salt: Option<Salt>, tokens: &[Token]) -> Vec<Cell> {
    let mut context = begin(salt);
    let cells = tokens.iter().map(|token| {
        let cell = cell(context, *token);
        context = mix(context, cell);
        cell
    });
    cells.collect()
}

/// The token that follows.
pub(crate) fn sample(logits: Cell, vocabulary: u32) -> Token {
    (logits % u64::from(vocabulary)) as Token
}

pub(crate) struct Network {
    block_tokens: usize,
    /// All blocks in a row.
    cache: Vec<Cell>,
}

impl Network {
    pub(crate) fn new(blocks: u32, block_tokens: usize) -> Self {
        let cells = blocks as usize * block_tokens;
        Self {
            block_tokens,
            cache: (0..cells as u64).map(|n| mix(n, 0xbad)).collect(),
        }
    }

    fn place(&self, step: &RowStep<'_>, position: usize) -> usize {
        let block = step.blocks[position / self.block_tokens];
        block.0 as usize * self.block_tokens + position % self.block_tokens
    }

    /// The logits that the plan asks for, row after row. `salts` are the rows'.
    pub(crate) fn run(&mut self, plan: &Plan, salts: &[Option<Salt>]) -> Vec<Vec<Cell>> {
        self.copy(plan.copies());
        let mut contexts: Vec<u64> = Vec::new();
        // As in a packed step: all rows read before any row has written.
        for (step, salt) in plan.steps().zip(salts) {
            let cached = (0..step.start).map(|position| self.cache[self.place(&step, position)]);
            contexts.push(cached.fold(begin(*salt), mix));
        }
        let mut logits = Vec::new();
        for (step, mut context) in plan.steps().zip(contexts) {
            let mut cells = Vec::new();
            for (offset, token) in step.tokens.iter().enumerate() {
                let cell = cell(context, *token);
                context = mix(context, cell);
                let place = self.place(&step, step.start + offset);
                self.cache[place] = cell;
                cells.push(cell);
            }
            logits.push(cells.split_off(cells.len() - step.logits));
        }
        logits
    }

    /// A step that fails: it may leave anything where it would have written.
    pub(crate) fn fail(&mut self, plan: &Plan) {
        for step in plan.steps() {
            for offset in 0..step.tokens.len() {
                let place = self.place(&step, step.start + offset);
                self.cache[place] = 0xdead;
            }
        }
    }

    fn copy(&mut self, copies: &[BlockCopy]) {
        for copy in copies {
            let from = copy.from.0 as usize * self.block_tokens;
            let to = copy.to.0 as usize * self.block_tokens;
            self.cache.copy_within(from..from + self.block_tokens, to);
        }
    }
}
