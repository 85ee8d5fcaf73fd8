//! From what SDP settled to what the media wheel needs.

use std::net::SocketAddr;
use std::sync::Arc;

use trunkline_media::{MediaParameters, MediaPort};

use super::Shared;
use crate::random;
use crate::sdp::{Agreed, Local};
use crate::stack::Flow;

/// Our side of the SDP exchange for a reserved port. The far end of `flow` must be able to reach
/// the address.
pub(super) fn local_session(shared: &Arc<Shared>, port: &MediaPort, flow: &Flow) -> Local {
    let bound = port.local_rtp();
    let ip = match shared.config.external_address {
        Some(external) => external,
        // Where signalling reaches us, media does too.
        None if bound.ip().is_unspecified() => flow.visible.ip(),
        None => bound.ip(),
    };
    let session = u64::from_le_bytes(random::bytes());
    Local::new(SocketAddr::new(ip, bound.port()), session)
}

/// The wheel's view of an agreement.
pub(super) fn parameters(agreed: &Agreed) -> MediaParameters {
    MediaParameters {
        remote: agreed.remote,
        codec: agreed.codec,
        payload_type: agreed.payload_type,
        telephone_event: agreed.telephone_event,
        ptime: agreed.ptime,
        receive: agreed.direction.receives(),
        send: agreed.direction.sends(),
    }
}
