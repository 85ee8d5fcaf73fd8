//! Matrices of files as blocks of codes.
//!
//! Q4_0, Q4_1, Q4_K and Q8_0 are taken over as they are. Everything else is made of floats:
//! eight bits between the least and the greatest weight of each block.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};

use super::{BLOCK, Bits};

/// Blocks of 32 weights, row after row; the last of a row may be padded.
pub(crate) struct Blocks {
    bits: Bits,
    codes: Vec<[u8; BLOCK]>,
    /// Scale and offset of each.
    scales: Vec<[f32; 2]>,
}

impl Blocks {
    /// Of a matrix in the format of a file.
    pub(crate) fn of_file(matrix: &QTensor) -> candle_core::Result<Self> {
        let bytes = matrix.data()?;
        let inputs = *matrix.shape().dims().last().unwrap_or(&0);
        let whole_blocks = inputs.is_multiple_of(BLOCK);
        let (bits, read): (Bits, fn(&[u8], &mut Self)) = match matrix.dtype() {
            GgmlDType::Q4_0 if whole_blocks => (Bits::Four, q4_0),
            GgmlDType::Q4_1 if whole_blocks => (Bits::Four, q4_1),
            GgmlDType::Q4K => (Bits::Four, q4_k),
            GgmlDType::Q8_0 if whole_blocks => (Bits::Eight, q8_0),
            _ => return Self::of_floats(&matrix.dequantize(&Device::Cpu)?),
        };
        let mut blocks = Self::empty(bits);
        for block in bytes.chunks_exact(matrix.dtype().type_size()) {
            read(block, &mut blocks);
        }
        Ok(blocks)
    }

    /// Of a matrix of floats, `(outputs, inputs)`.
    pub(crate) fn of_floats(matrix: &Tensor) -> candle_core::Result<Self> {
        let (_, inputs) = matrix.dims2()?;
        let mut blocks = Self::empty(Bits::Eight);
        for row in matrix.flatten_all()?.to_vec1::<f32>()?.chunks_exact(inputs) {
            for weights in row.chunks(BLOCK) {
                blocks.round(weights);
            }
        }
        Ok(blocks)
    }

    /// These, and the rows of another matrix after them.
    pub(crate) fn followed_by(mut self, more: Self) -> Self {
        self.bits = self.bits.max(more.bits);
        self.codes.extend(more.codes);
        self.scales.extend(more.scales);
        self
    }

    fn empty(bits: Bits) -> Self {
        Self {
            bits,
            codes: Vec::new(),
            scales: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.codes.len()
    }

    pub(super) fn bits(&self) -> Bits {
        self.bits
    }

    /// Codes, scale and offset of a block.
    pub(super) fn get(&self, at: usize) -> ([u8; BLOCK], f32, f32) {
        let [scale, offset] = self.scales[at];
        (self.codes[at], scale, offset)
    }

    fn push(&mut self, codes: [u8; BLOCK], scale: f32, offset: f32) {
        self.codes.push(codes);
        self.scales.push([scale, offset]);
    }

    fn round(&mut self, weights: &[f32]) {
        let least = weights.iter().copied().fold(f32::INFINITY, f32::min);
        let greatest = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let scale = (greatest - least) / 255.0;
        let up = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let mut codes = [0; BLOCK];
        for (code, weight) in codes.iter_mut().zip(weights) {
            *code = ((weight - least) * up).round().clamp(0.0, 255.0) as u8;
        }
        self.push(codes, scale, least);
    }
}

fn half(bytes: &[u8]) -> f32 {
    half::f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

/// The first half of a block's weights are lower halves of its bytes, the second are upper ones.
fn nibbles(bytes: &[u8]) -> [u8; BLOCK] {
    let mut codes = [0; BLOCK];
    let (first, second) = codes.split_at_mut(BLOCK / 2);
    for ((first, second), byte) in first.iter_mut().zip(second).zip(bytes) {
        (*first, *second) = (byte & 15, byte >> 4);
    }
    codes
}

fn q4_0(block: &[u8], blocks: &mut Blocks) {
    let scale = half(block);
    blocks.push(nibbles(&block[2..]), scale, -8.0 * scale);
}

fn q4_1(block: &[u8], blocks: &mut Blocks) {
    blocks.push(nibbles(&block[4..]), half(block), half(&block[2..]));
}

fn q8_0(block: &[u8], blocks: &mut Blocks) {
    let scale = half(block);
    let mut codes = [0; BLOCK];
    for (code, byte) in codes.iter_mut().zip(&block[2..]) {
        *code = byte.wrapping_add(128);
    }
    blocks.push(codes, scale, -128.0 * scale);
}

/// Eight blocks with scales and offsets of six bits each.
fn q4_k(block: &[u8], blocks: &mut Blocks) {
    let (scale, least) = (half(block), half(&block[2..]));
    let (sixes, codes) = block[4..].split_at(12);
    for at in 0..8 {
        let (by, from) = if at < 4 {
            (sixes[at] & 63, sixes[at + 4] & 63)
        } else {
            (
                (sixes[at + 4] & 15) | ((sixes[at - 4] >> 6) << 4),
                (sixes[at + 4] >> 4) | ((sixes[at] >> 6) << 4),
            )
        };
        // Two blocks share 32 bytes: lower halves, then upper halves.
        let shift = 4 * (at % 2);
        let mut own = [0; BLOCK];
        for (code, byte) in own.iter_mut().zip(&codes[at / 2 * BLOCK..]) {
            *code = (byte >> shift) & 15;
        }
        blocks.push(own, scale * f32::from(by), -least * f32::from(from));
    }
}
