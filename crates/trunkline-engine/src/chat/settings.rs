//! How much a language model may hold and do at once.

use trunkline_nn::llama::{BLOCK_TOKENS, Llama};
use trunkline_scheduler::{PerClass, TokenSettings};

/// The measures of one language model's worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChatSettings {
    /// Memory for keys and values, in bytes. A thousand tokens of a 135M model take 46 MB, of an
    /// 8B one 270 MB.
    pub kv_bytes: usize,
    /// Tokens of prompts that are computed in one step, beside one of each running reply. Few
    /// enough that a running reply, and who wants to cancel, wait a fraction of a second.
    pub prefill_tokens: usize,
    /// Tokens in one step that are computed ahead of need, at most: a caller whose turn ends
    /// during the step waits for its end.
    pub speculative_tokens: usize,
    /// Rows that may wait: more are refused.
    pub waiting_rows: usize,
}

impl Default for ChatSettings {
    fn default() -> Self {
        Self {
            kv_bytes: 1 << 30,
            prefill_tokens: 128,
            speculative_tokens: 32,
            waiting_rows: 64,
        }
    }
}

/// A share of the blocks, one in so many, may be pinned by the beginnings of workflows.
const PINNED: usize = 4;
/// As the scheduler's own, but of steps in which callers wait for a first token, what is computed
/// ahead gets next to nothing.
const GUARANTEED_PERCENT: PerClass<u8> = PerClass::new([0, 20, 1, 5]);
/// Fewer blocks than this hold no conversation.
const LEAST_BLOCKS: usize = 16;

impl ChatSettings {
    /// Blocks that the memory has room for, and that make sense for the model.
    pub(super) fn blocks(&self, block_bytes: usize) -> usize {
        (self.kv_bytes / block_bytes.max(1)).max(LEAST_BLOCKS)
    }

    /// What the scheduler works with. `blocks` are those of the pool.
    pub(super) fn of_tokens(&self, model: &Llama, blocks: usize) -> TokenSettings {
        let pinned = blocks / PINNED;
        let longest = (blocks - pinned) * BLOCK_TOKENS;
        TokenSettings {
            block_tokens: BLOCK_TOKENS,
            blocks: u32::try_from(blocks).unwrap_or(u32::MAX),
            max_pinned_blocks: pinned,
            max_row_tokens: model.context().min(longest),
            prefill_tokens: self.prefill_tokens,
            speculative_tokens: self.speculative_tokens,
            guaranteed_percent: GUARANTEED_PERCENT,
            max_waiting_rows: self.waiting_rows,
            ..TokenSettings::default()
        }
    }
}
