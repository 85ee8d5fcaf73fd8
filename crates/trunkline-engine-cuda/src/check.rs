//! Every kernel on the card against its reference.

use anyhow::Result;
use candle_core::Device;
use trunkline_kernels::Number;
use trunkline_kernels::check::{Extent, checks};
use trunkline_kernels::cuda::Gpu;

/// Prints each case; whether all passed.
pub(crate) fn run(device: &Device) -> Result<bool> {
    let mut gpu = Gpu::new(device)?;
    let (mut cases, mut wrong) = (0, 0);
    for (_, check) in checks::<Gpu>() {
        for number in [Number::F32, Number::BF16] {
            for extent in [Extent::Small, Extent::Full] {
                for outcome in check(&mut gpu, number, extent)? {
                    println!("{outcome}");
                    cases += 1;
                    wrong += usize::from(!outcome.passed());
                }
            }
        }
    }
    println!("{cases} cases, {wrong} wrong");
    Ok(wrong == 0)
}
