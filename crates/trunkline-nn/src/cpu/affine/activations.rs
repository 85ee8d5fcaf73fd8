//! Rows of activations, rounded to sixteen bits in blocks.

use super::BLOCK;

/// Sixteen bits hold so much.
const LARGEST: f32 = 32_767.0;

/// Rows of activations as the product wants them.
pub(super) struct Activations {
    /// Blocks of a row.
    pub(super) across: usize,
    /// For each row and block, sixteen pairs of numbers; the first of a pair in the lower half.
    pub(super) pairs: Vec<[i32; BLOCK / 2]>,
    /// For each row and block, what its numbers are to be multiplied by, and the sum of all
    /// numbers so multiplied.
    pub(super) scales: Vec<[f32; 2]>,
}

impl Activations {
    /// `x` has rows of `inputs` numbers.
    pub(super) fn new(x: &[f32], inputs: usize) -> Self {
        let across = inputs.div_ceil(BLOCK);
        let rows = x.len() / inputs.max(1);
        let mut pairs = Vec::with_capacity(rows * across);
        let mut scales = Vec::with_capacity(rows * across);
        pulp::Arch::new().dispatch(|| {
            for row in x.chunks_exact(inputs) {
                for numbers in row.chunks(BLOCK) {
                    let mut block = [0f32; BLOCK];
                    block[..numbers.len()].copy_from_slice(numbers);
                    let (rounded, scale) = round(&block);
                    pairs.push(rounded);
                    scales.push(scale);
                }
            }
        });
        Self {
            across,
            pairs,
            scales,
        }
    }
}

#[inline(always)]
fn round(block: &[f32; BLOCK]) -> ([i32; BLOCK / 2], [f32; 2]) {
    /// Added, it leaves a whole number in the lowest bits of a float.
    const ROUND: f32 = 12_582_912.0;
    let top = block.iter().fold(0f32, |top, x| top.max(x.abs()));
    let up = if top > 0.0 { LARGEST / top } else { 0.0 };
    let mut numbers = [0i32; BLOCK];
    for (number, x) in numbers.iter_mut().zip(block) {
        *number = ((x * up + ROUND).to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    }
    let sum = numbers.iter().fold(0i32, |sum, n| sum.wrapping_add(*n));
    let mut pairs = [0i32; BLOCK / 2];
    for (pair, two) in pairs.iter_mut().zip(numbers.chunks_exact(2)) {
        *pair = (two[0] & 0xffff) | (two[1] << 16);
    }
    let scale = top / LARGEST;
    (pairs, [scale, sum as f32 * scale])
}
