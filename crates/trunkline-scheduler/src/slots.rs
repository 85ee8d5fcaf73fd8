//! A fixed number of slots, each with one owner at a time.
//!
//! A slot stands for memory that is as large for everyone: Whisper's cross-attention cache, the
//! state of a voice. Its id carries a generation, so that a result which comes late is told apart
//! from one of the new owner. What lies in the memory is the caller's business.

use std::fmt;

use crate::SchedulerError;

/// A slot as one owner knows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId {
    index: u32,
    generation: u32,
}

impl SlotId {
    /// Where the slot's memory lies: from 0, less than the number of slots.
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

impl fmt::Debug for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlotId({self})")
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    generation: u32,
    claimed: bool,
}

/// The slots. The one that was released last is claimed first: its memory is warm.
#[derive(Debug, Clone)]
pub struct SlotPool {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl SlotPool {
    /// So many free slots; at most [`u32::MAX`].
    pub fn new(slots: u32) -> Self {
        Self {
            slots: vec![Slot::default(); slots as usize],
            free: (0..slots).rev().collect(),
        }
    }

    /// A free slot, or `None` when all are claimed.
    pub fn claim(&mut self) -> Option<SlotId> {
        let index = self.free.pop()?;
        let slot = &mut self.slots[index as usize];
        slot.claimed = true;
        Some(SlotId {
            index,
            generation: slot.generation,
        })
    }

    /// Gives a slot back. From now on its id is not current.
    ///
    /// # Errors
    /// [`SchedulerError::UnknownSlot`] when the id is not current.
    pub fn release(&mut self, id: SlotId) -> Result<(), SchedulerError> {
        if !self.is_current(id) {
            return Err(SchedulerError::UnknownSlot(id));
        }
        let slot = &mut self.slots[id.index()];
        slot.claimed = false;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
        Ok(())
    }

    /// Whether the slot is still claimed by whom this id was given to.
    pub fn is_current(&self, id: SlotId) -> bool {
        self.slots
            .get(id.index())
            .is_some_and(|slot| slot.claimed && slot.generation == id.generation)
    }

    /// Slots that can be claimed now.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// All slots.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no slot at all.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_result_is_told_from_the_new_owners() {
        let mut pool = SlotPool::new(1);
        let first = pool.claim().unwrap();
        assert_eq!(pool.claim(), None);
        pool.release(first).unwrap();
        let second = pool.claim().unwrap();
        assert_eq!(first.index(), second.index());
        assert!(pool.is_current(second) && !pool.is_current(first));
    }

    #[test]
    fn a_slot_is_released_once() {
        let mut pool = SlotPool::new(2);
        let slot = pool.claim().unwrap();
        pool.release(slot).unwrap();
        assert_eq!(pool.release(slot), Err(SchedulerError::UnknownSlot(slot)));
        assert_eq!((pool.free(), pool.len()), (2, 2));
    }
}
