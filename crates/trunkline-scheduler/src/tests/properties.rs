use proptest::prelude::*;

use super::driver::{Driver, Op, op};
use super::ms;
use crate::*;

/// A pool that two or three rows fill.
fn tight() -> TokenSettings {
    TokenSettings {
        block_tokens: 4,
        blocks: 26,
        max_pinned_blocks: 6,
        max_row_tokens: 80,
        max_rows: 8,
        prefill_tokens: 16,
        min_prefill_tokens: 4,
        max_decode_tokens: 6,
        max_live_rows: 12,
        max_waiting_rows: 6,
        max_waiting_tokens: 150,
        patience: PerClass::new([ms(300); 4]),
        fair_lead_tokens: 20,
        ..TokenSettings::default()
    }
}

fn drive(settings: TokenSettings, ops: &[Op]) -> Driver {
    let mut driver = Driver::new(settings);
    for op in ops {
        driver.apply(op);
    }
    driver
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// The driver checks each row's logits and the scheduler's books after each operation.
    #[test]
    fn every_row_sees_its_own_tokens_and_no_block_leaks(
        ops in prop::collection::vec(op(), 1..250),
        blocks in 26..60_u32,
    ) {
        let mut driver = drive(TokenSettings { blocks, ..tight() }, &ops);
        driver.settle();
        driver.check_served();
        for row in driver.rows.keys() {
            driver.scheduler.finish(*row).unwrap();
        }
        driver.scheduler.check();
        let metrics = driver.scheduler.metrics();
        prop_assert_eq!(metrics.blocks_used, 0);
        prop_assert_eq!(metrics.blocks_cached + metrics.blocks_free, blocks as usize);
        prop_assert!(metrics.blocks_pinned <= tight().max_pinned_blocks);
    }

    #[test]
    fn the_same_calls_give_the_same_plans(ops in prop::collection::vec(op(), 1..150)) {
        let (one, two) = (drive(tight(), &ops), drive(tight(), &ops));
        prop_assert_eq!(one.trace, two.trace);
        prop_assert_eq!(one.scheduler.metrics(), two.scheduler.metrics());
    }
}
