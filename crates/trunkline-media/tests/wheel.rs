//! Legs on a wheel that talk to each other over sockets on the loopback.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail with the test"
)]

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use trunkline_audio::{Tone, rms_dbfs, tone_dbfs};
use trunkline_leg::{AudioSource, CallerAudio, LegEvent, MediaTick, PlayoutChunk};
use trunkline_media::{
    Codec, MediaConfig, MediaError, MediaNotice, MediaParameters, MediaPort, MediaWheel,
};
use trunkline_types::{Digit, UtteranceId};

/// Far beyond what any wait here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Each test has a range of its own, away from the ephemeral ports of the system.
fn wheel(port_min: u16, port_max: u16) -> MediaWheel {
    wheel_with(MediaConfig {
        port_min,
        port_max,
        ..MediaConfig::default()
    })
}

fn wheel_with(config: MediaConfig) -> MediaWheel {
    MediaWheel::start(config).unwrap()
}

struct Leg {
    port: MediaPort,
    events: mpsc::Receiver<LegEvent>,
    notices: mpsc::UnboundedReceiver<MediaNotice>,
    keys: Vec<Digit>,
}

impl Leg {
    fn connect(port: MediaPort, parameters: MediaParameters) -> Self {
        let (to_events, events) = mpsc::channel(1000);
        let (to_notices, notices) = mpsc::unbounded_channel();
        port.connect(parameters, to_events, to_notices);
        Self {
            port,
            events,
            notices,
            keys: Vec::new(),
        }
    }

    async fn tick(&mut self) -> MediaTick {
        loop {
            match timeout(PATIENCE, self.events.recv())
                .await
                .unwrap()
                .unwrap()
            {
                LegEvent::Tick(tick) => return tick,
                LegEvent::Dtmf { digit, .. } => self.keys.push(digit),
                other => panic!("the wheel does not tell {other:?}"),
            }
        }
    }

    async fn ticks(&mut self, count: usize) -> Vec<MediaTick> {
        let mut ticks = Vec::new();
        for _ in 0..count {
            ticks.push(self.tick().await);
        }
        ticks
    }

    async fn tick_where(&mut self, wanted: impl Fn(&MediaTick) -> bool) -> MediaTick {
        let searching = async {
            loop {
                let tick = self.tick().await;
                if wanted(&tick) {
                    return tick;
                }
            }
        };
        timeout(PATIENCE, searching).await.unwrap()
    }

    fn play(&self, pcm: Vec<i16>) {
        self.port.control().play(PlayoutChunk {
            utterance: UtteranceId(1),
            clause: 0,
            source: AudioSource::Clip,
            pcm,
        });
    }
}

fn parameters(remote: SocketAddr, codec: Codec) -> MediaParameters {
    MediaParameters {
        telephone_event: Some(101),
        ..MediaParameters::new(remote, codec)
    }
}

fn pair(wheel: &MediaWheel, codec: Codec) -> (Leg, Leg) {
    let (left, right) = (wheel.reserve().unwrap(), wheel.reserve().unwrap());
    let (to_left, to_right) = (left.local_rtp(), right.local_rtp());
    (
        Leg::connect(left, parameters(to_right, codec)),
        Leg::connect(right, parameters(to_left, codec)),
    )
}

fn caller_pcm(ticks: &[MediaTick]) -> Vec<i16> {
    ticks.iter().flat_map(|tick| *tick.caller.0).collect()
}

#[tokio::test]
async fn what_one_leg_plays_the_other_hears_in_every_codec() {
    let wheel = wheel(16_000, 16_099);
    for codec in Codec::ALL {
        let (left, mut right) = pair(&wheel, codec);
        left.play(Tone::new(1000.0, -12.0, 16_000).take(32_000));
        right
            .tick_where(|tick| rms_dbfs(&tick.caller.0[..]) > -20.0)
            .await;
        let heard = caller_pcm(&right.ticks(50).await);
        let level = tone_dbfs(&heard, 1000.0, 16_000);
        assert!((level + 12.0).abs() < 1.0, "{codec}: {level}");
    }
}

#[tokio::test]
async fn the_call_clock_grows_by_exactly_one_tick_and_marks_what_was_played() {
    let wheel = wheel(16_100, 16_199);
    let (mut left, _right) = pair(&wheel, Codec::Pcmu);
    left.play(vec![5000; 16_000]);
    let ticks = left.ticks(40).await;
    for (n, tick) in ticks.iter().enumerate() {
        assert_eq!(tick.at.as_millis(), 20 * (n as u64 + 1));
        assert_eq!(
            tick.playing.map(|mark| mark.played_ms),
            Some(20 * (n as u32 + 1))
        );
    }
}

#[tokio::test]
async fn keys_come_through_both_ways() {
    let wheel = wheel(16_200, 16_299);
    let (mut left, mut right) = pair(&wheel, Codec::Pcmu);
    let digits = |text: &str| -> Vec<Digit> {
        text.chars()
            .map(|key| Digit::try_from(key).unwrap())
            .collect()
    };
    left.port.control().send_dtmf(&digits("147*"));
    right.port.control().send_dtmf(&digits("0#D"));
    left.ticks(70).await;
    right.ticks(70).await;
    assert_eq!(right.keys, digits("147*"));
    assert_eq!(left.keys, digits("0#D"));
}

