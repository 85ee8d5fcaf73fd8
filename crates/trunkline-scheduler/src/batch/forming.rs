//! Which jobs make the next batch.
//!
//! The batch is formed for one job, its head, and is as long as that job's bucket. Others join
//! while they are no longer and the cost allows: for a shorter job that waits, running padded now
//! is sooner than running alone next.

use std::time::Duration;

use super::{Batch, BatchQueue, JobId};
use crate::{Class, ShedReason};

/// So many jobs that do not fit are passed over for each place of a batch, so that a queue of long
/// jobs is not walked through for every short one.
const PASSED_OVER: usize = 4;

/// A batch in the making.
struct Forming {
    length: usize,
    chosen: Vec<JobId>,
    passed_over: Vec<JobId>,
}

impl<T> BatchQueue<T> {
    /// The next batch, or `None` when no job waits. Sheds what waited too long; see
    /// [`take_shed`](Self::take_shed).
    pub fn pop(&mut self, now: Duration) -> Option<Batch<T>> {
        self.now = self.now.max(now);
        self.shed_overdue();
        let class = self.next_class()?;
        let head = self.queues[class].first()?.item;
        let length = self.jobs.get(&head)?.bucket;
        let mut forming = Forming {
            length,
            chosen: Vec::new(),
            passed_over: Vec::new(),
        };
        let places = (self.settings.max_batch_cost / length).min(self.settings.max_batch_jobs);
        self.join(&mut forming, class, places);
        let riders = places.min(self.settings.max_rider_cost / length);
        for other in Class::ALL {
            if other < class {
                self.join(&mut forming, other, places);
            } else if other > class {
                self.join(&mut forming, other, riders);
            }
        }
        for id in forming.passed_over {
            if let Some(waiting) = self.jobs.get(&id) {
                let (class, tenant) = (waiting.job.class, waiting.job.origin.tenant);
                self.queues[class].insert(tenant, waiting.key, id);
                self.queues[class].done(tenant);
            }
        }
        Some(self.batch(length, forming.chosen))
    }

    /// Adds jobs of a class up to `places` jobs in all.
    fn join(&mut self, forming: &mut Forming, class: Class, places: usize) {
        let mut passes = PASSED_OVER * places;
        while forming.chosen.len() < places && passes > 0 {
            let Some(head) = self.queues[class].take() else {
                return;
            };
            let bucket = self.jobs.get(&head.item).map(|waiting| waiting.bucket);
            if bucket.is_some_and(|bucket| bucket <= forming.length) {
                let padded = forming.length as u64;
                self.queues[class].charge(head.tenant, padded);
                self.queues[class].done(head.tenant);
                forming.chosen.push(head.item);
            } else {
                forming.passed_over.push(head.item);
                passes -= 1;
            }
        }
    }

    /// The class that the next batch is formed for: the most urgent one that waits, unless a lower
    /// one is owed a batch.
    fn next_class(&mut self) -> Option<Class> {
        let waits = |class: &Class| !self.queues[*class].is_empty();
        let urgent = Class::ALL.into_iter().find(waits)?;
        let mut next = urgent;
        for class in Class::ALL {
            if self.queues[class].is_empty() {
                self.owed[class] = 0;
            } else if class > urgent {
                self.owed[class] += u32::from(self.settings.guaranteed_percent[class]);
                if next == urgent && self.owed[class] >= 100 {
                    self.owed[class] -= 100;
                    next = class;
                }
            }
        }
        Some(next)
    }

    fn batch(&mut self, length: usize, chosen: Vec<JobId>) -> Batch<T> {
        let jobs: Vec<_> = chosen
            .into_iter()
            .filter_map(|id| Some((id, self.forget(id)?)))
            .collect();
        let batch = Batch { length, jobs };
        let used: usize = batch.jobs.iter().map(|(_, job)| job.length).sum();
        self.metrics.batches_popped += 1;
        self.metrics.jobs_popped += batch.jobs.len() as u64;
        self.metrics.cost_popped += batch.cost() as u64;
        self.metrics.padding_popped += (batch.cost() - used) as u64;
        batch
    }

    /// Sheds who has waited in vain.
    fn shed_overdue(&mut self) {
        for class in Class::ALL.into_iter().filter(|class| class.is_sheddable()) {
            let patience = self.settings.patience[class];
            while let Some(id) = self.waiting[class].first().copied() {
                let since = self.jobs.get(&id).map_or(self.now, |waiting| waiting.since);
                if since.saturating_add(patience) >= self.now {
                    break;
                }
                self.shed_job(id, ShedReason::WaitedTooLong);
            }
        }
    }
}
