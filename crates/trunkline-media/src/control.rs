//! The agent's and the gateway's side of a leg: a short-lock queue that the wheel empties at the
//! leg's next tick.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use trunkline_leg::{MediaControl, PlayoutChunk};
use trunkline_types::Digit;

use crate::{MediaParameters, MediaStatistics};

/// What the wheel is asked to do for a leg.
#[derive(Debug)]
pub(crate) enum LegCommand {
    Play(PlayoutChunk),
    Clear(Duration),
    Dtmf(Vec<Digit>),
    Update(MediaParameters),
}

/// What the wheel and the outside of a leg share.
#[derive(Debug, Default)]
pub(crate) struct LegShared {
    commands: Mutex<Vec<LegCommand>>,
    /// Spares the wheel the lock on the many ticks that bring no command.
    commanded: AtomicBool,
    closed: AtomicBool,
    statistics: Mutex<MediaStatistics>,
}

impl LegShared {
    /// Queues a command. A leg that is closed takes no more, however long the agent holds on to
    /// its door.
    pub(crate) fn push(&self, command: LegCommand) {
        if self.is_closed() {
            return;
        }
        locked(&self.commands).push(command);
        self.commanded.store(true, Ordering::Release);
    }

    /// Moves what is queued into `commands`, in order.
    pub(crate) fn take_commands(&self, commands: &mut Vec<LegCommand>) {
        if self.commanded.swap(false, Ordering::AcqRel) {
            commands.append(&mut locked(&self.commands));
        }
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn publish(&self, statistics: MediaStatistics) {
        *locked(&self.statistics) = statistics;
    }

    pub(crate) fn statistics(&self) -> MediaStatistics {
        *locked(&self.statistics)
    }
}

impl MediaControl for LegShared {
    fn play(&self, chunk: PlayoutChunk) {
        self.push(LegCommand::Play(chunk));
    }

    fn clear(&self, fade: Duration) {
        self.push(LegCommand::Clear(fade));
    }

    fn send_dtmf(&self, digits: &[Digit]) {
        self.push(LegCommand::Dtmf(digits.to_vec()));
    }
}

/// A panic elsewhere while the lock was held leaves these plain values whole, so poison is
/// ignored.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
