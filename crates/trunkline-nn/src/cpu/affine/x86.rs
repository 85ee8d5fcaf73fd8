//! The vectors of x86-64: sixteen rows with AVX-512, eight with AVX2.

use pulp::x86::{V3, V4};
use pulp::{cast, f32x8, f32x16, i16x16, i16x32, i32x8, i32x16};

use super::lanes::{Lanes, array};

impl Lanes for V4 {
    const ROWS: usize = 16;
    type Codes = i16x32;
    type Sums = i32x16;
    type Floats = f32x16;

    #[inline(always)]
    fn codes(self, bytes: &[u8]) -> i16x32 {
        self.convert_u8x32_to_i16x32(cast(array::<u8, 32>(bytes)))
    }
    #[inline(always)]
    fn low(self, codes: i16x32) -> i16x32 {
        cast(self.and_u32x16(cast(codes), self.splat_u32x16(0x000f_000f)))
    }
    #[inline(always)]
    fn high(self, codes: i16x32) -> i16x32 {
        self.low(cast(self.shr_const_u32x16::<4>(cast(codes))))
    }
    #[inline(always)]
    fn no_sums(self) -> i32x16 {
        self.splat_i32x16(0)
    }
    #[inline(always)]
    fn add_products(self, sums: i32x16, codes: i16x32, pair: i32) -> i32x16 {
        let pair = cast(self.splat_i32x16(pair));
        let products = self.multiply_wrapping_add_adjacent_i16x32(codes, pair);
        self.wrapping_add_i32x16(sums, products)
    }
    #[inline(always)]
    fn floats(self, floats: &[f32]) -> f32x16 {
        cast(array::<f32, 16>(floats))
    }
    #[inline(always)]
    fn zero(self) -> f32x16 {
        self.splat_f32x16(0.0)
    }
    #[inline(always)]
    fn add_block(
        self,
        found: f32x16,
        sums: i32x16,
        scales: f32x16,
        offsets: f32x16,
        [scale, sum]: [f32; 2],
    ) -> f32x16 {
        let scales = self.mul_f32x16(scales, self.splat_f32x16(scale));
        let found = self.mul_add_f32x16(self.convert_i32x16_to_f32x16(sums), scales, found);
        self.mul_add_f32x16(offsets, self.splat_f32x16(sum), found)
    }
    #[inline(always)]
    fn write(self, found: f32x16, to: &mut [f32]) {
        to[..16].copy_from_slice(&cast::<f32x16, [f32; 16]>(found));
    }
}

impl Lanes for V3 {
    const ROWS: usize = 8;
    type Codes = i16x16;
    type Sums = i32x8;
    type Floats = f32x8;

    #[inline(always)]
    fn codes(self, bytes: &[u8]) -> i16x16 {
        self.convert_u8x16_to_i16x16(cast(array::<u8, 16>(bytes)))
    }
    #[inline(always)]
    fn low(self, codes: i16x16) -> i16x16 {
        cast(self.and_u32x8(cast(codes), self.splat_u32x8(0x000f_000f)))
    }
    #[inline(always)]
    fn high(self, codes: i16x16) -> i16x16 {
        self.low(cast(self.shr_const_u32x8::<4>(cast(codes))))
    }
    #[inline(always)]
    fn no_sums(self) -> i32x8 {
        self.splat_i32x8(0)
    }
    #[inline(always)]
    fn add_products(self, sums: i32x8, codes: i16x16, pair: i32) -> i32x8 {
        let pair = cast(self.splat_i32x8(pair));
        let products = self.multiply_wrapping_add_adjacent_i16x16(codes, pair);
        self.wrapping_add_i32x8(sums, products)
    }
    #[inline(always)]
    fn floats(self, floats: &[f32]) -> f32x8 {
        cast(array::<f32, 8>(floats))
    }
    #[inline(always)]
    fn zero(self) -> f32x8 {
        self.splat_f32x8(0.0)
    }
    #[inline(always)]
    fn add_block(
        self,
        found: f32x8,
        sums: i32x8,
        scales: f32x8,
        offsets: f32x8,
        [scale, sum]: [f32; 2],
    ) -> f32x8 {
        let scales = self.mul_f32x8(scales, self.splat_f32x8(scale));
        let found = self.mul_add_f32x8(self.convert_i32x8_to_f32x8(sums), scales, found);
        self.mul_add_f32x8(offsets, self.splat_f32x8(sum), found)
    }
    #[inline(always)]
    fn write(self, found: f32x8, to: &mut [f32]) {
        to[..8].copy_from_slice(&cast::<f32x8, [f32; 8]>(found));
    }
}
