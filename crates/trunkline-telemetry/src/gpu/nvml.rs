//! The driver's own account, by NVIDIA's management library.

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, EccCounter, MemoryError, TemperatureSensor};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::{Device, Nvml as Library};

use super::{GpuError, GpuProcess, GpuReading, GpuSource, Throttle};

/// What the driver installs; the name without a number comes with development packages only.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// The driver's library, loaded.
#[derive(Debug)]
pub struct Nvml(Library);

impl Nvml {
    /// Loads the library.
    ///
    /// # Errors
    /// [`GpuError::Absent`] where there is no driver.
    pub fn open() -> Result<Self, GpuError> {
        let library = Library::builder().lib_path(LIBRARY.as_ref()).init();
        library
            .map(Self)
            .map_err(|error| GpuError::Absent(error.to_string()))
    }

    /// The driver's version.
    pub fn driver(&self) -> Option<String> {
        self.0.sys_driver_version().ok()
    }
}

impl GpuSource for Nvml {
    fn read(&mut self) -> Result<Vec<GpuReading>, GpuError> {
        let failed = |error: nvml_wrapper::error::NvmlError| GpuError::NoAnswer(error.to_string());
        let count = self.0.device_count().map_err(failed)?;
        (0..count)
            .map(|index| {
                let card = self.0.device_by_index(index).map_err(failed)?;
                reading(index, &card).map_err(failed)
            })
            .collect()
    }
}

/// Only what every card must tell is an error when it does not.
fn reading(index: u32, card: &Device<'_>) -> Result<GpuReading, nvml_wrapper::error::NvmlError> {
    let busy = card.utilization_rates().ok();
    let memory = card.memory_info().ok();
    let watts = |milliwatts: u32| f64::from(milliwatts) / 1e3;
    Ok(GpuReading {
        index,
        uuid: card.uuid()?,
        name: card.name()?,
        busy: busy.as_ref().map(|busy| f64::from(busy.gpu) / 100.0),
        memory_busy: busy.as_ref().map(|busy| f64::from(busy.memory) / 100.0),
        memory_used_bytes: memory.as_ref().map(|memory| memory.used),
        memory_total_bytes: memory.as_ref().map(|memory| memory.total),
        power_w: card.power_usage().ok().map(watts),
        power_limit_w: card.enforced_power_limit().ok().map(watts),
        sm_clock_mhz: card.clock_info(Clock::SM).ok(),
        memory_clock_mhz: card.clock_info(Clock::Memory).ok(),
        temperature_c: card.temperature(TemperatureSensor::Gpu).ok(),
        throttled_by: card
            .current_throttle_reasons()
            .map(throttled_by)
            .unwrap_or_default(),
        uncorrected_errors: card
            .total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile)
            .ok(),
        mig: card.mig_mode().ok().map(|mode| mode.current != 0),
        processes: card
            .running_compute_processes()
            .unwrap_or_default()
            .into_iter()
            .map(|process| GpuProcess {
                pid: process.pid,
                memory_bytes: match process.used_gpu_memory {
                    UsedGpuMemory::Used(bytes) => Some(bytes),
                    UsedGpuMemory::Unavailable => None,
                },
            })
            .collect(),
    })
}

/// An idle card is not held down.
pub(super) fn throttled_by(reasons: ThrottleReasons) -> Vec<Throttle> {
    let groups = [
        (ThrottleReasons::SW_POWER_CAP, Throttle::Power),
        (
            ThrottleReasons::SW_THERMAL_SLOWDOWN | ThrottleReasons::HW_THERMAL_SLOWDOWN,
            Throttle::Heat,
        ),
        (
            ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN,
            Throttle::PowerBrake,
        ),
        (
            ThrottleReasons::APPLICATIONS_CLOCKS_SETTING | ThrottleReasons::SYNC_BOOST,
            Throttle::Setting,
        ),
        (ThrottleReasons::HW_SLOWDOWN, Throttle::Hardware),
    ];
    groups
        .into_iter()
        .filter(|(group, _)| reasons.intersects(*group))
        .map(|(_, throttle)| throttle)
        .collect()
}
