//! What the worker needs of a network, and how `trunkline-nn` gives it.

use std::sync::Arc;

use trunkline_nn::NnError;
use trunkline_nn::llama::{BLOCK_TOKENS, KvPool, Llama, Logits, Row};

use super::settings::ChatSettings;

/// A network with its keys and values, on one thread.
pub(super) trait StepNetwork: Send {
    /// Blocks of the pool.
    fn blocks(&self) -> usize;

    /// Copies blocks, then computes the new tokens of all rows.
    fn step(&mut self, copies: &[(u32, u32)], rows: &[Row<'_>]) -> Result<Logits, NnError>;
}

/// A model of the Llama family and its pool.
pub(super) struct LlamaNetwork {
    model: Arc<Llama>,
    pool: KvPool,
}

impl LlamaNetwork {
    pub(super) fn new(model: &Arc<Llama>, settings: &ChatSettings) -> Result<Self, NnError> {
        let block_bytes = model.new_pool(1, BLOCK_TOKENS)?.block_bytes();
        let blocks = settings.blocks(block_bytes);
        Ok(Self {
            model: Arc::clone(model),
            pool: model.new_pool(blocks, BLOCK_TOKENS)?,
        })
    }
}

impl StepNetwork for LlamaNetwork {
    fn blocks(&self) -> usize {
        self.pool.blocks()
    }

    fn step(&mut self, copies: &[(u32, u32)], rows: &[Row<'_>]) -> Result<Logits, NnError> {
        for (from, to) in copies {
            self.pool.copy_block(*from, *to)?;
        }
        self.model.step(&mut self.pool, rows)
    }
}
