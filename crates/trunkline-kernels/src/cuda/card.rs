//! Which card, and whether this build may run on it.

use candle_core::cuda_backend::cudarc::driver::result::{self, device};
use candle_core::cuda_backend::cudarc::driver::sys::{self, CUdevice_attribute as Attribute};
use candle_core::{Device, cuda_backend::kernels};

use super::function::{entries, preload};
use super::libraries::DRIVER;
use super::{COMPUTE_CAPABILITY, CUDA_MAJOR, probe};
use crate::KernelError;

const MIB: usize = 1 << 20;

/// A card, or a part of one that MIG made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// As the driver counts, which follows `CUDA_VISIBLE_DEVICES`.
    pub index: usize,
    /// The product's name.
    pub name: String,
    /// 32 hexadecimal digits, as in `GPU-…` and `MIG-…` without hyphens.
    pub uuid: String,
    /// As in 90.
    pub capability: u32,
    /// All its memory.
    pub memory_mib: usize,
    /// Multiprocessors.
    pub multiprocessors: usize,
}

/// The cards that the driver offers.
///
/// # Errors
/// As [`probe`], [`KernelError::OldDriver`] and [`KernelError::NoCard`].
pub fn cards() -> Result<Vec<Card>, KernelError> {
    probe()?;
    check_driver()?;
    let no_card = |error: result::DriverError| KernelError::NoCard {
        reason: error.to_string(),
    };
    result::init().map_err(no_card)?;
    let count = device::get_count().map_err(no_card)?;
    if count == 0 {
        let reason = "it counts none".to_owned();
        return Err(KernelError::NoCard { reason });
    }
    (0..count).map(|at| card(at).map_err(no_card)).collect()
}

/// Refuses a driver of an older CUDA: it would not read our kernels.
fn check_driver() -> Result<(), KernelError> {
    let mut version = 0;
    // SAFETY: the driver is loaded, and writes one number.
    let answer = unsafe { sys::cuDriverGetVersion(&raw mut version) };
    answer.result().map_err(|error| KernelError::NoCard {
        reason: error.to_string(),
    })?;
    if version / 1000 >= CUDA_MAJOR.parse().unwrap_or(0) {
        return Ok(());
    }
    Err(KernelError::OldDriver {
        has: format!("{}.{}", version / 1000, version % 1000 / 10),
        built: CUDA_MAJOR,
        needed: DRIVER,
    })
}

fn card(index: i32) -> Result<Card, result::DriverError> {
    let handle = device::get(index)?;
    // SAFETY: the handle is the driver's own, of a card that stays.
    let attribute = |which| unsafe { device::get_attribute(handle, which) };
    let uuid = device::get_uuid(handle)?;
    let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    let multiprocessors = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
    // SAFETY: as above.
    let memory = unsafe { device::total_mem(handle) }?;
    Ok(Card {
        index: index as usize,
        name: device::get_name(handle)?,
        uuid: hexadecimal(&uuid),
        capability: (major * 10 + minor) as u32,
        memory_mib: memory / MIB,
        multiprocessors: multiprocessors as usize,
    })
}

fn hexadecimal(uuid: &sys::CUuuid) -> String {
    let byte = |byte: &std::ffi::c_char| format!("{:02x}", *byte as u8);
    uuid.bytes.iter().map(byte).collect()
}

/// The card that is meant: a number, or a UUID as `nvidia-smi -L` prints it, or its beginning.
///
/// # Errors
/// [`KernelError::UnknownCard`].
pub fn choose<'a>(cards: &'a [Card], wanted: &str) -> Result<&'a Card, KernelError> {
    let by_index = wanted.parse::<usize>().ok();
    let digits = wanted
        .trim_start_matches("GPU-")
        .trim_start_matches("MIG-")
        .replace('-', "")
        .to_lowercase();
    let found = cards.iter().find(|card| match by_index {
        Some(index) => card.index == index,
        None => digits.len() >= 4 && card.uuid.starts_with(&digits),
    });
    found.ok_or_else(|| {
        let list = |card: &Card| format!("{} ({}, GPU-{})", card.index, card.name, card.uuid);
        let found: Vec<String> = cards.iter().map(list).collect();
        KernelError::UnknownCard {
            wanted: wanted.to_owned(),
            found: found.join(", "),
        }
    })
}

/// Takes the card into use: every kernel is loaded, so that no call waits for one.
///
/// # Errors
/// [`KernelError::WrongCapability`], [`KernelError::TooLittleMemory`] when less than
/// `wanted_mib` is free, or [`KernelError::Launch`] when a kernel cannot be loaded.
pub fn open(card: &Card, wanted_mib: usize) -> Result<Device, KernelError> {
    let built = COMPUTE_CAPABILITY.trim_end_matches(char::is_alphabetic);
    let built = built.parse().unwrap_or(0);
    // Machine code runs on later minor versions of its major one. What is built for Hopper and
    // later uses instructions of that one chip.
    let fits = match built {
        0..90 => card.capability / 10 == built / 10 && card.capability >= built,
        _ => card.capability == built,
    };
    if !fits {
        return Err(KernelError::WrongCapability {
            card: card.name.clone(),
            has: card.capability,
            built,
        });
    }
    let failed = |reason: String| KernelError::Launch {
        kernel: "start".to_owned(),
        reason,
    };
    let device =
        Device::new_cuda_with_stream(card.index).map_err(|error| failed(error.to_string()))?;
    let (free, _) = result::mem_get_info().map_err(|error| failed(error.to_string()))?;
    if free / MIB < wanted_mib {
        return Err(KernelError::TooLittleMemory {
            card: card.name.clone(),
            free_mib: free / MIB,
            wanted_mib,
        });
    }
    let cuda = device
        .as_cuda_device()
        .map_err(|error| failed(error.to_string()))?;
    // SAFETY: the device has one stream, and all that is made on it stays on it; nothing is freed
    // or written out of that stream's order.
    unsafe { cuda.disable_event_tracking() };
    preload(cuda).map_err(|error| failed(error.to_string()))?;
    for module in [
        &kernels::AFFINE,
        &kernels::BINARY,
        &kernels::CAST,
        &kernels::CONV,
        &kernels::FILL,
        &kernels::INDEXING,
        &kernels::REDUCE,
        &kernels::SORT,
        &kernels::TERNARY,
        &kernels::UNARY,
    ] {
        for name in entries(module.ptx()) {
            cuda.get_or_load_func(name, module)
                .map_err(|error| failed(error.to_string()))?;
        }
    }
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(index: usize, uuid: &str) -> Card {
        Card {
            index,
            name: "NVIDIA H200".to_owned(),
            uuid: uuid.to_owned(),
            capability: 90,
            memory_mib: 143_771,
            multiprocessors: 132,
        }
    }

    #[test]
    fn a_card_is_chosen_by_number_or_by_the_beginning_of_its_uuid() {
        let cards = [
            card(0, "0f3c8a52aa00000000000000000000aa"),
            card(1, "9b1d4e77bb00000000000000000000bb"),
        ];
        assert_eq!(choose(&cards, "1").unwrap().index, 1);
        assert_eq!(choose(&cards, "GPU-9b1d4e77-bb00").unwrap().index, 1);
        assert_eq!(choose(&cards, "MIG-0F3C8A52").unwrap().index, 0);
        let error = choose(&cards, "7").unwrap_err().to_string();
        assert!(error.contains("there is no card 7") && error.contains("1 (NVIDIA H200"));
        assert!(choose(&cards, "GPU-").is_err());
    }
}
