//! Many calls at once: each sends a tone, checks that the agent is heard, and hangs up. For
//! finding how many legs a machine carries, not for what is said on them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use trunkline_audio::Tone;
use trunkline_leg::{
    AudioSource, CallLeg, CallerAudio, LegEvent, PlayoutChunk, SAMPLE_RATE_HZ, SignallingCommand,
};
use trunkline_types::{CallTime, EndReason, UtteranceId};

use crate::line::{Line, PortSpan};
use crate::target::Target;
use crate::voice::VoiceTrace;

/// The tone is neither speech nor a key, so it must not stop the agent.
const TONE_HZ: f64 = 425.0;

/// Quieter than speech.
const TONE_DBFS: f64 = -30.0;

/// What a stalled call may take beyond its time before it counts as failed.
const GRACE: Duration = Duration::from_secs(20);

/// `trunkline-caller load`
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Whom to call
    #[arg(long, value_name = "sip:USER@HOST[:PORT]")]
    to: Target,
    /// How many calls
    #[arg(long, default_value_t = 20)]
    calls: u32,
    /// New calls per second
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// How long each call lasts from its answer, in seconds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Where to write the figures, as JSON
    #[arg(long)]
    report: Option<PathBuf>,
    /// The lowest and highest port for audio
    #[arg(long, value_name = "FROM-TO", default_value = "22000-26999")]
    rtp_ports: PortSpan,
}

/// How one call went.
#[derive(Debug, Default)]
struct CallFigures {
    answered_after: Option<Duration>,
    first_voice_after: Option<Duration>,
    ticks: u64,
    received: u64,
    concealed: u64,
    failure: Option<String>,
}

impl CallFigures {
    fn failed(why: String) -> Self {
        Self {
            failure: Some(why),
            ..Self::default()
        }
    }
}

/// How all calls went.
#[derive(Debug, Serialize)]
struct LoadReport {
    calls: usize,
    answered: usize,
    agent_heard: usize,
    failed: usize,
    answered_after_ms_p50: Option<f64>,
    answered_after_ms_p99: Option<f64>,
    first_voice_after_ms_p50: Option<f64>,
    first_voice_after_ms_p99: Option<f64>,
    ticks: u64,
    frames_received: u64,
    frames_concealed: u64,
    failures: Vec<String>,
}

