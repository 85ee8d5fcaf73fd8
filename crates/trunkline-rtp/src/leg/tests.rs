use trunkline_audio::{Tone, dtmf_frequencies_hz, rms_dbfs, tone_dbfs};
use trunkline_types::TICK;

use super::*;

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn config() -> RtpConfig {
    RtpConfig {
        jitter: JitterConfig::default(),
        timeout: Duration::from_secs(30),
    }
}

fn identity(ssrc: u32) -> StreamIdentity {
    StreamIdentity {
        ssrc,
        sequence: 65_500,
        timestamp: u32::MAX - 3000,
    }
}

fn parameters(remote: u16, codec: Codec) -> MediaParameters {
    MediaParameters {
        telephone_event: Some(101),
        ..MediaParameters::new(address(remote), codec)
    }
}

/// Two legs that talk to each other in virtual time.
struct Talk {
    now: CallTime,
    left: RtpLeg,
    right: RtpLeg,
    heard_left: Vec<i16>,
    heard_right: Vec<i16>,
    sources_right: Vec<FrameSource>,
}

impl Talk {
    fn new(left: MediaParameters, right: MediaParameters) -> Self {
        let now = CallTime::ZERO;
        Self {
            now,
            left: RtpLeg::new(now, config(), left, identity(1)),
            right: RtpLeg::new(now, config(), right, identity(2)),
            heard_left: Vec::new(),
            heard_right: Vec::new(),
            sources_right: Vec::new(),
        }
    }

    fn plain(codec: Codec) -> Self {
        Self::new(parameters(2000, codec), parameters(1000, codec))
    }

    /// One tick; `lost` decides about each packet from left to right.
    fn tick(&mut self, from_left: &[i16], from_right: &[i16], mut lost: impl FnMut() -> bool) {
        let now = self.now;
        let right = &mut self.right;
        self.left.send(from_left, |to, datagram| {
            assert_eq!(to, address(2000));
            if !lost() {
                right.receive(now, address(1000), datagram);
            }
        });
        let left = &mut self.left;
        self.right.send(from_right, |_, datagram| {
            left.receive(now, address(2000), datagram);
        });
        let samples = self.left.codec().frame_samples();
        let mut frame = vec![0; samples];
        self.left.poll_frame(now, &mut frame);
        self.heard_left.extend(&frame);
        let source = self.right.poll_frame(now, &mut frame);
        self.heard_right.extend(&frame);
        self.sources_right.push(source);
        self.now = now + TICK;
    }

