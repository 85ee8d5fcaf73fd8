//! How many conversations one device holds when their work is batched, and how many when each
//! model takes one request at a time.
//!
//! A simulated caller speaks a recorded phrase, which arrives as fast as it is spoken, waits for
//! the answer, listens to all of it, thinks for a moment and speaks again. Hearing, answering and
//! speaking are the product's workers with the starter models; only the telephone is left out,
//! and the silence that ends a turn. A turn is well served when its first sound comes in time and
//! its clauses follow one another without a gap; calls are held when 95 % of the turns are.
//!
//! Both ways use the same workers, prefix cache and kernels: one at a time, a request waits at a
//! gate before its model until the one before it has its whole result.

#[path = "mixed/call.rs"]
mod call;
#[path = "mixed/device.rs"]
mod device;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::task::JoinSet;
use tokio::time::Instant;
use trunkline_audio::Wav;
use trunkline_benches::{Better, Report, repository_root, with_environment};

use crate::call::{Turn, converse};
use crate::device::{Device, Serving};

/// From the caller's last sound to the agent's first.
const FIRST_SOUND: Duration = Duration::from_millis(900);
/// Silence between two clauses that a caller takes for a breath.
const BREATH: Duration = Duration::from_millis(250);
/// So many turns of a hundred have to be well served.
const WELL_SERVED: f64 = 0.95;
/// Calls begin evenly over this time, about as long as a turn lasts; then it counts.
const BEGINNING: Duration = Duration::from_secs(12);
/// Turns that end in this time count; with few calls it is longer, or chance would decide.
const COUNTED: Duration = Duration::from_secs(24);
/// Where the search begins, and where it gives up.
const FEW: usize = 16;
const MOST: usize = 512;
/// The search ends when it knows the number as well as this, one part in so many.
const PRECISION: usize = 8;

fn main() -> anyhow::Result<()> {
    with_environment()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()?;
    let mut report = Report::new("mixed");
    runtime.block_on(measure(&mut report))?;
    report.finish()?;
    Ok(())
}

async fn measure(report: &mut Report) -> anyhow::Result<()> {
    let phrases: Arc<[Vec<i16>]> = phrases()?.into();
    let mut held = Vec::new();
    for serving in [Serving::Batched, Serving::OneAtATime] {
        let device = Arc::new(Device::load(serving)?);
        // One turn that does not count: whatever is made at the first use is made now.
        converse(
            &device,
            &phrases,
            MOST,
            Instant::now(),
            Instant::now() + BREATH,
        )
        .await?;
        held.push(most_held(&device, &phrases).await? as f64);
    }
    let (batched, unbatched) = (held[0], held[1]);
    report.add("calls_batched", batched, "calls", None, Better::Higher);
    report.add("calls_unbatched", unbatched, "calls", None, Better::Higher);
    let ratio = batched / unbatched.max(1.0);
    report.add("calls_ratio", ratio, "x", 2.0, Better::Higher);
    Ok(())
}

/// The greatest number of calls that the device holds: doubles it until it holds them no more,
/// then halves the range in which the number lies.
async fn most_held(device: &Arc<Device>, phrases: &Arc<[Vec<i16>]>) -> anyhow::Result<usize> {
    let (mut held, mut too_many) = (0, MOST);
    let mut calls = FEW;
    // No caller calls twice, or what was computed for the first call would serve the second.
    let mut callers = 0..;
    while too_many - held > (too_many / PRECISION).max(1) {
        let callers: Vec<usize> = callers.by_ref().take(calls).collect();
        if holds(device, phrases, &callers).await? {
            held = calls;
        } else {
            too_many = calls;
        }
        calls = if too_many == MOST {
            held * 2
        } else {
            held.midpoint(too_many)
        };
        if held >= MOST {
            bail!("{MOST} calls are no load for this machine");
        }
    }
    Ok(held)
}

/// Whether the calls of these callers, all at once, are served well.
async fn holds(
    device: &Arc<Device>,
    phrases: &Arc<[Vec<i16>]>,
    callers: &[usize],
) -> anyhow::Result<bool> {
    let calls = callers.len();
    let begun = Instant::now();
    let counted = begun + BEGINNING;
    let end = counted + COUNTED * FEW.div_ceil(calls) as u32;
    let mut talking = JoinSet::new();
    for (n, caller) in callers.iter().copied().enumerate() {
        let begins = begun + BEGINNING * n as u32 / calls as u32;
        let (device, phrases) = (Arc::clone(device), Arc::clone(phrases));
        talking.spawn(async move { converse(&device, &phrases, caller, begins, end).await });
    }
    let mut turns: Vec<Turn> = Vec::new();
    while let Some(call) = talking.join_next().await {
        let counted = |turn: &Turn| turn.ended >= counted;
        turns.extend(call??.into_iter().filter(counted));
    }
    let well = |turn: &&Turn| {
        turn.first_sound.is_some_and(|wait| wait <= FIRST_SOUND) && turn.longest_gap <= BREATH
    };
    let served = turns.iter().filter(well).count() as f64 / turns.len().max(1) as f64;
    println!(
        "{} {calls} calls: {} turns, {:.1} % well served, first sound p50 {} ms, p95 {} ms, longest gap p95 {} ms",
        device.serving,
        turns.len(),
        100.0 * served,
        percentile(&turns, 50, |turn| turn.first_sound.unwrap_or(Duration::MAX)).as_millis(),
        percentile(&turns, 95, |turn| turn.first_sound.unwrap_or(Duration::MAX)).as_millis(),
        percentile(&turns, 95, |turn| turn.longest_gap).as_millis(),
    );
    Ok(served >= WELL_SERVED)
}

fn percentile(turns: &[Turn], share: usize, of: impl Fn(&Turn) -> Duration) -> Duration {
    let mut sorted: Vec<Duration> = turns.iter().map(of).collect();
    sorted.sort();
    let at = (sorted.len() * share).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

/// What callers say: the clips that come with the starter recogniser, at 16 kHz.
fn phrases() -> anyhow::Result<Vec<Vec<i16>>> {
    let folder = repository_root().join("models/starter/whisper-starter/clips");
    let mut phrases = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == "wav") {
            let bytes = std::fs::read(&path)?;
            let wav = Wav::parse(&bytes).with_context(|| path.display().to_string())?;
            phrases.push(wav.mono_at(16_000)?);
        }
    }
    if phrases.is_empty() {
        bail!("{} has no clips", folder.display());
    }
    phrases.sort();
    Ok(phrases)
}
