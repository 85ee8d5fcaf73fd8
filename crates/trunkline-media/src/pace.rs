//! How far from their moment on the 20 ms grid packets are sent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Width of a bucket.
const BUCKET_US: u64 = 20;

/// Up to 20 ms; the last bucket takes all beyond.
const BUCKETS: usize = 1001;

/// Counts of send errors, written by the wheel threads and read by anyone.
#[derive(Debug)]
pub(crate) struct SendErrors {
    buckets: Box<[AtomicU64]>,
    worst_us: AtomicU64,
}

/// How exactly the wheel has sent so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendErrorSummary {
    /// Packets that were measured.
    pub packets: u64,
    /// Half are nearer to the grid than this.
    pub p50: Duration,
    /// 99 in 100 are.
    pub p99: Duration,
    /// 999 in 1000 are.
    pub p999: Duration,
    /// All are.
    pub worst: Duration,
}

impl Default for SendErrors {
    fn default() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            worst_us: AtomicU64::new(0),
        }
    }
}

impl SendErrors {
    pub(crate) fn record(&self, error: Duration) {
        let micros = u64::try_from(error.as_micros()).unwrap_or(u64::MAX);
        let bucket = usize::try_from(micros / BUCKET_US).unwrap_or(BUCKETS);
        if let Some(count) = self.buckets.get(bucket.min(BUCKETS - 1)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.worst_us.fetch_max(micros, Ordering::Relaxed);
    }

    /// What was counted since the last call.
    pub(crate) fn take(&self) -> SendErrorSummary {
        let counts: Vec<u64> = self
            .buckets
            .iter()
            .map(|bucket| bucket.swap(0, Ordering::Relaxed))
            .collect();
        let packets = counts.iter().sum();
        let worst = Duration::from_micros(self.worst_us.swap(0, Ordering::Relaxed));
        let quantile = |per_mille: u64| {
            let mut below = 0;
            let bucket = counts.iter().position(|count| {
                below += count;
                packets > 0 && below * 1000 >= packets * per_mille
            });
            let upper = bucket.map_or(0, |bucket| (bucket as u64 + 1) * BUCKET_US);
            Duration::from_micros(upper).min(worst)
        };
        SendErrorSummary {
            packets,
            p50: quantile(500),
            p99: quantile(990),
            p999: quantile(999),
            worst,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_bucket_and_are_taken_once() {
        let errors = SendErrors::default();
        for micros in 0..1000 {
            errors.record(Duration::from_micros(micros));
        }
        errors.record(Duration::from_secs(1));
        let summary = errors.take();
        assert_eq!(summary.packets, 1001);
        assert_eq!(summary.p50, Duration::from_micros(520));
        assert_eq!(summary.p99, Duration::from_micros(1000));
        assert_eq!(summary.worst, Duration::from_secs(1));
        assert_eq!(errors.take(), SendErrorSummary::default());
    }
}
