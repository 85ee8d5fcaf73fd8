//! Products with weights of four or eight bits and activations of sixteen.
//!
//! A weight is `scale * code + offset` with a scale and an offset for each block of 32 weights
//! of a row. Every format of GGUF in blocks of 32 up to eight bits is exactly that, so nothing
//! is lost from such a file. Activations are rounded to sixteen bits of their block's largest,
//! which is as good as f32 next to what the weights lost. Sums of a block are whole numbers.
//!
//! An output is computed in the same order whatever the other rows are, bit for bit.

mod activations;
mod lanes;
mod product;
mod read;
#[cfg(target_arch = "x86_64")]
mod x86;

use rayon::prelude::*;

use self::activations::Activations;
use self::product::product;
pub(crate) use self::read::Blocks;
use super::parts::{Size, share};

/// Weights that share a scale.
const BLOCK: usize = 32;
/// Outputs that are computed together.
const TILE: usize = 16;

/// A matrix of codes, tile by tile.
pub(crate) struct AffineMatrix {
    inputs: usize,
    outputs: usize,
    bits: Bits,
    /// For each tile and block: codes of two weights of all sixteen rows, then the next two.
    codes: Vec<u8>,
    /// For each tile and block: sixteen scales, sixteen offsets.
    scales: Vec<f32>,
}

/// How many bits a code has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bits {
    /// Two codes in a byte: the first eight pairs of weights of a block, and the last eight.
    Four,
    /// A byte a code.
    Eight,
}

impl Bits {
    fn tile_bytes(self) -> usize {
        match self {
            Self::Four => TILE * BLOCK / 2,
            Self::Eight => TILE * BLOCK,
        }
    }
}

impl AffineMatrix {
    /// Rows of `inputs` weights, given by their blocks, row after row.
    pub(crate) fn new(inputs: usize, blocks: &Blocks) -> Self {
        let across = inputs.div_ceil(BLOCK);
        let outputs = blocks.len() / across.max(1);
        let tiles = outputs.div_ceil(TILE);
        let mut matrix = Self {
            inputs,
            outputs,
            bits: blocks.bits(),
            codes: vec![0; tiles * across * blocks.bits().tile_bytes()],
            scales: vec![0.0; tiles * across * 2 * TILE],
        };
        let bytes = matrix.bits.tile_bytes();
        let tiles = matrix.codes.par_chunks_mut(across * bytes);
        tiles
            .zip(matrix.scales.par_chunks_mut(across * 2 * TILE))
            .enumerate()
            .for_each(|(tile, (codes, scales))| {
                for row in 0..TILE.min(outputs - tile * TILE) {
                    for at in 0..across {
                        let (block, scale, offset) = blocks.get((tile * TILE + row) * across + at);
                        scales[at * 2 * TILE + row] = scale;
                        scales[at * 2 * TILE + TILE + row] = offset;
                        let codes = &mut codes[at * bytes..(at + 1) * bytes];
                        place(matrix.bits, row, &block, codes);
                    }
                }
            });
        matrix
    }

    /// Length of a row of input.
    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    /// Length of a row of output.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    fn across(&self) -> usize {
        self.inputs.div_ceil(BLOCK)
    }

    /// Multiplies rows of activations, one after another, on the threads of the current pool.
    pub(crate) fn forward(&self, x: &[f32]) -> Vec<f32> {
        let rows = x.len() / self.inputs.max(1);
        let x = Activations::new(x, self.inputs);
        let size = Size {
            rows,
            inputs: self.inputs,
            outputs: self.outputs,
            tile: TILE,
            rows_near: usize::MAX,
        };
        share(size, |tiles, rows, out| product(self, tiles, &x, rows, out))
    }
}

/// Puts the codes of a block where a tile has them for one of its rows.
fn place(bits: Bits, row: usize, block: &[u8; BLOCK], codes: &mut [u8]) {
    for (at, code) in block.iter().enumerate() {
        let (pair, half) = (at / 2, at % 2);
        match bits {
            Bits::Eight => codes[pair * 2 * TILE + 2 * row + half] = *code,
            Bits::Four => {
                let byte = &mut codes[pair % 8 * 2 * TILE + 2 * row + half];
                *byte |= if pair < 8 { *code } else { *code << 4 };
            }
        }
    }
}

#[cfg(test)]
mod tests;
