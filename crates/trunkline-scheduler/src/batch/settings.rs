//! The measures of a batch queue.

use std::time::Duration;

use crate::{Class, PerClass, SchedulerError};

/// How a [`BatchQueue`](crate::BatchQueue) is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchSettings {
    /// The lengths that jobs are padded to, rising. Empty: each job's own length.
    pub buckets: Vec<usize>,
    /// The most that a batch may cost: the longest bucket times the jobs.
    pub max_batch_cost: usize,
    /// The most jobs of a batch.
    pub max_batch_jobs: usize,
    /// Jobs of a lower class than the batch was formed for join it up to this cost. The whole of
    /// `max_batch_cost` where more jobs take no longer (a device with room to spare), 0 where
    /// each job adds its time.
    pub max_rider_cost: usize,
    /// Jobs that may wait.
    pub max_waiting_jobs: usize,
    /// Their padded cost, each alone.
    pub max_waiting_cost: usize,
    /// What to tell who is refused.
    pub retry_after: Duration,
    /// Of 100 batches, so many are formed for this class while it has work, however much there is
    /// of more urgent ones. Together less than 100; that of [`Class::TurnCritical`] is not read.
    pub guaranteed_percent: PerClass<u8>,
    /// Caps how far a deadline can push a job back: it counts as due at the latest this long after
    /// it came. A speculative or background job that has waited so long is shed.
    pub patience: PerClass<Duration>,
    /// A tenant may be so much cost ahead of another that waits in the same class, for the sake of
    /// a deadline.
    pub fair_lead_cost: u64,
}

impl Default for BatchSettings {
    /// For Whisper's encoder: buckets in frames of 10 ms.
    fn default() -> Self {
        Self {
            buckets: vec![250, 500, 1000, 1500, 3000],
            max_batch_cost: 24_000,
            max_batch_jobs: 32,
            max_rider_cost: 24_000,
            max_waiting_jobs: 256,
            max_waiting_cost: 768_000,
            retry_after: Duration::from_millis(500),
            guaranteed_percent: PerClass::new([0, 20, 10, 5]),
            patience: PerClass::new([
                Duration::from_secs(2),
                Duration::from_secs(2),
                Duration::from_secs(2),
                Duration::from_secs(60),
            ]),
            fair_lead_cost: 6000,
        }
    }
}

impl BatchSettings {
    pub(super) fn check(&self) -> Result<(), SchedulerError> {
        let lower: u32 = Class::ALL[1..]
            .iter()
            .map(|class| u32::from(self.guaranteed_percent[*class]))
            .sum();
        let rules = [
            (
                self.buckets.is_sorted_by(|a, b| a < b)
                    && self.buckets.first().is_none_or(|first| *first > 0),
                "the buckets must rise from more than 0",
            ),
            (
                self.max_batch_cost >= self.buckets.last().copied().unwrap_or(1),
                "a batch must have room for the longest bucket",
            ),
            (self.max_batch_jobs > 0, "a batch must have room for a job"),
            (lower < 100, "the guaranteed shares must leave something"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(SchedulerError::Settings(rule)),
            None => Ok(()),
        }
    }

    /// What a job of this length is padded to. A length of 0 takes the shortest bucket.
    pub(super) fn bucket(&self, length: usize) -> Result<usize, SchedulerError> {
        let limit = self.buckets.last().copied();
        let limit = limit.unwrap_or(self.max_batch_cost);
        if length > limit {
            return Err(SchedulerError::TooCostly {
                cost: length,
                limit,
            });
        }
        let bucket = self.buckets.iter().find(|bucket| **bucket >= length);
        Ok(bucket.copied().unwrap_or(length.max(1)))
    }

    pub(super) fn has_room(&self, jobs: usize, cost: usize, bucket: usize) -> bool {
        jobs < self.max_waiting_jobs && cost.saturating_add(bucket) <= self.max_waiting_cost
    }
}
