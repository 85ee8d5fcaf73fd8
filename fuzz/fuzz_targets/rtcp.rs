//! RTCP compounds: each is read, and given to a leg that then reports.
#![no_main]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use trunkline_rtp::{
    Codec, JitterConfig, MediaParameters, NtpTime, RtpConfig, RtpLeg, StreamIdentity,
    parse_compound,
};
use trunkline_types::CallTime;

fuzz_target!(|bytes: &[u8]| {
    let _ = parse_compound(bytes);
    let remote = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 4000));
    let config = RtpConfig {
        jitter: JitterConfig::default(),
        timeout: Duration::from_secs(1),
    };
    let parameters = MediaParameters::new(remote, Codec::Pcmu);
    let identity = StreamIdentity {
        ssrc: 1,
        sequence: 2,
        timestamp: 3,
    };
    let mut leg = RtpLeg::new(CallTime::ZERO, config, parameters, identity);
    leg.receive_rtcp(CallTime::ZERO, remote, bytes);
    let later = CallTime::from_millis(10_000);
    leg.receive_rtcp(later, remote, bytes);
    let mut report = Vec::new();
    leg.poll_rtcp(later, || NtpTime::from_unix_micros(0), &mut report);
    let _ = parse_compound(&report);
    let _ = leg.statistics();
});