/// Places the calls; true when every one was answered and heard the agent.
pub(crate) async fn run(args: LoadArgs) -> Result<bool> {
    ensure!(args.rate > 0.0, "--rate must be above 0");
    ensure!(args.calls > 0, "--calls must be above 0");
    let line = Arc::new(Line::open(&args.to, args.rtp_ports).await?);
    let mut running = JoinSet::new();
    let calls = tokio::select! {
        calls = place_all(&args, &line, &mut running) => Some(calls),
        () = crate::told_to_stop() => None,
    };
    // What still runs is hung up by dropping its leg.
    running.shutdown().await;
    if let Some(line) = Arc::into_inner(line) {
        line.close().await;
    }
    let calls = calls.context("stopped by a signal")?;
    let report = LoadReport::of(&calls);
    report.print();
    if let Some(path) = &args.report {
        let json = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, json + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(report.failed == 0)
}

async fn place_all(
    args: &LoadArgs,
    line: &Arc<Line>,
    running: &mut JoinSet<CallFigures>,
) -> Vec<CallFigures> {
    let mut pace = interval(Duration::from_secs_f64(1.0 / args.rate));
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for _ in 0..args.calls {
        pace.tick().await;
        let (line, user) = (Arc::clone(line), args.to.user.clone());
        let lasts = Duration::from_secs(args.seconds);
        running.spawn(async move {
            let dialled = Instant::now();
            match line.dial(&user).await {
                Ok(leg) => one_call(leg, dialled, lasts).await,
                Err(error) => CallFigures::failed(format!("{error:#}")),
            }
        });
    }
    let mut calls = Vec::new();
    while let Some(call) = running.join_next().await {
        calls.push(call.unwrap_or_else(|error| CallFigures::failed(error.to_string())));
    }
    calls
}

async fn one_call(leg: CallLeg, dialled: Instant, lasts: Duration) -> CallFigures {
    let mut figures = CallFigures::default();
    let whole = follow(leg, dialled, lasts, &mut figures);
    match timeout(lasts + GRACE, whole).await {
        Ok(()) => {
            if figures.failure.is_none() && figures.first_voice_after.is_none() {
                figures.failure = Some("the agent was not heard".to_owned());
            }
        }
        Err(_) => figures.failure = Some("the call stalled".to_owned()),
    }
    figures
}

async fn follow(mut leg: CallLeg, dialled: Instant, lasts: Duration, figures: &mut CallFigures) {
    let mut agent = VoiceTrace::default();
    let mut is_leaving = false;
    while let Some(event) = leg.events.recv().await {
        match event {
            LegEvent::Answered { .. } => {
                figures.answered_after = Some(dialled.elapsed());
                send_tone(&leg, lasts);
            }
            LegEvent::Tick(tick) => {
                figures.ticks += 1;
                match tick.caller_audio {
                    CallerAudio::Received => figures.received += 1,
                    CallerAudio::Concealed => figures.concealed += 1,
                    CallerAudio::Absent => {}
                }
                agent.take(&tick.caller, tick.at);
                if figures.first_voice_after.is_none() {
                    figures.first_voice_after = agent
                        .first_from(CallTime::ZERO)
                        .map(|voice| voice.start.since(CallTime::ZERO));
                }
                if !is_leaving && tick.at.since(CallTime::ZERO) >= lasts {
                    is_leaving = true;
                    // A closed door means that the end is already on its way to us.
                    let _ = leg
                        .signalling
                        .send(SignallingCommand::Hangup(EndReason::WorkflowEnded));
                }
            }
            LegEvent::Ended { reason, detail } => {
                if !is_leaving {
                    let detail = detail.unwrap_or_default();
                    figures.failure = Some(format!("ended early: {reason} {detail}"));
                }
                return;
            }
            _ => {}
        }
    }
    figures.failure = Some("the line was closed".to_owned());
}

fn send_tone(leg: &CallLeg, lasts: Duration) {
    let samples = lasts.as_secs() as usize * SAMPLE_RATE_HZ as usize;
    leg.media.play(PlayoutChunk {
        utterance: UtteranceId(0),
        clause: 0,
        source: AudioSource::Clip,
        pcm: Tone::new(TONE_HZ, TONE_DBFS, SAMPLE_RATE_HZ).take(samples),
    });
}

impl LoadReport {
    fn of(calls: &[CallFigures]) -> Self {
        let answered = sorted_ms(calls.iter().filter_map(|call| call.answered_after));
        let voice = sorted_ms(calls.iter().filter_map(|call| call.first_voice_after));
        let mut failures: Vec<String> = calls
            .iter()
            .filter_map(|call| call.failure.clone())
            .collect();
        let failed = failures.len();
        failures.sort();
        failures.dedup();
        Self {
            calls: calls.len(),
            answered: answered.len(),
            agent_heard: voice.len(),
            failed,
            answered_after_ms_p50: percentile(&answered, 0.5),
            answered_after_ms_p99: percentile(&answered, 0.99),
            first_voice_after_ms_p50: percentile(&voice, 0.5),
            first_voice_after_ms_p99: percentile(&voice, 0.99),
            ticks: calls.iter().map(|call| call.ticks).sum(),
            frames_received: calls.iter().map(|call| call.received).sum(),
            frames_concealed: calls.iter().map(|call| call.concealed).sum(),
            failures,
        }
    }

    fn print(&self) {
        let ms = |value: Option<f64>| value.map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
        println!("calls              {}", self.calls);
        println!("answered           {}", self.answered);
        println!("agent heard        {}", self.agent_heard);
        println!("failed             {}", self.failed);
        println!(
            "answered after     p50 {}, p99 {}",
            ms(self.answered_after_ms_p50),
            ms(self.answered_after_ms_p99)
        );
        println!(
            "first voice after  p50 {}, p99 {}",
            ms(self.first_voice_after_ms_p50),
            ms(self.first_voice_after_ms_p99)
        );
        println!(
            "frames             {} received, {} concealed, {} ticks",
            self.frames_received, self.frames_concealed, self.ticks
        );
        for failure in &self.failures {
            println!("failure            {failure}");
        }
    }
}

fn sorted_ms(spans: impl Iterator<Item = Duration>) -> Vec<f64> {
    let mut values: Vec<f64> = spans.map(|span| span.as_secs_f64() * 1000.0).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Nearest rank.
fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_calls_add_up() {
        let calls = [
            CallFigures {
                answered_after: Some(Duration::from_millis(5)),
                first_voice_after: Some(Duration::from_millis(300)),
                ticks: 50,
                received: 49,
                concealed: 1,
                failure: None,
            },
            CallFigures {
                failure: Some("ended early".to_owned()),
                ..CallFigures::default()
            },
        ];
        let report = LoadReport::of(&calls);
        assert_eq!(
            (
                report.calls,
                report.answered,
                report.agent_heard,
                report.failed
            ),
            (2, 1, 1, 1)
        );
        assert_eq!(report.first_voice_after_ms_p99, Some(300.0));
        assert_eq!(report.failures, ["ended early"]);
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&values, 0.5), Some(50.0));
        assert_eq!(percentile(&values, 0.99), Some(99.0));
        assert_eq!(percentile(&values, 0.0), Some(1.0));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
