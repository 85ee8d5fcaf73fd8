//! A leg's RTP port. The input is a list of datagrams, each after a byte for the time that passed,
//! a byte for who sent it and a byte for its length.
#![no_main]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use trunkline_rtp::{
    Codec, ComfortNoise, EventPayload, JitterConfig, MediaParameters, RtpConfig, RtpLeg, RtpPacket,
    StreamIdentity,
};
use trunkline_types::CallTime;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(packet) = RtpPacket::parse(bytes) {
        let _ = EventPayload::parse(packet.payload);
        let _ = ComfortNoise::from_payload(packet.payload);
    }
    let Some((first, mut rest)) = bytes.split_first() else {
        return;
    };
    let codec = Codec::ALL[usize::from(*first) % Codec::ALL.len()];
    let remote = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 4000));
    let mut now = CallTime::ZERO;
    let mut leg = leg(now, MediaParameters::new(remote, codec));
    let mut frame = vec![0; codec.frame_samples()];
    while let [pause, sender, length, tail @ ..] = rest {
        let (datagram, tail) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = tail;
        now = now + Duration::from_millis(u64::from(*pause));
        let source = SocketAddr::new(remote.ip(), remote.port() + u16::from(*sender % 3));
        leg.receive(now, source, datagram);
        leg.poll_frame(now, &mut frame);
        while leg.poll_notice().is_some() {}
        leg.send(&frame, |_, _| {});
    }
    let _ = leg.statistics();
});

fn leg(now: CallTime, mut parameters: MediaParameters) -> RtpLeg {
    parameters.telephone_event = Some(101);
    let config = RtpConfig {
        jitter: JitterConfig::default(),
        timeout: Duration::from_secs(1),
    };
    let identity = StreamIdentity {
        ssrc: 1,
        sequence: 2,
        timestamp: 3,
    };
    RtpLeg::new(now, config, parameters, identity)
}
