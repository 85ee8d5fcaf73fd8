//! For tests: everything that must hold between two operations.

use std::collections::BTreeMap;

use super::{Queued, TokenScheduler};
use crate::{BlockId, Class};

impl TokenScheduler {
    /// For messages: what each row is and has.
    pub(crate) fn outline(&self) -> String {
        let mut text = format!("{} blocks available\n", self.pool.available());
        for row in self.rows.iter().flatten() {
            text += &format!(
                "{} {:?} arrival {} open {} has {}/{} in {} blocks, {:?}\n",
                row.id,
                row.class,
                row.arrival,
                row.open,
                row.computed,
                row.tokens.len(),
                row.blocks.len(),
                row.queued
            );
        }
        text
    }

    /// Panics where the books do not agree.
    pub(crate) fn check(&self) {
        let mut refs: BTreeMap<BlockId, u32> = BTreeMap::new();
        let mut waiting_tokens = 0;
        let mut queued = [0; 4];
        let mut waiting = 0;
        let mut holding = 0;
        for row in self.rows.iter().flatten() {
            assert!(self.is_current(row.id));
            for block in &row.blocks {
                *refs.entry(*block).or_default() += 1;
            }
            assert!(row.computed <= row.tokens.len());
            let class = row.class;
            let holds = self.holding[class].get(&row.arrival) == Some(&row.id);
            assert_eq!(holds, !row.blocks.is_empty(), "{row:?}");
            holding += usize::from(holds);
            if row.flight.is_none() {
                let needed = self.settings.blocks_for(row.computed);
                assert_eq!(row.blocks.len(), needed, "{row:?}");
                assert_eq!(row.is_ready(), row.queued != Queued::No, "{row:?}");
                assert_ne!(row.queued, Queued::Taken, "{row:?}");
            }
            match row.queued {
                Queued::Decode(place) => assert_eq!(self.decode[class][place], row.id),
                Queued::Prefill {
                    waiting: tokens, ..
                } => {
                    queued[class as usize] += 1;
                    assert_eq!(tokens.is_some(), row.blocks.is_empty());
                    waiting += usize::from(tokens.is_some());
                    waiting_tokens += tokens.unwrap_or(0);
                }
                Queued::No | Queued::Taken => {}
            }
        }
        for class in Class::ALL {
            assert_eq!(self.prefill[class].len(), queued[class as usize]);
        }
        let metrics = self.metrics();
        assert_eq!(metrics.waiting_tokens, waiting_tokens);
        assert_eq!(
            metrics.waiting_rows.iter().map(|(_, n)| n).sum::<usize>(),
            waiting
        );
        assert_eq!(
            self.holding
                .iter()
                .map(|(_, rows)| rows.len())
                .sum::<usize>(),
            holding
        );
        for block in self.in_flight.iter().flat_map(|flight| &flight.blocks) {
            *refs.entry(*block).or_default() += 1;
        }
        self.pool.check(&refs);
    }
}
