//! Batches of stateless work whose cost is known beforehand: encoder windows by length, clauses
//! to synthesise.
//!
//! A batch is padded to its longest job, so its cost is that length times the number of jobs.
//! There is no timer: the next batch is taken when the last one is done, and whatever came in
//! meanwhile is in it. Classes, deadlines, fairness and shedding are as for rows of tokens.

mod forming;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use trunkline_types::CallId;

use crate::fair::{FairQueue, Key};
use crate::{Class, Epoch, Origin, PerClass, SchedulerError, ShedReason};

pub use settings::BatchSettings;

/// One job of a queue, as long as it waits. Never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(u64);

/// A piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job<T> {
    /// Whose it is.
    pub origin: Origin,
    /// What waits for it.
    pub class: Class,
    /// When it should be done.
    pub deadline: Duration,
    /// Its length before padding, in the unit of the buckets: frames of a spectrum, characters.
    pub length: usize,
    /// What to do, and whom to tell.
    pub work: T,
}

/// A job that was not admitted, for its owner to be told.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Refused<T> {
    /// Why.
    pub error: SchedulerError,
    /// The job, as it came.
    pub job: Job<T>,
}

/// A job that was admitted and given up, for its owner to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShedJob<T> {
    /// Its id, not waiting any more.
    pub id: JobId,
    /// The job, as it came.
    pub job: Job<T>,
    /// Why.
    pub reason: ShedReason,
}

/// What to run next, in one pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch<T> {
    /// What every job is padded to.
    pub length: usize,
    /// The jobs, the one that the batch was formed for first.
    pub jobs: Vec<(JobId, Job<T>)>,
}

impl<T> Batch<T> {
    /// The padded cost: length times jobs.
    pub fn cost(&self) -> usize {
        self.length * self.jobs.len()
    }
}

/// What the queue counts. What is named in the past tense counts from the beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchMetrics {
    /// Jobs that wait.
    pub waiting_jobs: PerClass<usize>,
    /// Their padded cost, each alone.
    pub waiting_cost: usize,
    /// Batches taken.
    pub batches_popped: u64,
    /// Jobs in them.
    pub jobs_popped: u64,
    /// Their cost.
    pub cost_popped: u64,
    /// Of that: padding, to the bucket and to the longest job.
    pub padding_popped: u64,
    /// Jobs given up after they had been admitted.
    pub shed: PerClass<u64>,
    /// Jobs not admitted.
    pub refused: PerClass<u64>,
    /// Jobs cancelled while they waited.
    pub cancelled: u64,
}

/// A waiting job and where it stands.
#[derive(Debug)]
struct Waiting<T> {
    job: Job<T>,
    bucket: usize,
    key: Key,
    since: Duration,
}

/// Jobs that wait to be batched. See the [crate] for the loop that drives it.
#[derive(Debug)]
pub struct BatchQueue<T> {
    settings: BatchSettings,
    now: Duration,
    arrivals: u64,
    jobs: BTreeMap<JobId, Waiting<T>>,
    queues: PerClass<FairQueue<JobId>>,
    /// By arrival.
    waiting: PerClass<BTreeSet<JobId>>,
    waiting_cost: PerClass<usize>,
    by_call: BTreeMap<(CallId, Epoch), Vec<JobId>>,
    /// Percent of a batch that a class is owed.
    owed: PerClass<u32>,
    shed: Vec<ShedJob<T>>,
    metrics: BatchMetrics,
}

impl<T> BatchQueue<T> {
    /// An empty queue.
    ///
    /// # Errors
    /// [`SchedulerError::Settings`] when the settings contradict each other.
    pub fn new(settings: BatchSettings) -> Result<Self, SchedulerError> {
        settings.check()?;
        let queue = || FairQueue::new(settings.fair_lead_cost);
        Ok(Self {
            queues: PerClass::new([queue(), queue(), queue(), queue()]),
            settings,
            now: Duration::ZERO,
            arrivals: 0,
            jobs: BTreeMap::new(),
            waiting: PerClass::default(),
            waiting_cost: PerClass::default(),
            by_call: BTreeMap::new(),
            owed: PerClass::default(),
            shed: Vec::new(),
            metrics: BatchMetrics::default(),
        })
    }

