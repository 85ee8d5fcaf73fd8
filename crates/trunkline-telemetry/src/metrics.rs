//! The registry behind the `metrics` macros, printed in Prometheus' text format.

use std::sync::{Arc, Mutex};

use metrics::{describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::gpu::GpuMonitor;
use crate::names::{ALL, CALLS_ACTIVE, Kind, LIVE_WATCHERS};

/// Buckets of waits that a caller notices, in milliseconds: fine around a pause in speech, up to
/// what nobody would wait for.
const LATENCY_BUCKETS_MS: [f64; 19] = [
    5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 120.0, 160.0, 240.0, 320.0, 480.0, 640.0, 900.0, 1_200.0,
    1_600.0, 2_500.0, 4_000.0, 8_000.0, 16_000.0,
];

/// Buckets of the length of calls, in seconds.
const DURATION_BUCKETS_S: [f64; 11] = [
    1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0,
];

/// Why the registry could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be set up: {0}")]
pub struct MetricsError(#[from] BuildError);

/// The process' metrics. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    gpus: Arc<Mutex<GpuMonitor>>,
}

impl Metrics {
    /// Makes the registry that the `metrics` macros of this process write to, and describes every
    /// name of [`crate::names`].
    ///
    /// # Errors
    /// [`MetricsError`] when the process already has one.
    pub fn install() -> Result<Self, MetricsError> {
        let handle = builder()?.install_recorder().map_err(MetricsError::from)?;
        describe();
        // A page that shows zero says more than one that shows nothing.
        gauge!(CALLS_ACTIVE).set(0.0);
        gauge!(LIVE_WATCHERS).set(0.0);
        Ok(Self {
            handle,
            gpus: Arc::new(Mutex::new(GpuMonitor::start())),
        })
    }

    /// Everything measured so far, in Prometheus' text format 0.0.4.
    pub fn render(&self) -> String {
        // Whoever looks meanwhile sees what was read last.
        if let Ok(mut gpus) = self.gpus.try_lock() {
            gpus.update();
        }
        self.handle.run_upkeep();
        self.handle.render()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

fn builder() -> Result<PrometheusBuilder, MetricsError> {
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_ms".to_owned()), &LATENCY_BUCKETS_MS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &DURATION_BUCKETS_S)?)
}

fn describe() {
    for metric in ALL {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, metric.help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names;

    #[test]
    fn what_is_measured_is_printed_with_its_help_and_buckets() {
        let recorder = builder().unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            describe();
            metrics::gauge!(names::CALLS_ACTIVE).set(2.0);
            metrics::counter!(names::CALLS_TOTAL, names::OUTCOME => "completed").increment(3);
            metrics::histogram!(names::VOICE_TO_VOICE_MS).record(700.0);
        });
        let text = handle.render();
        assert!(text.contains("calls_active 2"), "{text}");
        assert!(
            text.contains("calls_total{outcome=\"completed\"} 3"),
            "{text}"
        );
        assert!(
            text.contains("# HELP trunkline_voice_to_voice_ms "),
            "{text}"
        );
        assert!(
            text.contains("voice_to_voice_ms_bucket{le=\"640\"} 0"),
            "{text}"
        );
        assert!(
            text.contains("voice_to_voice_ms_bucket{le=\"900\"} 1"),
            "{text}"
        );
    }
}
