//! Readings as metrics.

use metrics::gauge;

use super::{GpuReading, GpuSource, Nvml, Throttle};
use crate::names::{
    GPU, GPU_BUSY_RATIO, GPU_MEMORY_BUSY_RATIO, GPU_MEMORY_BYTES, GPU_MEMORY_CLOCK_MHZ,
    GPU_MEMORY_USED_BYTES, GPU_MIG, GPU_MONITORED, GPU_POWER_LIMIT_W, GPU_POWER_W, GPU_PROCESSES,
    GPU_SM_CLOCK_MHZ, GPU_TEMPERATURE_C, GPU_THROTTLED, GPU_UNCORRECTED_ERRORS, REASON,
};

/// How it stands with what is known of the cards.
#[derive(Debug, Clone, PartialEq)]
pub enum GpuState {
    /// There is nothing to ask on this machine.
    Absent {
        /// Why.
        reason: String,
    },
    /// The driver was there and does not answer.
    Silent {
        /// What it said.
        reason: String,
    },
    /// What the cards do.
    Known(Vec<GpuReading>),
}

/// Keeps the metrics of the cards up to date.
pub struct GpuMonitor {
    source: Result<Box<dyn GpuSource>, String>,
}

impl GpuMonitor {
    /// Of the driver, where there is one.
    pub fn start() -> Self {
        match Nvml::open() {
            Ok(nvml) => Self::of(nvml),
            Err(error) => Self {
                source: Err(error.to_string()),
            },
        }
    }

    /// Of any source.
    pub fn of(source: impl GpuSource + 'static) -> Self {
        Self {
            source: Ok(Box::new(source)),
        }
    }

    /// Reads the cards and sets the metrics.
    pub fn update(&mut self) -> GpuState {
        let state = match &mut self.source {
            Err(reason) => GpuState::Absent {
                reason: reason.clone(),
            },
            Ok(source) => match source.read() {
                Ok(readings) => GpuState::Known(readings),
                Err(error) => GpuState::Silent {
                    reason: error.to_string(),
                },
            },
        };
        let known = matches!(state, GpuState::Known(_));
        gauge!(GPU_MONITORED).set(f64::from(u8::from(known)));
        if let GpuState::Known(readings) = &state {
            readings.iter().for_each(publish);
        }
        state
    }
}

impl std::fmt::Debug for GpuMonitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GpuMonitor")
    }
}

fn publish(card: &GpuReading) {
    let label = card.index.to_string();
    let set = |name: &'static str, value: Option<f64>| {
        if let Some(value) = value {
            gauge!(name, GPU => label.clone()).set(value);
        }
    };
    let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
    set(GPU_BUSY_RATIO, card.busy);
    set(GPU_MEMORY_BUSY_RATIO, card.memory_busy);
    set(GPU_MEMORY_USED_BYTES, bytes(card.memory_used_bytes));
    set(GPU_MEMORY_BYTES, bytes(card.memory_total_bytes));
    set(GPU_POWER_W, card.power_w);
    set(GPU_POWER_LIMIT_W, card.power_limit_w);
    set(GPU_SM_CLOCK_MHZ, card.sm_clock_mhz.map(f64::from));
    set(GPU_MEMORY_CLOCK_MHZ, card.memory_clock_mhz.map(f64::from));
    set(GPU_TEMPERATURE_C, card.temperature_c.map(f64::from));
    set(GPU_UNCORRECTED_ERRORS, bytes(card.uncorrected_errors));
    set(GPU_MIG, card.mig.map(|mig| f64::from(u8::from(mig))));
    set(GPU_PROCESSES, Some(card.processes.len() as f64));
    for reason in Throttle::ALL {
        let held = f64::from(u8::from(card.throttled_by.contains(&reason)));
        gauge!(GPU_THROTTLED, GPU => label.clone(), REASON => reason.name()).set(held);
    }
}
