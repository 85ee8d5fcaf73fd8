//! The keys and values of one sequence, kept so that no token is computed twice.

use candle_core::{DType, Device, Tensor};

use super::config::Config;
use crate::NnError;

/// Room grows by so many tokens at a time.
const GROWTH: usize = 256;

/// Keys and values of one sequence, layer by layer.
pub(super) struct Cache {
    layers: Vec<Layer>,
    /// Tokens that are in it.
    length: usize,
    /// Tokens that fit before it has to grow.
    room: usize,
}

/// `(kv_heads, room, head_width)` each.
struct Layer {
    keys: Tensor,
    values: Tensor,
}

impl Cache {
    pub(super) fn new(config: &Config, dtype: DType, device: &Device) -> Result<Self, NnError> {
        let shape = (config.kv_heads, GROWTH, config.head_width);
        let layers = (0..config.layers)
            .map(|_| {
                Ok(Layer {
                    keys: Tensor::zeros(shape, dtype, device)?,
                    values: Tensor::zeros(shape, dtype, device)?,
                })
            })
            .collect::<Result<_, NnError>>()?;
        Ok(Self {
            layers,
            length: 0,
            room: GROWTH,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Forgets what comes after the first `length` tokens. Nothing is moved.
    pub(super) fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    /// A copy of the first `length` tokens.
    pub(super) fn fork(&self, length: usize) -> Result<Self, NnError> {
        let mut layers = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            layers.push(Layer {
                keys: layer.keys.copy()?,
                values: layer.values.copy()?,
            });
        }
        Ok(Self {
            layers,
            length: self.length.min(length),
            room: self.room,
        })
    }

    /// Makes room for `more` tokens.
    pub(super) fn reserve(&mut self, more: usize) -> Result<(), NnError> {
        let needed = self.length + more;
        if needed <= self.room {
            return Ok(());
        }
        let room = needed.next_multiple_of(GROWTH);
        for layer in &mut self.layers {
            for tensor in [&mut layer.keys, &mut layer.values] {
                let (heads, _, width) = tensor.dims3()?;
                let wider = Tensor::zeros((heads, room, width), tensor.dtype(), tensor.device())?;
                wider.slice_set(tensor, 1, 0)?;
                *tensor = wider;
            }
        }
        self.room = room;
        Ok(())
    }

    /// Writes a layer's keys and values, `(kv_heads, new, head_width)`, after the known ones
    /// and gives all of them. Room must have been reserved; [`Cache::advance`] makes them known.
    pub(super) fn write(
        &self,
        layer: usize,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<(Tensor, Tensor), NnError> {
        let new = keys.dim(1)?;
        let layer = &self.layers[layer];
        layer.keys.slice_set(keys, 1, self.length)?;
        layer.values.slice_set(values, 1, self.length)?;
        let length = self.length + new;
        Ok((
            layer.keys.narrow(1, 0, length)?,
            layer.values.narrow(1, 0, length)?,
        ))
    }

    /// Makes `new` written tokens known.
    pub(super) fn advance(&mut self, new: usize) {
        self.length += new;
    }
}
