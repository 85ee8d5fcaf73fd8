//! What the platform itself adds to a turn, and how fast it falls silent, measured on the wire.
//!
//! Twenty calls at once run on the real media wheel and the real agent, with models that take no
//! time. Their far ends are sockets on a thread of their own: each speaks a recorded clip after the
//! agent, or cuts into it, by turns. Signalling is left out.
//!
//! - `overhead`: from the agent's decision that the caller is done to its first sounding packet at
//!   the far end.
//! - `beyond_silence`: from the caller's last sounding packet to the agent's first, less the silence
//!   that the turn settings ask for. It holds the jitter buffer and the detector's own delay too.
//! - `barge_in`: from the caller's first sounding packet over the agent to the agent's last one.

#[path = "turn/far_end.rs"]
mod far_end;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::sync::{broadcast, mpsc};
use trunkline_agent::log::{Decision, LiveEntry, LogEvent};
use trunkline_agent::{Agent, AgentSettings, PublishedWorkflow};
use trunkline_audio::{Wav, g711};
use trunkline_benches::{Better, Report, repository_root};
use trunkline_engine::instant::{InstantChat, InstantTranscriber, InstantVoice};
use trunkline_leg::{CallLeg, LegEvent, LegInfo, SignallingCommand};
use trunkline_media::{Codec, MediaConfig, MediaParameters, MediaPort, MediaWheel};
use trunkline_store::Store;
use trunkline_types::{CallDirection, CallId, EndReason, Timestamp};

use crate::far_end::{Answer, FarEnd, Kind};

const CALLS: u64 = 20;
const TALK: Duration = Duration::from_secs(40);

/// What the far ends say.
const CLIP: &str = "models/starter/whisper-starter/clips/seen_flite-slt_000.wav";

/// Silence that ends a turn, as in the workflow below.
const END_SILENCE: Duration = Duration::from_millis(600);

const WORKFLOW: &str = r#"{
  "schema": "trunkline.workflow/1",
  "name": "endless",
  "slots": {"sure": {"kind": "yes_no"}},
  "nodes": [
    {"type": "start", "id": "start", "greeting": "Hello."},
    {"type": "agent", "id": "ask", "slots": ["sure"],
     "say": "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty, is it so?"},
    {"type": "agent", "id": "again", "slots": ["sure"],
     "say": "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty, and now?"},
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

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let agent = agent(folder.path()).await?;
    let decisions = tokio::spawn(decisions(agent.watch()));
    let wheel = MediaWheel::start(MediaConfig::default())?;
    let clip = clip(&repository_root().join(CLIP))?;
    let (mut far_ends, mut legs) = (Vec::new(), Vec::new());
    for number in 0..CALLS {
        let port = wheel.reserve()?;
        let far_end = FarEnd::bind(number, port.local_rtp(), Arc::clone(&clip))?;
        legs.push(place(&agent, number, port, far_end.address()?)?);
        far_ends.push(far_end);
    }
    let talk = thread::spawn(move || far_end::talk(far_ends, TALK));
    let answers = tokio::task::spawn_blocking(move || talk.join())
        .await?
        .map_err(|_| anyhow::anyhow!("the far ends failed"))?;
    for events in legs {
        let end = LegEvent::Ended {
            reason: EndReason::CallerHungUp,
            detail: None,
        };
        events.send(end).await.context("an agent left its call")?;
    }
    agent.drain(Duration::from_secs(5)).await;
    agent.shut_down().await;
    drop(agent);
    report(&answers, &decisions.await?)
}

async fn agent(folder: &Path) -> Result<Agent> {
    let workflow = PublishedWorkflow {
        version: "1".to_owned(),
        document: WORKFLOW.to_owned(),
    };
    Ok(Agent::new(AgentSettings {
        store: Store::open(&folder.join("trunkline.db")).await?,
        recorder: None,
        transcriber: Arc::new(InstantTranscriber::new("yes")?),
        chat: Arc::new(InstantChat::new("yes")),
        voice: Arc::new(InstantVoice),
        voice_name: None,
        workflows: BTreeMap::from([("endless".to_owned(), workflow)]),
    }))
}

fn call_id(number: u64) -> Result<CallId> {
    Ok(CallId::new(
        Timestamp::from_micros(1_000 * number),
        [u8::try_from(number)?; 10],
    ))
}

