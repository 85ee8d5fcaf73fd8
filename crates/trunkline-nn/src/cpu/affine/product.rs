//! The loops of the product: tiles of weights, which stay near, by a few rows of activations.

use std::ops::Range;

use pulp::NullaryFnOnce;
#[cfg(target_arch = "x86_64")]
use pulp::x86::{V3, V4};

use super::activations::Activations;
use super::lanes::{Lanes, Plain};
use super::{AffineMatrix, BLOCK, Bits, TILE};

/// Rows of activations that meet a tile together.
const TOGETHER: usize = 8;

/// Multiplies some tiles of a matrix by some rows. `out` has a line for each row, with the
/// outputs of these tiles.
pub(super) fn product(
    matrix: &AffineMatrix,
    tiles: Range<usize>,
    x: &Activations,
    rows: Range<usize>,
    out: &mut [f32],
) {
    #[cfg(target_arch = "x86_64")]
    if let Some(lanes) = V4::try_new() {
        return lanes.vectorize(Job(lanes, matrix, tiles, x, rows, out));
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(lanes) = V3::try_new() {
        return lanes.vectorize(Job(lanes, matrix, tiles, x, rows, out));
    }
    Job(Plain, matrix, tiles, x, rows, out).call();
}

/// The arguments of [`product`], for the lanes that there are.
pub(super) struct Job<'a, L>(
    pub(super) L,
    pub(super) &'a AffineMatrix,
    pub(super) Range<usize>,
    pub(super) &'a Activations,
    pub(super) Range<usize>,
    pub(super) &'a mut [f32],
);

impl<L: Lanes> NullaryFnOnce for Job<'_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self(lanes, matrix, tiles, x, rows, out) = self;
        let columns = matrix.outputs.min(tiles.end * TILE) - tiles.start * TILE;
        for tile in tiles.clone() {
            let column = (tile - tiles.start) * TILE;
            let width = TILE.min(columns - column);
            let mut first = rows.start;
            while first < rows.end {
                let count = (rows.end - first).min(TOGETHER);
                let mut found = [[0f32; TILE]; TOGETHER];
                match count {
                    8.. => some_rows::<L, 8>(lanes, matrix, tile, x, first, &mut found),
                    4.. => some_rows::<L, 4>(lanes, matrix, tile, x, first, &mut found),
                    2.. => some_rows::<L, 2>(lanes, matrix, tile, x, first, &mut found),
                    _ => some_rows::<L, 1>(lanes, matrix, tile, x, first, &mut found),
                }
                let done = 1 << count.ilog2();
                for (row, line) in found.iter().take(done).enumerate() {
                    let start = (first - rows.start + row) * columns + column;
                    out[start..start + width].copy_from_slice(&line[..width]);
                }
                first += done;
            }
        }
    }
}

/// The outputs of one tile for `R` rows.
#[inline(always)]
fn some_rows<L: Lanes, const R: usize>(
    lanes: L,
    matrix: &AffineMatrix,
    tile: usize,
    x: &Activations,
    first: usize,
    found: &mut [[f32; TILE]],
) {
    let across = matrix.across();
    let bytes = matrix.bits.tile_bytes();
    let codes = &matrix.codes[tile * across * bytes..(tile + 1) * across * bytes];
    let scales = &matrix.scales[tile * across * 2 * TILE..(tile + 1) * across * 2 * TILE];
    let row = |r: usize| (first + r) * x.across..(first + r + 1) * x.across;
    let pairs: [&[[i32; BLOCK / 2]]; R] = std::array::from_fn(|r| &x.pairs[row(r)]);
    let by: [&[[f32; 2]]; R] = std::array::from_fn(|r| &x.scales[row(r)]);
    for start in (0..TILE).step_by(L::ROWS) {
        let mut sums = [lanes.zero(); R];
        let blocks = codes.chunks_exact(bytes).zip(scales.chunks_exact(2 * TILE));
        for (at, (codes, scales)) in blocks.enumerate() {
            let x: [&[i32; BLOCK / 2]; R] = std::array::from_fn(|r| &pairs[r][at]);
            let dots = match matrix.bits {
                Bits::Eight => eight_bits::<L, R>(lanes, &codes[2 * start..], x),
                Bits::Four => four_bits::<L, R>(lanes, &codes[2 * start..], x),
            };
            let scale = lanes.floats(&scales[start..]);
            let offset = lanes.floats(&scales[TILE + start..]);
            for r in 0..R {
                sums[r] = lanes.add_block(sums[r], dots[r], scale, offset, by[r][at]);
            }
        }
        for r in 0..R {
            lanes.write(sums[r], &mut found[r][start..]);
        }
    }
}

#[inline(always)]
fn eight_bits<L: Lanes, const R: usize>(
    lanes: L,
    codes: &[u8],
    x: [&[i32; BLOCK / 2]; R],
) -> [L::Sums; R] {
    let mut dots = [lanes.no_sums(); R];
    for pair in 0..BLOCK / 2 {
        let weights = lanes.codes(&codes[pair * 2 * TILE..]);
        for r in 0..R {
            dots[r] = lanes.add_products(dots[r], weights, x[r][pair]);
        }
    }
    dots
}

#[inline(always)]
fn four_bits<L: Lanes, const R: usize>(
    lanes: L,
    codes: &[u8],
    x: [&[i32; BLOCK / 2]; R],
) -> [L::Sums; R] {
    let mut dots = [lanes.no_sums(); R];
    for pair in 0..BLOCK / 4 {
        let both = lanes.codes(&codes[pair * 2 * TILE..]);
        let (low, high) = (lanes.low(both), lanes.high(both));
        for r in 0..R {
            dots[r] = lanes.add_products(dots[r], low, x[r][pair]);
            dots[r] = lanes.add_products(dots[r], high, x[r][pair + BLOCK / 4]);
        }
    }
    dots
}
