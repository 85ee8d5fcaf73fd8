//! The few vector instructions that the product is made of, for each width there is.

use super::TILE;

/// Some of the rows of a tile, side by side.
pub(super) trait Lanes: Copy {
    /// Rows that fit.
    const ROWS: usize;
    /// Two codes of each row.
    type Codes: Copy;
    /// A whole number for each row.
    type Sums: Copy;
    /// A float for each row.
    type Floats: Copy;

    /// Reads two bytes for each row.
    fn codes(self, bytes: &[u8]) -> Self::Codes;
    /// The lower four bits of each byte.
    fn low(self, codes: Self::Codes) -> Self::Codes;
    /// The upper four bits of each byte.
    fn high(self, codes: Self::Codes) -> Self::Codes;
    /// No sum yet.
    fn no_sums(self) -> Self::Sums;
    /// Adds two products to each row's sum; `pair` are two activations of sixteen bits.
    fn add_products(self, sums: Self::Sums, codes: Self::Codes, pair: i32) -> Self::Sums;
    /// Reads a float for each row.
    fn floats(self, floats: &[f32]) -> Self::Floats;
    /// Zero for each row.
    fn zero(self) -> Self::Floats;
    /// `found + sums * scales * by + offsets * sum`.
    fn add_block(
        self,
        found: Self::Floats,
        sums: Self::Sums,
        scales: Self::Floats,
        offsets: Self::Floats,
        by: [f32; 2],
    ) -> Self::Floats;
    /// Writes a float for each row.
    fn write(self, found: Self::Floats, to: &mut [f32]);
}

/// An array of the beginning of a slice; the lengths are those of the tile.
#[inline(always)]
pub(super) fn array<T: Copy + Default, const N: usize>(slice: &[T]) -> [T; N] {
    let mut array = [T::default(); N];
    array.copy_from_slice(&slice[..N]);
    array
}

/// Any other processor: the compiler makes of it what it can.
#[derive(Clone, Copy)]
pub(super) struct Plain;

impl Lanes for Plain {
    const ROWS: usize = TILE;
    type Codes = [i16; 2 * TILE];
    type Sums = [i32; TILE];
    type Floats = [f32; TILE];

    #[inline(always)]
    fn codes(self, bytes: &[u8]) -> Self::Codes {
        array::<u8, { 2 * TILE }>(bytes).map(i16::from)
    }
    #[inline(always)]
    fn low(self, codes: Self::Codes) -> Self::Codes {
        codes.map(|code| code & 15)
    }
    #[inline(always)]
    fn high(self, codes: Self::Codes) -> Self::Codes {
        codes.map(|code| code >> 4)
    }
    #[inline(always)]
    fn no_sums(self) -> Self::Sums {
        [0; TILE]
    }
    #[inline(always)]
    fn add_products(self, mut sums: Self::Sums, codes: Self::Codes, pair: i32) -> Self::Sums {
        let (first, second) = (i32::from(pair as i16), pair >> 16);
        for (sum, codes) in sums.iter_mut().zip(codes.chunks_exact(2)) {
            let products = i32::from(codes[0]).wrapping_mul(first);
            let products = products.wrapping_add(i32::from(codes[1]).wrapping_mul(second));
            *sum = sum.wrapping_add(products);
        }
        sums
    }
    #[inline(always)]
    fn floats(self, floats: &[f32]) -> Self::Floats {
        array(floats)
    }
    #[inline(always)]
    fn zero(self) -> Self::Floats {
        [0.0; TILE]
    }
    #[inline(always)]
    fn add_block(
        self,
        mut found: Self::Floats,
        sums: Self::Sums,
        scales: Self::Floats,
        offsets: Self::Floats,
        [scale, sum]: [f32; 2],
    ) -> Self::Floats {
        for row in 0..TILE {
            found[row] += sums[row] as f32 * (scales[row] * scale);
            found[row] += offsets[row] * sum;
        }
        found
    }
    #[inline(always)]
    fn write(self, found: Self::Floats, to: &mut [f32]) {
        to[..TILE].copy_from_slice(&found);
    }
}
