//! Notices that nobody has spoken for a while and that nobody is about to.

use std::time::Duration;

use trunkline_types::CallTime;

/// Watches the silence of both sides.
#[derive(Debug)]
pub(crate) struct IdleWatch {
    patience: Duration,
    silent_since: CallTime,
    count: u32,
    /// Lines are queued or playing.
    agent_busy: bool,
    /// The agent is working on its next line. So it is before the first one.
    agent_due: bool,
}

impl IdleWatch {
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            patience,
            silent_since: CallTime::ZERO,
            count: 0,
            agent_busy: false,
            agent_due: true,
        }
    }

    /// The agent has lines to speak.
    pub(crate) fn agent_queued(&mut self) {
        self.agent_busy = true;
        self.agent_due = false;
    }

    /// The agent has spoken all its lines.
    pub(crate) fn agent_finished(&mut self, at: CallTime) {
        self.agent_busy = false;
        self.silent_since = at;
    }

    /// The agent waits for the caller.
    pub(crate) fn agent_waits(&mut self, at: CallTime) {
        self.agent_due = false;
        self.silent_since = at;
    }

    /// The caller's turn ended: the agent owes a line.
    pub(crate) fn caller_spoke(&mut self) {
        self.count = 0;
        self.agent_due = true;
    }

    /// The caller pressed a key.
    pub(crate) fn caller_keyed(&mut self, at: CallTime) {
        self.count = 0;
        self.silent_since = at;
    }

    /// Takes a frame, which has sound of either side or not. Gives the count when it is time to ask.
    pub(crate) fn frame(&mut self, at: CallTime, sound: bool) -> Option<u32> {
        if sound || self.agent_busy || self.agent_due {
            self.silent_since = at;
            return None;
        }
        if at.since(self.silent_since) < self.patience {
            return None;
        }
        self.silent_since = at;
        self.count += 1;
        Some(self.count)
    }
}