/// Hands a call to the agent and puts its leg on the wheel once it answers.
fn place(
    agent: &Agent,
    number: u64,
    port: MediaPort,
    far_end: std::net::SocketAddr,
) -> Result<mpsc::Sender<LegEvent>> {
    let (events, received) = mpsc::channel(64);
    let (signalling, mut commands) = mpsc::unbounded_channel();
    agent.take(CallLeg {
        info: LegInfo {
            call_id: call_id(number)?,
            direction: CallDirection::Inbound,
            started: Timestamp::from_micros(1_000 * number),
            from: "bench".to_owned(),
            to: "demo".parse()?,
            trunk: "bench".to_owned(),
            workflow: "endless".to_owned(),
            carrier_call_id: number.to_string(),
        },
        events: received,
        signalling,
        media: port.control(),
    });
    let to_agent = events.clone();
    tokio::spawn(async move {
        let (notices, _heard) = mpsc::unbounded_channel();
        while let Some(command) = commands.recv().await {
            if command == SignallingCommand::Answer {
                let codec = "PCMU/8000".to_owned();
                let _ = to_agent.send(LegEvent::Answered { codec }).await;
                let parameters = MediaParameters::new(far_end, Codec::Pcmu);
                port.connect(parameters, to_agent.clone(), notices.clone());
            }
        }
    });
    Ok(events)
}

/// When each call's turns were taken for over.
async fn decisions(
    mut live: broadcast::Receiver<Arc<LiveEntry>>,
) -> Result<HashMap<CallId, Vec<Instant>>> {
    let mut decisions: HashMap<CallId, Vec<Instant>> = HashMap::new();
    loop {
        match live.recv().await {
            Ok(live) => {
                if let LogEvent::Out(Decision::Finish { .. }) = live.entry.event {
                    decisions
                        .entry(live.call_id)
                        .or_default()
                        .push(Instant::now());
                }
            }
            Err(broadcast::error::RecvError::Closed) => return Ok(decisions),
            Err(error) => return Err(error).context("decisions were missed"),
        }
    }
}

/// The clip from its first sound to its last, as G.711 frames.
fn clip(file: &Path) -> Result<Arc<[Vec<u8>]>> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let wav = Wav::parse(&bytes).with_context(|| file.display().to_string())?;
    ensure!(
        wav.format.sample_rate_hz == 8000,
        "{} is not sampled at 8 kHz",
        file.display()
    );
    let pcm = wav.channel(0);
    let sounds = |frame: &&[i16]| frame.iter().any(|sample| sample.unsigned_abs() > 1500);
    let frames: Vec<&[i16]> = pcm.chunks_exact(far_end::FRAME).collect();
    let first = frames.iter().position(&sounds);
    let last = frames.iter().rposition(sounds);
    let (first, last) = first
        .zip(last)
        .with_context(|| format!("{} is silent", file.display()))?;
    Ok(frames[first..=last]
        .iter()
        .map(|frame| {
            let mut encoded = Vec::new();
            g711::encode_ulaw_into(frame, &mut encoded);
            encoded
        })
        .collect())
}

fn report(answers: &[Answer], decisions: &Result<HashMap<CallId, Vec<Instant>>>) -> Result<()> {
    let decisions = decisions
        .as_ref()
        .map_err(|error| anyhow::anyhow!("{error:#}"))?;
    let (mut overhead, mut beyond, mut barge_in) = (Vec::new(), Vec::new(), Vec::new());
    for answer in answers {
        let decided = decisions
            .get(&call_id(answer.call)?)
            .and_then(|of_call| of_call.iter().rfind(|decided| **decided <= answer.heard))
            .context("the agent answered without a decision")?;
        overhead.push(answer.heard - *decided);
        beyond.push((answer.heard - answer.fell_silent).saturating_sub(END_SILENCE));
        if let Kind::BargeIn {
            began,
            agent_stopped,
        } = answer.kind
        {
            barge_in.push(agent_stopped.saturating_duration_since(began));
        }
    }
    println!(
        "{} turns of {CALLS} calls at once, {} of them cut into the agent",
        overhead.len(),
        barge_in.len()
    );
    let mut report = Report::new("turn");
    for (p50, p95, spans, goal) in [
        ("overhead_p50_ms", "overhead_p95_ms", overhead, Some(40.0)),
        (
            "beyond_silence_p50_ms",
            "beyond_silence_p95_ms",
            beyond,
            None,
        ),
        ("barge_in_p50_ms", "barge_in_p95_ms", barge_in, Some(120.0)),
    ] {
        let mut spans = spans;
        ensure!(
            spans.len() >= 20,
            "too few turns for {p95}: {}",
            spans.len()
        );
        spans.sort_unstable();
        for (name, percent) in [(p50, 50), (p95, 95)] {
            let at = (spans.len() - 1) * percent / 100;
            let value = spans[at].as_secs_f64() * 1000.0;
            report.add(name, value, "ms", goal, Better::Lower);
        }
    }
    report.finish()?;
    Ok(())
}