    fn keys_right(&mut self) -> Vec<KeyPress> {
        std::iter::from_fn(|| self.right.poll_notice())
            .filter_map(|notice| match notice {
                RtpNotice::Key(press) => Some(press),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn a_tone_is_heard_at_its_level_both_ways_in_every_codec() {
    for codec in Codec::ALL {
        let rate = codec.sample_rate_hz();
        let mut talk = Talk::plain(codec);
        let (mut low, mut high) = (
            Tone::new(440.0, -12.0, rate),
            Tone::new(1900.0, -18.0, rate),
        );
        for _ in 0..100 {
            let samples = codec.frame_samples();
            talk.tick(&low.take(samples), &high.take(samples), || false);
        }
        let settled = rate as usize / 2;
        let right = tone_dbfs(&talk.heard_right[settled..], 440.0, rate);
        let left = tone_dbfs(&talk.heard_left[settled..], 1900.0, rate);
        assert!((right + 12.0).abs() < 0.5, "{codec}: {right}");
        assert!((left + 18.0).abs() < 0.5, "{codec}: {left}");
        assert!(tone_dbfs(&talk.heard_right[settled..], 1900.0, rate) < -40.0);
        assert_eq!(talk.right.statistics().packets_lost, 0);
    }
}

#[test]
fn every_packet_time_is_sent_and_understood() {
    for ptime_ms in [10, 20, 30, 40, 60] {
        let left = MediaParameters {
            ptime: Duration::from_millis(ptime_ms),
            ..parameters(2000, Codec::Pcma)
        };
        let mut talk = Talk::new(left, parameters(1000, Codec::Pcma));
        let mut tone = Tone::new(440.0, -12.0, 8000);
        for _ in 0..150 {
            talk.tick(&tone.take(160), &[0; 160], || false);
        }
        let level = tone_dbfs(&talk.heard_right[8000..], 440.0, 8000);
        assert!((level + 12.0).abs() < 0.5, "{ptime_ms} ms: {level}");
        let packets = talk.right.statistics().packets_received;
        assert!(
            packets.abs_diff(3000 / ptime_ms) <= 1,
            "{ptime_ms} ms: {packets}"
        );
    }
}

#[test]
fn lost_packets_are_concealed_counted_and_barely_heard() {
    let mut talk = Talk::plain(Codec::Pcmu);
    let mut tone = Tone::new(200.0, -12.0, 8000);
    let mut n = 0;
    for _ in 0..500 {
        talk.tick(&tone.take(160), &[0; 160], || {
            n += 1;
            n % 20 == 0
        });
    }
    let statistics = talk.right.statistics();
    assert!((24..=25).contains(&statistics.packets_lost));
    assert!((24..=26).contains(&statistics.frames_concealed));
    let level = tone_dbfs(&talk.heard_right[8000..], 200.0, 8000);
    assert!((level + 12.0).abs() < 1.0, "{level}");
    let absent = talk.sources_right[5..]
        .iter()
        .filter(|source| **source == FrameSource::Absent);
    assert_eq!(absent.count(), 0);
}

#[test]
fn keys_arrive_at_thirty_percent_loss_and_make_no_sound() {
    let mut talk = Talk::plain(Codec::Pcmu);
    let digits: Vec<Digit> = (0..200)
        .filter_map(|n| Digit::from_event((n * 5 % 16) as u8))
        .collect();
    for _ in 0..10 {
        talk.tick(&[0; 160], &[0; 160], || false);
    }
    talk.left.send_keys(&digits);
    let mut state = 12_345u32;
    let mut heard = Vec::new();
    for _ in 0..200 * 13 + 30 {
        talk.tick(&[0; 160], &[0; 160], || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % 10 < 3
        });
        heard.extend(talk.keys_right().into_iter().map(|press| press.digit));
    }
    assert_eq!(heard, digits);
    assert!(rms_dbfs(&talk.heard_right) < -60.0);
}

#[test]
fn a_far_end_without_telephone_events_gets_tones() {
    let plain = MediaParameters::new(address(2000), Codec::Pcmu);
    let mut talk = Talk::new(plain, parameters(1000, Codec::Pcmu));
    for _ in 0..10 {
        talk.tick(&[0; 160], &[0; 160], || false);
    }
    let digit = Digit::try_from('8').unwrap();
    talk.left.send_keys(&[digit]);
    assert!(!talk.left.takes_audio());
    let start = talk.heard_right.len();
    for _ in 0..10 {
        talk.tick(&[0; 160], &[0; 160], || false);
    }
    let (low, high) = dtmf_frequencies_hz(digit);
    let sounding = &talk.heard_right[start + 320..start + 800];
    assert!(tone_dbfs(sounding, low, 8000) > -12.0);
    assert!(tone_dbfs(sounding, high, 8000) > -12.0);
}

#[test]
fn garbage_and_strangers_are_ignored_and_counted() {
    let mut talk = Talk::plain(Codec::Pcmu);
    let mut tone = Tone::new(440.0, -12.0, 8000);
    let mut stranger = RtpLeg::new(
        CallTime::ZERO,
        config(),
        parameters(2000, Codec::Pcmu),
        identity(666),
    );
    for n in 0..100u8 {
        let now = talk.now;
        talk.right.receive(now, address(1000), &[n; 40]);
        talk.right.receive(now, address(1000), &[]);
        let right = &mut talk.right;
        if n > 10 {
            stranger.send(&[20_000; 160], |_, datagram| {
                right.receive(now, address(9999), datagram);
            });
        }
        talk.tick(&tone.take(160), &[0; 160], || false);
    }
    let level = tone_dbfs(&talk.heard_right[4000..], 440.0, 8000);
    assert!((level + 12.0).abs() < 0.5, "{level}");
    let statistics = talk.right.statistics();
    assert_eq!(statistics.datagrams_ignored, 200 + 89);
    assert_eq!(statistics.remote, Some(address(1000)));
}

#[test]
fn a_new_source_after_a_transfer_is_heard_at_once() {
    let mut talk = Talk::plain(Codec::Pcmu);
    let mut tone = Tone::new(440.0, -12.0, 8000);
    for _ in 0..50 {
        talk.tick(&tone.take(160), &[0; 160], || false);
    }
    talk.left = RtpLeg::new(
        talk.now,
        config(),
        parameters(2000, Codec::Pcmu),
        StreamIdentity {
            ssrc: 77,
            sequence: 3,
            timestamp: 900,
        },
    );
    let start = talk.heard_right.len();
    for _ in 0..50 {
        talk.tick(&tone.take(160), &[0; 160], || false);
    }
    let level = tone_dbfs(&talk.heard_right[start + 480..], 440.0, 8000);
    assert!((level + 12.0).abs() < 0.5, "{level}");
    assert_eq!(talk.right.statistics().packets_lost, 0);
}

#[test]
fn silence_is_told_once_and_not_while_held() {
    let mut leg = RtpLeg::new(
        CallTime::ZERO,
        config(),
        parameters(2000, Codec::Pcmu),
        identity(1),
    );
    let mut frame = [0; 160];
    let mut timeouts_until = |leg: &mut RtpLeg, from_s: u64, to_s: u64| {
        let mut told = 0;
        for tick in from_s * 50..to_s * 50 {
            leg.poll_frame(CallTime::from_millis(tick * 20), &mut frame);
            told += std::iter::from_fn(|| leg.poll_notice()).count();
        }
        told
    };
    assert_eq!(timeouts_until(&mut leg, 0, 29), 0);
    assert_eq!(timeouts_until(&mut leg, 29, 90), 1);

    let held = MediaParameters {
        receive: false,
        send: false,
        ..parameters(2000, Codec::Pcmu)
    };
    leg.update(CallTime::from_millis(90_000), held);
    assert_eq!(timeouts_until(&mut leg, 90, 200), 0);
    leg.send(&[0; 160], |_, _| panic!("a held far end is sent nothing"));
    leg.update(
        CallTime::from_millis(200_000),
        parameters(2000, Codec::Pcmu),
    );
    assert_eq!(timeouts_until(&mut leg, 200, 229), 0);
    assert_eq!(timeouts_until(&mut leg, 229, 232), 1);
}

#[test]
fn music_sent_while_held_is_neither_heard_nor_counted_as_lost() {
    let mut talk = Talk::plain(Codec::Pcmu);
    let mut tone = Tone::new(440.0, -12.0, 8000);
    for phase in 0..3 {
        let held = MediaParameters {
            receive: phase != 1,
            ..parameters(1000, Codec::Pcmu)
        };
        talk.right.update(talk.now, held);
        talk.heard_right.clear();
        for _ in 0..50 {
            talk.tick(&tone.take(160), &[0; 160], || false);
        }
        let loud = rms_dbfs(&talk.heard_right) > -20.0;
        assert_eq!(loud, phase != 1, "phase {phase}");
    }
    assert_eq!(talk.right.statistics().packets_lost, 0);
}

#[test]
fn a_codec_change_goes_on_with_the_same_source_and_timeline() {
    let mut talk = Talk::plain(Codec::Pcmu);
    for _ in 0..50 {
        talk.tick(&[1000; 160], &[0; 160], || false);
    }
    let now = talk.now;
    talk.left.update(now, parameters(2000, Codec::G722));
    talk.right.update(now, parameters(1000, Codec::G722));
    let mut tone = Tone::new(5000.0, -12.0, 16_000);
    talk.heard_right.clear();
    for _ in 0..50 {
        talk.tick(&tone.take(320), &[0; 320], || false);
    }
    let level = tone_dbfs(&talk.heard_right[4000..], 5000.0, 16_000);
    assert!((level + 12.0).abs() < 1.0, "{level}");
    let statistics = talk.right.statistics();
    assert_eq!(
        (statistics.packets_received, statistics.packets_lost),
        (100, 0)
    );
}

#[test]
fn comfort_noise_is_heard_as_noise_and_not_as_speech() {
    let mut talk = Talk::plain(Codec::Pcmu);
    for _ in 0..20 {
        talk.tick(&[3000; 160], &[0; 160], || false);
    }
    let header = crate::RtpHeader {
        marker: false,
        payload_type: COMFORT_NOISE_PAYLOAD_TYPE,
        sequence: 65_500u16.wrapping_add(20),
        timestamp: (u32::MAX - 3000).wrapping_add(20 * 160),
        ssrc: 1,
    };
    let mut datagram = Vec::new();
    header.build(&[55], &mut datagram);
    talk.right.receive(talk.now, address(1000), &datagram);
    let mut frame = [0; 160];
    for n in 0..30 {
        let source = talk.right.poll_frame(talk.now, &mut frame);
        talk.now = talk.now + TICK;
        if n > 5 {
            assert_eq!(source, FrameSource::Absent);
            let level = rms_dbfs(&frame);
            assert!((level + 55.0).abs() < 3.0, "{level}");
        }
    }
}

#[test]
fn reports_measure_the_round_trip_and_the_loss() {
    let mut talk = Talk::plain(Codec::Pcmu);
    let one_way = Duration::from_millis(30);
    let ntp = |now: CallTime| NtpTime::from_unix_micros(1_800_000_000_000_000 + now.as_micros());
    let mut in_flight: Vec<(CallTime, bool, Vec<u8>)> = Vec::new();
    let mut n = 0;
    for _ in 0..2000 {
        talk.tick(&[0; 160], &[0; 160], || {
            n += 1;
            n % 4 == 0
        });
        let now = talk.now;
        let mut datagram = Vec::new();
        if talk.left.poll_rtcp(now, || ntp(now), &mut datagram) == Some(address(2001)) {
            in_flight.push((now + one_way, true, datagram.clone()));
        }
        if talk
            .right
            .poll_rtcp(now, || ntp(now), &mut datagram)
            .is_some()
        {
            in_flight.push((now + one_way, false, datagram.clone()));
        }
        in_flight.retain(|(due, to_right, datagram)| {
            if *due <= now {
                let leg = if *to_right {
                    &mut talk.right
                } else {
                    &mut talk.left
                };
                leg.receive_rtcp(*due, address(if *to_right { 1001 } else { 2001 }), datagram);
            }
            *due > now
        });
    }
    let statistics = talk.left.statistics();
    let round_trip = statistics.round_trip.unwrap();
    assert!(
        round_trip.abs_diff(one_way * 2) < Duration::from_millis(2),
        "{round_trip:?}"
    );
    let loss = statistics.far_end_loss.unwrap();
    assert!((loss - 0.25).abs() < 0.03, "{loss}");
}
