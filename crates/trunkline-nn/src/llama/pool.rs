//! The keys and values of all sequences that are open on a model, in blocks of a few tokens.
//!
//! A sequence is a list of block numbers. Who owns which block, and what may be shared, is
//! decided elsewhere; here they only have numbers. A block may stand in the lists of several
//! sequences as long as none of them writes into it.

use candle_core::{CpuStorage, DType, Device, InplaceOp1, Layout, Tensor};

use super::config::Config;
use crate::NnError;
use crate::cpu::tile::COLUMNS;

/// Tokens of a block where nothing else is asked for.
pub const BLOCK_TOKENS: usize = 32;

/// Keys and values in blocks. Memory is taken when a block is first written.
pub struct KvPool {
    layers: Vec<KvLayer>,
    shape: BlockShape,
    blocks: usize,
}

/// One layer's share of the pool, flat.
pub(super) struct KvLayer {
    /// By block, head, column and token: a query meets many keys at once.
    pub(super) keys: Tensor,
    /// By block, head, token and column; the columns are padded to whole vectors.
    pub(super) values: Tensor,
}

/// How one block of one layer lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockShape {
    pub(super) tokens: usize,
    pub(super) kv_heads: usize,
    /// Columns of a head.
    pub(super) width: usize,
}

impl BlockShape {
    /// Columns of a head's values, padded.
    pub(super) fn padded(&self) -> usize {
        self.width.next_multiple_of(COLUMNS)
    }

    /// Numbers that the keys of a head take.
    pub(super) fn head_keys(&self) -> usize {
        self.width * self.tokens
    }

    /// Numbers that the values of a head take.
    pub(super) fn head_values(&self) -> usize {
        self.padded() * self.tokens
    }

    fn keys(&self) -> usize {
        self.kv_heads * self.head_keys()
    }

    fn values(&self) -> usize {
        self.kv_heads * self.head_values()
    }
}

impl KvPool {
    /// A pool of so many blocks of `block_tokens` tokens, which are rounded up to a multiple of
    /// 16.
    pub(super) fn new(
        config: &Config,
        blocks: usize,
        block_tokens: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, NnError> {
        let shape = BlockShape {
            tokens: block_tokens.max(1).next_multiple_of(COLUMNS),
            kv_heads: config.kv_heads,
            width: config.head_width,
        };
        let layers = (0..config.layers)
            .map(|_| {
                Ok(KvLayer {
                    keys: Tensor::zeros(blocks * shape.keys(), dtype, device)?,
                    values: Tensor::zeros(blocks * shape.values(), dtype, device)?,
                })
            })
            .collect::<Result<_, NnError>>()?;
        Ok(Self {
            layers,
            shape,
            blocks,
        })
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Tokens of a block.
    pub fn block_tokens(&self) -> usize {
        self.shape.tokens
    }

    /// Bytes that a block takes when it is written, in all layers.
    pub fn block_bytes(&self) -> usize {
        let per_layer = self.shape.keys() + self.shape.values();
        let number = self
            .layers
            .first()
            .map_or(4, |l| l.keys.dtype().size_in_bytes());
        self.layers.len() * per_layer * number
    }

    /// Copies the keys and values of a block into another one, so that a sequence which shared
    /// it can go on by itself.
    ///
    /// # Errors
    /// [`NnError::OutsidePool`].
    pub fn copy_block(&mut self, from: u32, to: u32) -> Result<(), NnError> {
        for block in [from, to] {
            self.check(block)?;
        }
        let shape = self.shape;
        #[cfg(feature = "cuda")]
        if self
            .layers
            .first()
            .is_some_and(|l| l.keys.device().is_cuda())
        {
            for layer in &self.layers {
                trunkline_kernels::cuda::copy_block(&layer.keys, shape.keys(), from, to)?;
                trunkline_kernels::cuda::copy_block(&layer.values, shape.values(), from, to)?;
            }
            return Ok(());
        }
        let (from, to) = (from as usize, to as usize);
        for layer in &self.layers {
            let numbers = shape.keys();
            layer.keys.inplace_op1(&CopyWithin { numbers, from, to })?;
            let numbers = shape.values();
            layer
                .values
                .inplace_op1(&CopyWithin { numbers, from, to })?;
        }
        Ok(())
    }

    /// Refuses a number that is no block.
    pub(super) fn check(&self, block: u32) -> Result<(), NnError> {
        if (block as usize) < self.blocks {
            return Ok(());
        }
        Err(NnError::OutsidePool {
            block,
            blocks: self.blocks,
        })
    }

    pub(super) fn shape(&self) -> BlockShape {
        self.shape
    }

    pub(super) fn layer(&self, layer: usize) -> &KvLayer {
        &self.layers[layer]
    }
}

struct CopyWithin {
    numbers: usize,
    from: usize,
    to: usize,
}

impl InplaceOp1 for CopyWithin {
    fn name(&self) -> &'static str {
        "copy-block"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let CpuStorage::F32(pool) = storage else {
            candle_core::bail!("the pool is not of f32");
        };
        let from = layout.start_offset() + self.from * self.numbers;
        let to = layout.start_offset() + self.to * self.numbers;
        pool.copy_within(from..from + self.numbers, to);
        Ok(())
    }
}
