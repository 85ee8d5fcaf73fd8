//! How much memory models may take together.
//!
//! What a model takes is known before it is loaded: its files, and the keys and values that it is
//! given room for. It counts until its last user has let go of it, so that while two are loaded
//! both count. Without a limit, what the machine has to spare is the limit for a further one.

use std::any::Any;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use crate::EngineError;

const MIB: u64 = 1 << 20;

/// The models that are loaded, and the most that they may take.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    /// In bytes; `None` is what the machine has.
    limit: Option<u64>,
    held: Mutex<Vec<Held>>,
}

#[derive(Debug)]
struct Held {
    name: String,
    bytes: u64,
    /// Gone when its memory is.
    alive: Weak<dyn Any + Send + Sync>,
}

impl MemoryBudget {
    pub(crate) fn new(limit_mib: Option<u64>) -> Self {
        Self {
            limit: limit_mib.map(|mib| mib.saturating_mul(MIB)),
            held: Mutex::default(),
        }
    }

    /// Whether the limit, if there is one, lets a model in that takes so much.
    ///
    /// # Errors
    /// [`EngineError::NoMemory`].
    pub(crate) fn admit(&self, name: &str, bytes: u64) -> Result<(), EngineError> {
        self.within(name, bytes, None)
    }

    /// Whether a model that takes so much can be loaded beside one that serves: by the limit, or by
    /// what the machine has.
    ///
    /// # Errors
    /// [`EngineError::NoMemory`].
    pub(crate) fn admit_beside(&self, name: &str, bytes: u64) -> Result<(), EngineError> {
        self.within(name, bytes, available())
    }

    fn within(&self, name: &str, bytes: u64, machine: Option<u64>) -> Result<(), EngineError> {
        let held = self.lock();
        let taken: u64 = held.iter().map(|one| one.bytes).sum();
        let left = match (self.limit, machine) {
            (Some(limit), _) => limit.saturating_sub(taken),
            (None, Some(available)) => available,
            (None, None) => return Ok(()),
        };
        if bytes <= left {
            return Ok(());
        }
        let others: Vec<&str> = held.iter().map(|one| one.name.as_str()).collect();
        Err(EngineError::NoMemory {
            name: name.to_owned(),
            needed_mib: bytes.div_ceil(MIB),
            left_mib: left / MIB,
            beside: match others.is_empty() {
                true => "nothing else".to_owned(),
                false => others.join(", "),
            },
        })
    }

    /// Counts a model for as long as it lives.
    pub(crate) fn hold(&self, name: &str, bytes: u64, alive: Weak<dyn Any + Send + Sync>) {
        self.lock().push(Held {
            name: name.to_owned(),
            bytes,
            alive,
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Held>> {
        // The list is whole between statements; a panic elsewhere does not spoil it.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|one| one.alive.strong_count() > 0);
        held
    }
}

/// What the machine can give without swapping; `None` where it does not say.
fn available() -> Option<u64> {
    let about = fs::read_to_string("/proc/meminfo").ok()?;
    let line = about
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Bytes of the files of a folder.
pub(crate) fn bytes_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| fs::metadata(entry.path()).ok());
    sizes
        .filter(|file| file.is_file())
        .map(|file| file.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_model_counts_until_it_is_gone() {
        let budget = MemoryBudget::new(Some(10));
        let first: Arc<dyn Any + Send + Sync> = Arc::new(());
        budget.admit("first", 6 * MIB).unwrap();
        budget.hold("first", 6 * MIB, Arc::downgrade(&first));
        let refused = budget.admit("second", 5 * MIB).unwrap_err().to_string();
        for part in ["second", "5 MiB", "4 MiB", "first", "models.memory_mib"] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
        drop(first);
        budget.admit("second", 10 * MIB).unwrap();
    }

    #[test]
    fn without_a_limit_the_machine_is_the_limit() {
        let budget = MemoryBudget::new(None);
        budget.admit_beside("small", MIB).unwrap();
        assert!(budget.admit_beside("absurd", u64::MAX).is_err());
        // The first one is let in: what it takes is taken little by little.
        budget.admit("absurd", u64::MAX).unwrap();
    }
}
