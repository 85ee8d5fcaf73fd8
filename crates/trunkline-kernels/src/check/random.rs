//! Random inputs: SplitMix64 (Steele, Lea and Flood 2014), so that a seed gives the same
//! everywhere.

use crate::Number;

pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// At least 0 and below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// So many numbers of this kind between -1 and 1.
    pub(super) fn numbers(&mut self, count: usize, number: Number) -> Vec<f64> {
        let mut one = || (self.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0;
        (0..count).map(|_| number.round(one())).collect()
    }

    /// The numbers from 0 to `count`, in any order.
    pub(super) fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for at in (1..count).rev() {
            order.swap(at, self.below(at + 1));
        }
        order
    }
}
