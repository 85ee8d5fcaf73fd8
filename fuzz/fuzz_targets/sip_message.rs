//! SIP messages, as a datagram and as what was framed on a stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkline_gateway::wire::{Transport, check_message};

fuzz_target!(|bytes: &[u8]| {
    let _ = check_message(bytes, Transport::Udp);
    let _ = check_message(bytes, Transport::Tcp);
});
