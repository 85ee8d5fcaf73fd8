//! What the cards of this machine do: load, memory, power, clocks, temperature, faults.
//!
//! A [`GpuSource`] gives readings: [`Nvml`] asks the driver, [`Trace`] plays back what was
//! written down. [`GpuMonitor`] turns them into metrics each time that somebody looks, so that
//! there is no thread and no timer. Where there is no driver, or it stops answering, it says so
//! in one metric and goes on. Deliberately not here: choosing a card, or changing anything on one.

mod monitor;
mod nvml;
#[cfg(test)]
mod tests;
mod trace;

use serde::{Deserialize, Serialize};

pub use self::monitor::{GpuMonitor, GpuState};
pub use self::nvml::Nvml;
pub use self::trace::Trace;

/// One card at one moment. What a card does not tell is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuReading {
    /// As the driver counts.
    pub index: u32,
    /// As `nvidia-smi -L` prints it.
    pub uuid: String,
    /// The product's name.
    pub name: String,
    /// Share of the last moments in which some kernel ran, 0 to 1. It does not say how much of the
    /// card it used.
    pub busy: Option<f64>,
    /// Share of the last moments in which memory was read or written, 0 to 1.
    pub memory_busy: Option<f64>,
    /// Memory in use.
    pub memory_used_bytes: Option<u64>,
    /// All memory.
    pub memory_total_bytes: Option<u64>,
    /// Power drawn.
    pub power_w: Option<f64>,
    /// Power that it may draw.
    pub power_limit_w: Option<f64>,
    /// Clock of the multiprocessors.
    pub sm_clock_mhz: Option<u32>,
    /// Clock of the memory.
    pub memory_clock_mhz: Option<u32>,
    /// Of the chip.
    pub temperature_c: Option<u32>,
    /// Why clocks are held down, if they are.
    #[serde(default)]
    pub throttled_by: Vec<Throttle>,
    /// Memory errors that could not be corrected, since the driver was loaded.
    pub uncorrected_errors: Option<u64>,
    /// Whether the card is cut into instances.
    pub mig: Option<bool>,
    /// Programs that compute on it.
    #[serde(default)]
    pub processes: Vec<GpuProcess>,
}

/// Why a card's clocks are held down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Throttle {
    /// It would draw more than it may.
    Power,
    /// It is too hot.
    Heat,
    /// The power supply asked for it.
    PowerBrake,
    /// Somebody set the clocks.
    Setting,
    /// The hardware slowed it down and does not say why.
    Hardware,
}

impl Throttle {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::Power,
        Self::Heat,
        Self::PowerBrake,
        Self::Setting,
        Self::Hardware,
    ];

    /// As labels and traces have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Power => "power",
            Self::Heat => "heat",
            Self::PowerBrake => "power_brake",
            Self::Setting => "setting",
            Self::Hardware => "hardware",
        }
    }
}

/// A program that computes on a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuProcess {
    /// Its number in the system.
    pub pid: u32,
    /// Memory that it holds, where the driver tells.
    pub memory_bytes: Option<u64>,
}

/// Why there are no readings.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// No driver is installed, or it has no card.
    #[error("there is no NVIDIA driver to ask: {0}")]
    Absent(String),
    /// The driver is there and does not answer.
    #[error("the NVIDIA driver does not answer: {0}")]
    NoAnswer(String),
    /// A trace is not one.
    #[error("line {line} of the trace is no reading: {reason}")]
    Trace {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// Something that knows what the cards do.
pub trait GpuSource: Send {
    /// All cards now, in the driver's order.
    ///
    /// # Errors
    /// [`GpuError`].
    fn read(&mut self) -> Result<Vec<GpuReading>, GpuError>;
}
