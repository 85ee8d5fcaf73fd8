//! Where the rows of a decoder keep what they said and what they heard: for each block, keys
//! and values in pools of fixed slots, one slot a row.
//!
//! A slot is reused without being cleared: lengths say how much of it counts. Which slot is
//! whose is decided elsewhere.

use candle_core::{DType, Device, Tensor};

use crate::NnError;

/// Pools of one decoder.
pub(super) struct Slots {
    pub(super) blocks: Vec<BlockSlots>,
    lengths: Vec<Lengths>,
}

/// One block's pools.
pub(super) struct BlockSlots {
    /// Of the text so far.
    pub(super) said: Pool,
    /// Of the audio.
    pub(super) heard: Pool,
}

/// Keys and values, `(slots, positions, d_model)` each.
pub(super) struct Pool {
    pub(super) keys: Tensor,
    pub(super) values: Tensor,
}

/// How much of a slot counts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lengths {
    pub(super) said: usize,
    pub(super) heard: usize,
}

impl Slots {
    pub(super) fn new(
        blocks: usize,
        slots: usize,
        said: usize,
        heard: usize,
        width: usize,
        device: &Device,
    ) -> Result<Self, NnError> {
        let blocks = (0..blocks)
            .map(|_| {
                Ok(BlockSlots {
                    said: Pool::new(slots, said, width, device)?,
                    heard: Pool::new(slots, heard, width, device)?,
                })
            })
            .collect::<Result<_, NnError>>()?;
        Ok(Self {
            blocks,
            lengths: vec![Lengths::default(); slots],
        })
    }

    pub(super) fn lengths(&self, slot: usize) -> Lengths {
        self.lengths.get(slot).copied().unwrap_or_default()
    }

    /// A new window of audio is in the slot; nothing was said yet.
    pub(super) fn begin(&mut self, slot: usize, heard: usize) {
        if let Some(lengths) = self.lengths.get_mut(slot) {
            *lengths = Lengths { said: 0, heard };
        }
    }

    /// Takes back what was said after the first `said` positions.
    pub(super) fn rewind(&mut self, slot: usize, said: usize) {
        if let Some(lengths) = self.lengths.get_mut(slot) {
            lengths.said = said.min(lengths.said);
        }
    }

    pub(super) fn advance(&mut self, slot: usize, tokens: usize) {
        if let Some(lengths) = self.lengths.get_mut(slot) {
            lengths.said += tokens;
        }
    }
}

impl Pool {
    /// The memory is taken from the system when it is first written to.
    fn new(slots: usize, positions: usize, width: usize, device: &Device) -> Result<Self, NnError> {
        let room = (slots, positions, width);
        Ok(Self {
            keys: Tensor::zeros(room, DType::F32, device)?,
            values: Tensor::zeros(room, DType::F32, device)?,
        })
    }

    /// Writes rows `(tokens, d_model)` to a slot from a position on.
    pub(super) fn write(
        &self,
        slot: usize,
        position: usize,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<(), NnError> {
        for (pool, new) in [(&self.keys, keys), (&self.values, values)] {
            let new = new.contiguous()?.unsqueeze(0)?;
            pool.narrow(0, slot, 1)?.slice_set(&new, 1, position)?;
        }
        Ok(())
    }
}
