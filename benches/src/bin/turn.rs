//! What the platform itself adds to a turn: calls in real time with models that take no time.
//!
//! Each call has a leg whose wheel is simulated here: every 20 ms a tick goes to the agent, and
//! what the agent plays is taken 20 ms at a time. The far end waits until the agent is silent,
//! speaks for 600 ms, and waits for the answer. The overhead of a turn is the time from the
//! decision that the caller is done to the agent's first sample, on the call's clock: in whole
//! ticks of 20 ms, so 0 means that the answer left with the very next frame. The wire is not in it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::mpsc;
use trunkline_agent::{Agent, AgentSettings, PublishedWorkflow};
use trunkline_benches::{Better, Report};
use trunkline_engine::instant::{InstantChat, InstantTranscriber, InstantVoice};
use trunkline_leg::{
    CallLeg, CallerAudio, FRAME_SAMPLES, Frame, LegEvent, LegInfo, MediaControl, MediaTick,
    PlayoutChunk, PlayoutMark, SignallingCommand,
};
use trunkline_store::Store;
use trunkline_types::{CallDirection, CallId, CallTime, Digit, EndReason, TICK, Timestamp};

const CALLS: u64 = 20;
const TALK: Duration = Duration::from_secs(24);
/// The far end speaks for so many ticks, after so many of silence.
const SPEECH_TICKS: u32 = 30;
const PAUSE_TICKS: u32 = 15;

const WORKFLOW: &str = r#"{
  "schema": "trunkline.workflow/1",
  "name": "endless",
  "slots": {"sure": {"kind": "yes_no"}},
  "nodes": [
    {"type": "start", "id": "start", "greeting": "Hello."},
    {"type": "agent", "id": "ask", "say": "Is it so?", "slots": ["sure"]},
    {"type": "agent", "id": "again", "say": "And now?", "slots": ["sure"]},
    {"type": "end", "id": "bye", "farewell": "Goodbye."}
  ],
  "edges": [
    {"from": "start", "to": "ask"},
    {"from": "ask", "to": "bye", "when": {"expression": "not sure"}},
    {"from": "ask", "to": "again"},
    {"from": "again", "to": "bye", "when": {"expression": "not sure"}},
    {"from": "again", "to": "ask"}
  ]
}"#;

#[derive(Default)]
struct Playout(Mutex<VecDeque<(PlayoutChunk, usize)>>);

impl Playout {
    /// Takes 20 ms.
    fn take(&self) -> Option<PlayoutMark> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (chunk, played) = queue.front_mut()?;
        *played += FRAME_SAMPLES;
        let mark = PlayoutMark {
            utterance: chunk.utterance,
            clause: chunk.clause,
            played_ms: u32::try_from(*played / 16).unwrap_or(u32::MAX),
            source: chunk.source,
        };
        if *played >= chunk.pcm.len() {
            queue.pop_front();
        }
        Some(mark)
    }
}

impl MediaControl for Playout {
    fn play(&self, chunk: PlayoutChunk) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match queue.back_mut() {
            Some((last, _)) if (last.utterance, last.clause) == (chunk.utterance, chunk.clause) => {
                last.pcm.extend(chunk.pcm);
            }
            _ => queue.push_back((chunk, 0)),
        }
    }

    fn clear(&self, _fade: Duration) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn send_dtmf(&self, _digits: &[Digit]) {}
}

/// One far end: ticks until the time is over, then hangs up.
async fn converse(
    events: mpsc::Sender<LegEvent>,
    mut commands: mpsc::UnboundedReceiver<SignallingCommand>,
    playout: Arc<Playout>,
    phase: Duration,
) {
    while let Some(command) = commands.recv().await {
        if command == SignallingCommand::Answer {
            break;
        }
    }
    tokio::time::sleep(phase).await;
    let codec = "PCMU/8000".to_owned();
    let _ = events.send(LegEvent::Answered { codec }).await;
    let mut beat = tokio::time::interval(TICK);
    let mut at = CallTime::ZERO;
    let (mut silent, mut speaking) = (0, 0);
    while at.since(CallTime::ZERO) < TALK {
        beat.tick().await;
        at = at + TICK;
        let playing = playout.take();
        silent = if playing.is_some() || speaking > 0 {
            0
        } else {
            silent + 1
        };
        // Long enough a silence that it is not the agent's end of turn that is waited for.
        if silent == PAUSE_TICKS + 40 {
            speaking = SPEECH_TICKS;
        }
        let speech = if speaking > 0 { 250 } else { 2 };
        speaking = speaking.saturating_sub(1);
        let tick = MediaTick {
            at,
            caller: Frame::silence(),
            caller_audio: CallerAudio::Received,
            speech,
            agent: Frame::silence(),
            playing,
        };
        if events.send(LegEvent::Tick(tick)).await.is_err() {
            return;
        }
    }
    let reason = EndReason::CallerHungUp;
    let _ = events
        .send(LegEvent::Ended {
            reason,
            detail: None,
        })
        .await;
}

fn percentile(sorted: &[u32], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    sorted.get(at).copied().map_or(f64::NAN, f64::from)
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(&folder.path().join("trunkline.db")).await?;
    let workflow = PublishedWorkflow {
        version: "1".to_owned(),
        document: WORKFLOW.to_owned(),
    };
    let agent = Agent::new(AgentSettings {
        store: store.clone(),
        recorder: None,
        transcriber: Arc::new(InstantTranscriber::new("yes")?),
        chat: Arc::new(InstantChat::new("yes")),
        voice: Arc::new(InstantVoice),
        voice_name: None,
        workflows: BTreeMap::from([("endless".to_owned(), workflow)]),
    });
    let mut ends = Vec::new();
    let mut ids = Vec::new();
    for number in 0..CALLS {
        let (events, received) = mpsc::channel(64);
        let (signalling, commands) = mpsc::unbounded_channel();
        let playout = Arc::new(Playout::default());
        let started = Timestamp::from_micros(1_000 * number);
        let call_id = CallId::new(started, [u8::try_from(number)?; 10]);
        ids.push(call_id);
        agent.take(CallLeg {
            info: LegInfo {
                call_id,
                direction: CallDirection::Inbound,
                started,
                from: "bench".to_owned(),
                to: "demo".parse()?,
                trunk: "bench".to_owned(),
                workflow: "endless".to_owned(),
                carrier_call_id: number.to_string(),
            },
            events: received,
            signalling,
            media: playout.clone(),
        });
        let phase = Duration::from_millis(number * 7 % 20);
        ends.push(tokio::spawn(converse(events, commands, playout, phase)));
    }
    for end in ends {
        end.await.context("a far end failed")?;
    }
    agent.drain(Duration::from_secs(5)).await;
    agent.shut_down().await;
    let mut overheads = Vec::new();
    for id in ids {
        for turn in store.turns_of(id).await? {
            if let (Some(whole), Some(decision)) = (turn.voice_to_voice_ms, turn.end_of_turn_ms) {
                overheads.push(whole.saturating_sub(decision));
            }
        }
    }
    overheads.sort_unstable();
    anyhow::ensure!(!overheads.is_empty(), "no turn was answered");
    println!("{} turns of {CALLS} calls at once", overheads.len());
    let mut report = Report::new("turn");
    let goal = Some(40.0);
    let (p50, p95) = (percentile(&overheads, 0.5), percentile(&overheads, 0.95));
    report.add("overhead_p50_ms", p50, "ms", goal, Better::Lower);
    report.add("overhead_p95_ms", p95, "ms", goal, Better::Lower);
    println!("{}", report.finish()?.display());
    Ok(())
}
