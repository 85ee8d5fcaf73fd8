//! What happens to a leg, and what the agent may ask of it.

use std::time::Duration;

use trunkline_types::{Digit, EndReason};

use crate::MediaTick;

/// What happens on a leg.
#[derive(Debug, Clone, PartialEq)]
pub enum LegEvent {
    /// The far end is being alerted (outbound).
    Ringing,
    /// Media flows. Inbound: our answer was acknowledged. Outbound: the far end answered.
    Answered {
        /// The codec on the wire, e.g. `PCMU/8000`.
        codec: String,
    },
    /// 20 ms of both directions.
    Tick(MediaTick),
    /// The caller pressed a key; sent once per key, when it is certain.
    Dtmf {
        /// The key.
        digit: Digit,
        /// How long it was held.
        held: Duration,
    },
    /// The far end put us on hold; ticks go on with silence from the caller.
    Held,
    /// The far end took us off hold.
    Resumed,
    /// The call is over; nothing follows.
    Ended {
        /// Why.
        reason: EndReason,
        /// What the far end or the network said, e.g. `486 Busy Here` or a Reason header.
        detail: Option<String>,
    },
}

/// What the agent may ask of a leg's signalling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignallingCommand {
    /// Alert the caller (180).
    Ring,
    /// Answer (200). [`LegEvent::Answered`] follows.
    Answer,
    /// Refuse before the answer. [`LegEvent::Ended`] follows.
    Reject(RejectReason),
    /// End the call for this reason. [`LegEvent::Ended`] follows with the same reason.
    Hangup(EndReason),
}

/// Why a call is refused before the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RejectReason {
    /// No capacity: 503 with Retry-After.
    AtCapacity {
        /// When to try again.
        retry_after: Duration,
    },
    /// Nobody to take it now: 486.
    Busy,
    /// A part that the call needs is not available: 500.
    Unavailable,
}
