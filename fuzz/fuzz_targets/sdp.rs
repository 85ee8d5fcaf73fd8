//! Session descriptions: each is read, answered, and the answer read again.
#![no_main]

use std::net::{Ipv4Addr, SocketAddr};

use libfuzzer_sys::fuzz_target;
use trunkline_gateway::sdp;

fuzz_target!(|bytes: &[u8]| {
    let rtp = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 4000));
    if let Ok(answer) = sdp::answer_to(bytes, rtp) {
        // It may hold our own refusals of other streams, but must be one that we would accept.
        assert!(sdp::answer_to(answer.as_bytes(), rtp).is_ok(), "{answer}");
    }
});