#[tokio::test]
async fn a_clear_is_silence_after_the_very_next_tick() {
    let wheel = wheel(16_300, 16_399);
    let (mut left, mut right) = pair(&wheel, Codec::Pcmu);
    left.play(Tone::new(1000.0, -12.0, 16_000).take(160_000));
    right
        .tick_where(|tick| rms_dbfs(&tick.caller.0[..]) > -20.0)
        .await;
    // Whatever waits in the channel was sent before the clear.
    while left.events.try_recv().is_ok() {}
    left.port.control().clear(Duration::from_millis(10));
    let ticks = left.ticks(5).await;
    let sounding: Vec<usize> = ticks
        .iter()
        .enumerate()
        .filter(|(_, tick)| tick.playing.is_some())
        .map(|(n, _)| n)
        .collect();
    // The tick that was under way when the clear came may have sounded in full; the next fades.
    assert!(sounding.len() <= 2, "{sounding:?}");
    assert!(
        ticks[2..]
            .iter()
            .all(|tick| tick.agent.0.iter().all(|s| *s == 0))
    );
    right
        .tick_where(|tick| rms_dbfs(&tick.caller.0[..]) < -60.0)
        .await;
}

#[tokio::test]
async fn hold_silences_the_caller_keeps_the_clock_and_resumes() {
    let wheel = wheel_with(MediaConfig {
        port_min: 16_400,
        port_max: 16_499,
        rtp_timeout_s: 1,
        ..MediaConfig::default()
    });
    let (mut left, right) = pair(&wheel, Codec::Pcmu);
    right.play(Tone::new(1000.0, -12.0, 16_000).take(160_000));
    left.tick_where(|tick| rms_dbfs(&tick.caller.0[..]) > -20.0)
        .await;
    let active = parameters(right.port.local_rtp(), Codec::Pcmu);
    left.port.update(MediaParameters {
        receive: false,
        send: false,
        ..active.clone()
    });
    left.tick_where(|tick| tick.caller_audio == CallerAudio::Absent)
        .await;
    // Longer than the RTP timeout.
    let held = left.ticks(75).await;
    assert!(
        held.iter()
            .all(|tick| tick.caller_audio == CallerAudio::Absent)
    );
    assert!(
        held.windows(2)
            .all(|pair| pair[1].at.since(pair[0].at) == Duration::from_millis(20))
    );
    while let Ok(notice) = left.notices.try_recv() {
        assert!(!matches!(notice, MediaNotice::RtpTimeout { .. }));
    }
    left.port.update(active);
    left.tick_where(|tick| rms_dbfs(&tick.caller.0[..]) > -20.0)
        .await;
}

#[tokio::test]
async fn a_peer_that_vanishes_is_told_once() {
    let wheel = wheel_with(MediaConfig {
        port_min: 16_500,
        port_max: 16_599,
        rtp_timeout_s: 1,
        ..MediaConfig::default()
    });
    let (mut left, right) = pair(&wheel, Codec::Pcmu);
    let first = timeout(PATIENCE, left.notices.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first, MediaNotice::Latched(right.port.local_rtp()));
    drop(right);
    let second = timeout(PATIENCE, left.notices.recv())
        .await
        .unwrap()
        .unwrap();
    assert!(
        matches!(second, MediaNotice::RtpTimeout { silent_for } if silent_for >= Duration::from_secs(1))
    );
    left.ticks(60).await;
    assert!(left.notices.try_recv().is_err());
}

#[tokio::test]
async fn ports_run_out_with_a_clear_message_and_come_back_when_a_leg_is_dropped() {
    let wheel = wheel(16_600, 16_603);
    let (left, mut right) = pair(&wheel, Codec::Pcmu);
    let error = wheel.reserve().unwrap_err();
    assert!(matches!(error, MediaError::NoFreePort { .. }));
    assert!(error.to_string().contains("16600"), "{error}");
    drop(left);
    let free_again = async {
        loop {
            right.tick().await;
            if let Ok(port) = wheel.reserve() {
                return port;
            }
        }
    };
    timeout(PATIENCE, free_again).await.unwrap();
}

#[tokio::test]
async fn a_port_that_another_program_holds_is_passed_over() {
    let _taken = UdpSocket::bind("127.0.0.1:16700").unwrap();
    let _odd_taken = UdpSocket::bind("127.0.0.1:16703").unwrap();
    let wheel = wheel(16_700, 16_799);
    assert_eq!(wheel.reserve().unwrap().local_rtp().port(), 16_704);
}

#[tokio::test]
async fn a_leg_without_an_address_answers_where_packets_come_from() {
    let wheel = wheel(16_800, 16_899);
    let (left, right) = (wheel.reserve().unwrap(), wheel.reserve().unwrap());
    let to_left = left.local_rtp();
    let unknown: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let left = Leg::connect(left, parameters(unknown, Codec::Pcmu));
    // Nothing of this is lost while there is nowhere to send.
    left.play(Tone::new(1000.0, -12.0, 16_000).take(16_000));
    let mut right = Leg::connect(right, parameters(to_left, Codec::Pcmu));
    right
        .tick_where(|tick| rms_dbfs(&tick.caller.0[..]) > -20.0)
        .await;
}

#[tokio::test]
async fn an_agent_that_does_not_listen_holds_up_nothing_and_is_counted() {
    let wheel = wheel(16_900, 16_999);
    let port = wheel.reserve().unwrap();
    let (to_events, _events) = mpsc::channel(1);
    let (to_notices, _notices) = mpsc::unbounded_channel();
    let nowhere: SocketAddr = "127.0.0.1:9".parse().unwrap();
    port.connect(parameters(nowhere, Codec::Pcmu), to_events, to_notices);
    let (_left, mut right) = pair(&wheel, Codec::Pcmu);
    right.ticks(120).await;
    let statistics = port.statistics();
    assert!(statistics.events_dropped >= 49, "{statistics:?}");
    assert!(statistics.rtp.packets_sent >= 50, "{statistics:?}");
}
