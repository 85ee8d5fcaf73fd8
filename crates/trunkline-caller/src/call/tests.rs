use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::sync::mpsc;
use trunkline_audio::Tone;
use trunkline_gateway::{Gateway, GatewayConfig, NumberConfig, SipConfig, TrunkConfig};
use trunkline_leg::RejectReason;
use trunkline_media::{MediaConfig, MediaWheel};
use trunkline_types::Digit;

use super::*;
use crate::report::TurnKind;
use crate::voice::VoiceTrace;

const SCENARIO: &str = r#"
    voice = "none"
    end_of_turn_ms = 500
    limits = { answer_s = 10, reply_s = 5, agent_speech_s = 10, call_s = 30 }
    gates = { wer_max = 1.0, voice_to_voice_p95_ms_max = 1e9, barge_in_stop_ms_max = 1e9, turns_min = 0 }

    [[step]]
    action = "say"
    text = "a line"

    [[step]]
    action = "dtmf"
    digits = "4#"

    [[step]]
    action = "expect_hangup"
"#;

fn tone(ms: usize) -> Vec<i16> {
    Tone::new(1000.0, -15.0, SAMPLE_RATE_HZ).take(ms * 16)
}

/// An agent on another gateway of this process, and the line to it.
async fn rig() -> (Gateway, mpsc::Receiver<CallLeg>, Target, Line) {
    let wheel = MediaWheel::start(MediaConfig {
        port_min: 27_000,
        port_max: 27_999,
        ..MediaConfig::default()
    })
    .unwrap();
    let trunk: TrunkConfig = toml::from_str("name = \"local\"\npeers = [\"127.0.0.1\"]").unwrap();
    let number: NumberConfig = toml::from_str("number = \"demo\"\nworkflow = \"echo\"").unwrap();
    let config = GatewayConfig {
        sip: SipConfig {
            listen_udp: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            ..SipConfig::default()
        },
        trunks: vec![trunk],
        numbers: vec![number],
    };
    let (sender, incoming) = mpsc::channel(4);
    let gateway = Gateway::start(config, Arc::new(wheel), sender)
        .await
        .unwrap();
    let target: Target = format!("sip:demo@{}", gateway.local_udp()[0])
        .parse()
        .unwrap();
    let line = Line::open(&target, "28000-28999".parse().unwrap())
        .await
        .unwrap();
    (gateway, incoming, target, line)
}

/// Greets, answers each stretch of speech, answers the last key and hangs up. Returns the keys.
async fn agent(mut incoming: mpsc::Receiver<CallLeg>) -> String {
    let mut leg = incoming.recv().await.unwrap();
    leg.signalling.send(SignallingCommand::Answer).unwrap();
    let mut keys = String::new();
    let mut caller = VoiceTrace::default();
    let mut answered_until = CallTime::ZERO;
    let mut utterance = 0;
    let mut speak = |leg: &CallLeg| {
        leg.media.play(PlayoutChunk {
            utterance: UtteranceId(utterance),
            clause: 0,
            source: AudioSource::Clip,
            pcm: tone(400),
        });
        utterance += 1;
    };
    let mut is_leaving = false;
    while let Some(event) = leg.events.recv().await {
        match event {
            LegEvent::Answered { .. } => speak(&leg),
            LegEvent::Tick(tick) => {
                caller.take(&tick.caller, tick.at);
                let voice = caller.last_from(answered_until);
                if let Some(voice) = voice
                    && tick.at.since(voice.end) >= Duration::from_millis(500)
                {
                    answered_until = tick.at;
                    speak(&leg);
                }
                is_leaving |= keys.ends_with('#') && tick.playing.is_some();
                if is_leaving && tick.playing.is_none() {
                    let reason = EndReason::WorkflowEnded;
                    let _ = leg.signalling.send(SignallingCommand::Hangup(reason));
                }
            }
            LegEvent::Dtmf { digit, .. } => {
                keys.push(digit.as_char());
                if digit == Digit::try_from('#').unwrap() {
                    speak(&leg);
                }
            }
            LegEvent::Ended { .. } => break,
            _ => {}
        }
    }
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_call_is_spoken_keyed_measured_and_ended_by_the_agent() {
    let (gateway, incoming, target, line) = rig().await;
    let agent = tokio::spawn(agent(incoming));
    let scenario = Scenario::parse(SCENARIO).unwrap();
    let lines = [tone(600), Vec::new(), Vec::new()];
    let record = tempfile::NamedTempFile::new().unwrap();
    let report = place(&line, &target, &scenario, &lines, Some(record.path()))
        .await
        .unwrap();
    line.close().await;
    assert_eq!(report.failure, None, "{report:#?}");
    assert_eq!(agent.await.unwrap(), "4#");
    gateway.shutdown().await;

    let kinds: Vec<TurnKind> = report.turns.iter().map(|turn| turn.kind).collect();
    assert_eq!(kinds, [TurnKind::Say, TurnKind::Dtmf]);
    assert!(report.turns.iter().all(|turn| turn.answered));
    // The agent waits for half a second of silence before it answers.
    assert!(report.turns[0].voice_to_voice_ms.unwrap() >= 500.0);
    let recorded = std::fs::read(record.path()).unwrap();
    let wav = trunkline_audio::Wav::parse(&recorded).unwrap();
    assert!(trunkline_audio::rms_dbfs(&wav.channel(0)) > -50.0);
    assert!(trunkline_audio::rms_dbfs(&wav.channel(1)) > -50.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_is_told_with_the_reason_of_the_far_end() {
    let (gateway, mut incoming, target, line) = rig().await;
    let refuses = tokio::spawn(async move {
        let leg = incoming.recv().await.unwrap();
        leg.signalling
            .send(SignallingCommand::Reject(RejectReason::Busy))
            .unwrap();
        leg
    });
    let scenario = Scenario::parse(SCENARIO).unwrap();
    let report = place(&line, &target, &scenario, &[], None).await.unwrap();
    let failure = report.failure.unwrap();
    assert!(failure.contains("486"), "{failure}");
    assert_eq!(report.turns, []);
    drop(refuses.await.unwrap());
    line.close().await;
    gateway.shutdown().await;
}
