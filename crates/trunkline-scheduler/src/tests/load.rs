//! More work than the device can do, for long: who gets what.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::{call, ms};
use crate::*;

const STEPS: usize = 1200;
const LONGEST_PROMPT: usize = 60;
const TENANTS: u32 = 3;

/// A pool that is never short, so that only the order decides.
fn settings() -> TokenSettings {
    TokenSettings {
        block_tokens: 4,
        blocks: 64 * 20,
        max_pinned_blocks: 0,
        max_row_tokens: 80,
        max_rows: 32,
        prefill_tokens: 32,
        min_prefill_tokens: 32,
        max_decode_tokens: 4,
        max_live_rows: 64,
        max_waiting_rows: 40,
        max_waiting_tokens: 400,
        patience: PerClass::new([ms(500); 4]),
        fair_lead_tokens: 100,
        ..TokenSettings::default()
    }
}

/// One request that comes before a step.
#[derive(Debug, Clone)]
struct Arrival {
    class: Class,
    tenant: u32,
    prompt: usize,
    due_ms: u64,
}

fn arrival() -> impl Strategy<Value = Arrival> {
    (0..8_usize, 0..TENANTS, 1..=LONGEST_PROMPT, 0..2_u64).prop_map(
        |(class, tenant, prompt, hurry)| Arrival {
            // Every other one is turn-critical.
            class: Class::ALL[class.saturating_sub(4)],
            tenant,
            prompt,
            // Overdue on arrival, or as good as never.
            due_ms: hurry * 3_600_000,
        },
    )
}

/// Submits what comes, step by step, and runs it; each row takes three tokens.
struct Load {
    scheduler: TokenScheduler,
    now: Duration,
    kinds: u32,
    /// When each row was submitted that has no token yet.
    first: BTreeMap<RowId, (Class, Duration)>,
    taken: BTreeMap<RowId, usize>,
    longest_wait: PerClass<Duration>,
}

impl Load {
    fn new() -> Self {
        Self {
            scheduler: TokenScheduler::new(settings()).unwrap(),
            now: Duration::ZERO,
            kinds: 0,
            first: BTreeMap::new(),
            taken: BTreeMap::new(),
            longest_wait: PerClass::default(),
        }
    }

    fn submit(&mut self, arrival: &Arrival) -> Option<RowId> {
        self.kinds += 1;
        let kind = self.kinds;
        let request = Request {
            origin: Origin {
                call: call(0),
                epoch: Epoch(0),
                tenant: TenantId(arrival.tenant),
            },
            class: arrival.class,
            due: Due::at(ms(arrival.due_ms)),
            prompt: (0..arrival.prompt as u32).map(|n| kind * 100 + n).collect(),
            logits: Logits::Last,
            max_new_tokens: 3,
            pinned_prefix: 0,
            cache: Some(Salt(0)),
        };
        let row = self.scheduler.submit(self.now, request).ok();
        if let Some(row) = row {
            self.first.insert(row, (arrival.class, self.now));
        }
        self.forget_shed();
        row
    }

    fn forget_shed(&mut self) {
        for shed in self.scheduler.take_shed() {
            let (class, since) = self.first.remove(&shed.row).unwrap();
            assert!(class.is_sheddable());
            self.waited(class, since);
        }
    }

    fn waited(&mut self, class: Class, since: Duration) {
        let wait = self.now - since;
        self.longest_wait[class] = self.longest_wait[class].max(wait);
    }

    /// 5 ms and 0.1 ms for each token. Returns the prefill of each row.
    fn step(&mut self) -> Vec<(RowId, usize)> {
        let plan = self.scheduler.plan(self.now).unwrap();
        self.forget_shed();
        let tokens = plan.tokens().len() as u64;
        self.now += Duration::from_micros(5000 + 100 * tokens);
        self.scheduler.complete(&plan, self.now).unwrap();
        let mut prefill = Vec::new();
        for step in plan.steps() {
            if self.first.contains_key(&step.row) {
                prefill.push((step.row, step.tokens.len()));
            }
            if step.logits == 0 {
                continue;
            }
            if let Some((class, since)) = self.first.remove(&step.row) {
                self.waited(class, since);
            }
            let taken = self.taken.entry(step.row).or_default();
            *taken += 1;
            if *taken == 3 {
                self.taken.remove(&step.row);
                self.scheduler.finish(step.row).unwrap();
            } else {
                self.scheduler.push(step.row, &[1], Logits::Last).unwrap();
            }
        }
        prefill
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 50, failure_persistence: None, ..ProptestConfig::default() })]

    /// The bound: the class's patience, then all tokens that can be ahead at its share of a step.
    #[test]
    fn nobody_starves_under_overload(
        arrivals in prop::collection::vec(prop::collection::vec(arrival(), 0..4), STEPS),
    ) {
        let mut load = Load::new();
        for arrivals in arrivals {
            for arrival in arrivals {
                load.submit(&arrival);
            }
            load.step();
        }
        let settings = settings();
        let ahead = settings.max_waiting_tokens
            + settings.max_live_rows as usize * LONGEST_PROMPT
            + TENANTS as usize * (settings.fair_lead_tokens as usize + settings.prefill_tokens);
        let longest_step = ms(5 + 10);
        // 20, 10 and 5 percent of 32 tokens are 6, 3 and 1.
        for (class, share) in Class::ALL.into_iter().zip([32 - 10, 6, 3, 1]) {
            let bound = ms(500) + longest_step * ahead.div_ceil(share) as u32;
            prop_assert!(load.longest_wait[class] <= bound, "{class:?}: {:?}", load.longest_wait);
            for (other, since) in load.first.values() {
                prop_assert!(*other != class || load.now - *since <= bound);
            }
        }
        // What is urgent waits far less than that, or the test would see nothing.
        prop_assert!(load.scheduler.metrics().refused[Class::TurnCritical] > 0);
        prop_assert!(load.scheduler.metrics().shed[Class::Background] > 0);
    }

    /// The bound: the lead and one step's budget.
    #[test]
    fn tenants_that_both_wait_are_prefilled_alike(
        sizes in prop::collection::vec((16..=LONGEST_PROMPT, 16..=LONGEST_PROMPT), 300),
    ) {
        let mut load = Load::new();
        let mut owners: BTreeMap<RowId, usize> = BTreeMap::new();
        let mut served = [0_i64; 2];
        let mut waiting: [BTreeSet<RowId>; 2] = Default::default();
        for sizes in sizes {
            // Tenant 0 always has the earlier deadline, and both always have more waiting
            // than a step can take.
            for (tenant, prompt) in [(0, sizes.0), (1, sizes.1)] {
                while waiting[tenant].len() < 3 {
                    let row = load.submit(&Arrival {
                        class: Class::TurnCritical,
                        tenant: tenant as u32,
                        prompt,
                        due_ms: tenant as u64 * 3_600_000,
                    });
                    let row = row.unwrap();
                    owners.insert(row, tenant);
                    waiting[tenant].insert(row);
                }
            }
            for (row, tokens) in load.step() {
                let tenant = owners[&row];
                served[tenant] += tokens as i64;
                if !load.first.contains_key(&row) {
                    waiting[tenant].remove(&row);
                }
            }
            prop_assert!((served[0] - served[1]).abs() <= 100 + 32, "{served:?}");
        }
    }
}
