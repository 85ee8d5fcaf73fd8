//! The scheduler against a network that notices a wrong block, driven at random.

mod driver;
mod load;
mod network;
mod properties;

use std::time::Duration;

use trunkline_types::{CallId, Timestamp};

use crate::*;

/// The call with this number.
pub(crate) fn call(number: u8) -> CallId {
    CallId::new(Timestamp::from_micros(0), [number; 10])
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A turn-critical request of call 0 and tenant 0 in the cache of salt 0.
pub(crate) fn request(prompt: &[Token]) -> Request {
    Request {
        origin: Origin {
            call: call(0),
            epoch: Epoch(0),
            tenant: TenantId(0),
        },
        class: Class::TurnCritical,
        due: Due::at(ms(100)),
        prompt: prompt.to_vec(),
        logits: Logits::Last,
        max_new_tokens: 16,
        pinned_prefix: 0,
        cache: Some(Salt(0)),
    }
}
