//! Models that can be exchanged for others while they serve.
//!
//! Clients know a place by the name that it was started under, whatever model is in it. The new one
//! is loaded and warmed while the old one serves; then new requests go to the new one, and the
//! old one brings what it has begun to its end and gives its memory back. If the new one cannot be
//! loaded, or the memory does not hold both, nothing changes.

mod chat;
mod memory;
#[cfg(test)]
mod tests;
mod transcriber;

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, TryLockError};
use std::time::{Duration, Instant};

pub use chat::HotSwapChat;
pub(crate) use memory::{MemoryBudget, bytes_of};
pub use transcriber::HotSwapTranscriber;

use crate::EngineError;

/// Finds a model by its name in the catalog, without loading it.
pub(crate) type Find<M> = Box<dyn Fn(&str) -> Result<Candidate<M>, EngineError> + Send + Sync>;

/// A model that could be loaded.
pub(crate) struct Candidate<M> {
    /// What it takes in memory.
    pub(crate) bytes: u64,
    /// Loads it.
    pub(crate) load: Box<dyn FnOnce() -> Result<M, EngineError>>,
}

/// What can be in a place.
pub(crate) trait Exchangeable {
    /// Takes no more requests, and ends when those that are open have ended, though it be dropped
    /// before.
    fn retire(&self);

    /// Gone when its memory is.
    fn alive(&self) -> Arc<dyn Any + Send + Sync>;
}

/// What an exchange came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchanged {
    /// The model that serves now, by its name in the catalog.
    pub model: String,
    /// Time it took to load and warm it.
    pub took: Duration,
}

/// Where a model serves.
struct Place<M> {
    /// What clients call it.
    name: String,
    seat: Arc<RwLock<Seat<M>>>,
    find: Find<M>,
    memory: Arc<MemoryBudget>,
    /// Held by the one exchange that may be under way.
    under_way: Mutex<()>,
}

/// Who serves.
struct Seat<M> {
    /// Its name in the catalog.
    model: String,
    serving: M,
    /// How many served before it.
    generation: u64,
}

impl<M: Exchangeable> Place<M> {
    /// Loads the first model.
    fn load(name: &str, find: Find<M>, memory: Arc<MemoryBudget>) -> Result<Self, EngineError> {
        let candidate = find(name)?;
        memory.admit(name, candidate.bytes)?;
        let seat = Seat {
            model: name.to_owned(),
            serving: load(name, candidate, &memory)?,
            generation: 0,
        };
        Ok(Self {
            name: name.to_owned(),
            seat: Arc::new(RwLock::new(seat)),
            find,
            memory,
            under_way: Mutex::default(),
        })
    }

    /// Puts another model, or another version of the same one, here. `warm` has it compute what it
    /// will be asked first.
    fn exchange(
        &self,
        with: Option<&str>,
        warm: impl FnOnce(&str, &M) -> Result<(), EngineError>,
    ) -> Result<Exchanged, EngineError> {
        let began = Instant::now();
        let _alone = match self.under_way.try_lock() {
            Ok(alone) => alone,
            Err(TryLockError::Poisoned(alone)) => alone.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let name = self.name.clone();
                return Err(EngineError::ExchangeUnderWay { name });
            }
        };
        let model = match with {
            Some(with) => with.to_owned(),
            None => self.seat().model.clone(),
        };
        let candidate = (self.find)(&model)?;
        self.memory.admit_beside(&model, candidate.bytes)?;
        let new = load(&model, candidate, &self.memory)?;
        warm(&model, &new)?;
        let old = {
            let mut seat = self.seat.write().unwrap_or_else(PoisonError::into_inner);
            seat.generation += 1;
            seat.model.clone_from(&model);
            std::mem::replace(&mut seat.serving, new)
        };
        old.retire();
        let took = began.elapsed();
        let took_ms = took.as_millis();
        tracing::info!(name = self.name, model, took_ms, "another model serves");
        Ok(Exchanged { model, took })
    }

    /// Who serves. A request is passed on while this is held, so that none reaches a model that
    /// has been retired meanwhile.
    fn seat(&self) -> RwLockReadGuard<'_, Seat<M>> {
        // Who serves is exchanged in one piece.
        self.seat.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What runs the model here, with its name where it is called otherwise.
    fn engine(&self, seat: &Seat<M>, engine: String) -> String {
        match seat.model == self.name {
            true => engine,
            false => format!("{engine} {}", seat.model),
        }
    }
}

/// Loads a model and counts it.
fn load<M: Exchangeable>(
    model: &str,
    candidate: Candidate<M>,
    memory: &MemoryBudget,
) -> Result<M, EngineError> {
    let loaded = (candidate.load)()?;
    memory.hold(model, candidate.bytes, Arc::downgrade(&loaded.alive()));
    Ok(loaded)
}

impl<M: Exchangeable> std::fmt::Debug for Place<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place")
            .field("name", &self.name)
            .field("model", &self.seat().model)
            .finish_non_exhaustive()
    }
}