    /// Admits a job. Turn-critical and playing jobs displace speculative, then background ones,
    /// the latest first, when there is no room.
    ///
    /// # Errors
    /// [`SchedulerError::Overloaded`] when there is no room, [`SchedulerError::TooCostly`] when
    /// the job is longer than the longest bucket or than a batch may cost.
    pub fn push(&mut self, now: Duration, job: Job<T>) -> Result<JobId, Refused<T>> {
        self.now = self.now.max(now);
        let bucket = match self.settings.bucket(job.length) {
            Ok(bucket) => bucket,
            Err(error) => return Err(self.refuse(error, job)),
        };
        if !self.make_room(job.class, bucket) {
            let retry_after = self.settings.retry_after;
            return Err(self.refuse(SchedulerError::Overloaded { retry_after }, job));
        }
        self.arrivals += 1;
        let id = JobId(self.arrivals);
        let latest = self.now.saturating_add(self.settings.patience[job.class]);
        let key = (job.deadline.clamp(self.now, latest), self.arrivals);
        let (class, origin) = (job.class, job.origin);
        self.queues[class].insert(origin.tenant, key, id);
        self.waiting[class].insert(id);
        self.waiting_cost[class] += bucket;
        let of_call = self.by_call.entry((origin.call, origin.epoch)).or_default();
        of_call.push(id);
        let since = self.now;
        let waiting = Waiting {
            job,
            bucket,
            key,
            since,
        };
        self.jobs.insert(id, waiting);
        Ok(id)
    }

    /// Takes a job back; `None` when it does not wait any more.
    pub fn cancel(&mut self, id: JobId) -> Option<Job<T>> {
        let job = self.withdraw(id)?;
        self.metrics.cancelled += 1;
        Some(job)
    }

    /// Takes back all jobs of the call in this epoch and earlier ones.
    pub fn cancel_call(&mut self, call: CallId, up_to: Epoch) -> Vec<Job<T>> {
        let ids: Vec<JobId> = self
            .by_call
            .range((call, Epoch(0))..=(call, up_to))
            .flat_map(|(_, ids)| ids.iter().copied())
            .collect();
        ids.into_iter().filter_map(|id| self.cancel(id)).collect()
    }

    /// The jobs that were shed since the last call. Ask after each [`push`](Self::push) and
    /// [`pop`](Self::pop).
    pub fn take_shed(&mut self) -> Vec<ShedJob<T>> {
        std::mem::take(&mut self.shed)
    }

    /// Jobs that wait.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether no job waits.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// The counters and what waits now.
    pub fn metrics(&self) -> BatchMetrics {
        let mut metrics = self.metrics.clone();
        for class in Class::ALL {
            metrics.waiting_jobs[class] = self.waiting[class].len();
        }
        metrics.waiting_cost = self.cost_in_all();
        metrics
    }

    fn refuse(&mut self, error: SchedulerError, job: Job<T>) -> Refused<T> {
        self.metrics.refused[job.class] += 1;
        Refused { error, job }
    }

    fn cost_in_all(&self) -> usize {
        self.waiting_cost.iter().map(|(_, cost)| cost).sum()
    }

    /// Takes a job out of the queue and everything else.
    fn withdraw(&mut self, id: JobId) -> Option<Job<T>> {
        let waiting = self.jobs.get(&id)?;
        let (class, tenant) = (waiting.job.class, waiting.job.origin.tenant);
        self.queues[class].remove(tenant, waiting.key);
        self.forget(id)
    }

    /// Takes a job that is out of its queue out of everything else.
    fn forget(&mut self, id: JobId) -> Option<Job<T>> {
        let Waiting { job, bucket, .. } = self.jobs.remove(&id)?;
        self.waiting[job.class].remove(&id);
        self.waiting_cost[job.class] -= bucket;
        let key = (job.origin.call, job.origin.epoch);
        if let Some(ids) = self.by_call.get_mut(&key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_call.remove(&key);
            }
        }
        Some(job)
    }

    fn shed_job(&mut self, id: JobId, reason: ShedReason) {
        if let Some(job) = self.withdraw(id) {
            self.metrics.shed[job.class] += 1;
            self.shed.push(ShedJob { id, job, reason });
        }
    }

    /// Displaces as few jobs as it takes; none when that is not enough.
    fn make_room(&mut self, class: Class, bucket: usize) -> bool {
        let displaced: &[Class] = if class.is_sheddable() {
            &[]
        } else {
            &[Class::Speculative, Class::Background]
        };
        let (mut jobs, mut cost) = (self.jobs.len(), self.cost_in_all());
        for other in displaced {
            jobs -= self.waiting[*other].len();
            cost -= self.waiting_cost[*other];
        }
        if !self.settings.has_room(jobs, cost, bucket) {
            return false;
        }
        while !self
            .settings
            .has_room(self.jobs.len(), self.cost_in_all(), bucket)
        {
            let mut last = displaced
                .iter()
                .filter_map(|other| self.waiting[*other].last());
            let Some(id) = last.next().copied() else {
                return false;
            };
            self.shed_job(id, ShedReason::Displaced);
        }
        true
    }
}

#[cfg(test)]
mod tests;
