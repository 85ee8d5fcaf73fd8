//! How many legs one core carries, and how exactly it sends.
//!
//! The wheel under test runs alone on core 0; a second process on core 1 plays the far ends: one
//! socket a leg, G.711 at 50 packets a second, and it checks that an unbroken stream with sound
//! comes back. Each leg has the whole path: jitter buffer, resampling both ways, speech detection.
//! Both processes are this program, started again under `taskset`.

#[path = "media/load.rs"]
mod load;

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::sync::mpsc;
use trunkline_audio::Tone;
use trunkline_benches::{Better, Report};
use trunkline_leg::{AudioSource, LegEvent, PlayoutChunk};
use trunkline_media::{
    Codec, MediaConfig, MediaParameters, MediaPort, MediaWheel, SendErrorSummary,
};
use trunkline_types::UtteranceId;

use crate::load::LoadFigures;

/// Legs of each step; the figures of the exactness are those of the second.
const STEPS: [usize; 4] = [100, 200, 300, 500];

/// The step whose exactness is reported.
const REPORTED_STEP: usize = 200;

/// A step runs so long before it counts, and then so long.
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(5);

/// A step is carried when 99 packets in 100 leave this close to their moment.
const EXACT_ENOUGH: Duration = Duration::from_millis(5);

/// Where the wheel's ports begin. The load's are above them.
const WHEEL_PORT: u16 = 20_000;
const LOAD_PORT: u16 = 24_000;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        None => {
            let status = on_core(0, &["wheel"])?.wait()?;
            if !status.success() {
                bail!("the bench failed: {status}");
            }
            Ok(())
        }
        Some("wheel") => measure(),
        Some("load") => load::run(&arguments[1..]),
        Some(other) => bail!("unknown argument {other:?}: expected none"),
    }
}

/// Starts this program again on one core.
///
/// Both ask for a high priority: on a busy machine the stutter of whatever else runs would be
/// taken for the wheel's.
fn on_core(core: usize, arguments: &[&str]) -> anyhow::Result<Child> {
    let core = if core_exists(core) { core } else { 0 };
    let piped = arguments.first() == Some(&"load");
    Command::new("nice")
        .args(["-n", "-20", "taskset", "-c", &core.to_string()])
        .arg(std::env::current_exe()?)
        .args(arguments)
        .stdout(if piped {
            Stdio::piped()
        } else {
            Stdio::inherit()
        })
        .spawn()
        .context("cannot start nice and taskset (Debian packages coreutils and util-linux)")
}

/// Moves the calling thread to the other core, where agents would run.
fn leave_core_of_wheel() -> anyhow::Result<()> {
    let thread = std::fs::read_link("/proc/thread-self")?;
    let id = thread
        .file_name()
        .context("/proc/thread-self has no number")?;
    if core_exists(1) {
        Command::new("taskset")
            .args(["-p", "-c", "1"])
            .arg(id)
            .stdout(Stdio::null())
            .status()?;
    }
    Ok(())
}

/// From inside a pinned process only one core is visible, so the kernel is asked.
fn core_exists(core: usize) -> bool {
    std::path::Path::new(&format!("/sys/devices/system/cpu/cpu{core}")).exists()
}

/// What one step gave.
struct Step {
    legs: usize,
    errors: SendErrorSummary,
    /// Both ways, and legs without sound.
    lost: u64,
    /// After their time at the jitter buffer, which is the load's unevenness and not ours.
    late: u64,
    core_share: f64,
}

impl Step {
    fn is_carried(&self) -> bool {
        self.errors.p99 < EXACT_ENOUGH && self.lost == 0
    }
}

fn measure() -> anyhow::Result<()> {
    let mut report = Report::new("media");
    let mut carried = 0;
    for legs in STEPS {
        let step = run_step(legs)?;
        println!(
            "{:>4} legs: send error p50 {:?}, p99 {:?}, p99.9 {:?}, worst {:?}; lost {}, late {}; core {:.0} %",
            step.legs,
            step.errors.p50,
            step.errors.p99,
            step.errors.p999,
            step.errors.worst,
            step.lost,
            step.late,
            step.core_share * 100.0
        );
        if step.is_carried() {
            carried = carried.max(step.legs);
        }
        if step.legs == REPORTED_STEP {
            let ms = |span: Duration| span.as_secs_f64() * 1000.0;
            report.add(
                "send_error_p99_ms",
                ms(step.errors.p99),
                "ms",
                5.0,
                Better::Lower,
            );
            report.add(
                "send_error_p999_ms",
                ms(step.errors.p999),
                "ms",
                None,
                Better::Lower,
            );
            report.add("lost", step.lost as f64, "", 0.0, Better::Lower);
            report.add(
                "core_share",
                step.core_share * 100.0,
                "%",
                None,
                Better::Lower,
            );
        }
    }
    report.add(
        "legs_per_core",
        carried as f64,
        "legs",
        500.0,
        Better::Higher,
    );
    let file = report.finish()?;
    println!("written to {}", file.display());
    Ok(())
}

fn run_step(legs: usize) -> anyhow::Result<Step> {
    let wheel = MediaWheel::start(MediaConfig {
        port_min: WHEEL_PORT,
        port_max: LOAD_PORT - 1,
        ..MediaConfig::default()
    })?;
    let (ports, listeners) = connect(&wheel, legs)?;
    let stop = Arc::new(AtomicBool::new(false));
    let listening = listen(listeners, Arc::clone(&stop));
    let total = WARM_UP + MEASURED;
    let load = on_core(
        1,
        &[
            "load",
            &legs.to_string(),
            &WHEEL_PORT.to_string(),
            &LOAD_PORT.to_string(),
            &total.as_millis().to_string(),
        ],
    )?;
    pause(WARM_UP);
    wheel.take_send_errors();
    let (started, used) = (Instant::now(), processor_time()?);
    pause(MEASURED);
    let errors = wheel.take_send_errors();
    let core_share = (processor_time()? - used).as_secs_f64() / started.elapsed().as_secs_f64();
    let output = load.wait_with_output()?;
    if !output.status.success() {
        bail!("the load process failed");
    }
    let heard: LoadFigures = serde_json::from_slice(&output.stdout)?;
    // The figures of a leg are published once a second.
    pause(Duration::from_millis(1100));
    let (mut lost_inbound, mut late) = (0, 0);
    for figures in ports.iter().map(|port| port.statistics().rtp) {
        // Those at the very end leave no gap in the numbers.
        let missing = heard.sent_per_leg.saturating_sub(figures.packets_received);
        lost_inbound += figures.packets_lost.max(missing);
        late += figures.packets_late;
    }
    stop.store(true, Ordering::Relaxed);
    listening
        .join()
        .map_err(|_| anyhow::anyhow!("the listener failed"))?;
    Ok(Step {
        legs,
        errors,
        lost: lost_inbound + heard.lost + heard.silent_legs,
        late,
        core_share,
    })
}

type Listeners = Vec<mpsc::Receiver<LegEvent>>;

fn connect(wheel: &MediaWheel, legs: usize) -> anyhow::Result<(Vec<MediaPort>, Listeners)> {
    let seconds = (WARM_UP + MEASURED).as_secs() as usize + 5;
    let tone = Tone::new(1000.0, -12.0, 16_000).take(seconds * 16_000);
    let (mut ports, mut listeners) = (Vec::new(), Vec::new());
    for leg in 0..legs {
        let port = wheel.reserve()?;
        let expected = WHEEL_PORT + 2 * leg as u16;
        if port.local_rtp().port() != expected {
            bail!("port {expected} is taken by another program");
        }
        let far_end = ([127, 0, 0, 1], LOAD_PORT + leg as u16).into();
        let (to_events, events) = mpsc::channel(256);
        let (to_notices, _) = mpsc::unbounded_channel();
        port.connect(
            MediaParameters::new(far_end, Codec::Pcmu),
            to_events,
            to_notices,
        );
        port.control().play(PlayoutChunk {
            utterance: UtteranceId(0),
            clause: 0,
            source: AudioSource::Clip,
            pcm: tone.clone(),
        });
        ports.push(port);
        listeners.push(events);
    }
    Ok((ports, listeners))
}

/// Takes the events off the channels, as agents would, ten times a second.
fn listen(mut listeners: Listeners, stop: Arc<AtomicBool>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        if let Err(error) = leave_core_of_wheel() {
            eprintln!("the listener stays on the core of the wheel: {error}");
        }
        while !stop.load(Ordering::Relaxed) {
            for events in &mut listeners {
                while events.try_recv().is_ok() {}
            }
            pause(Duration::from_millis(100));
        }
    })
}

/// Time on the processor of this whole process.
fn processor_time() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name in brackets may hold spaces; fields 14 and 15 count in hundredths of a second.
    let fields = stat
        .rsplit_once(')')
        .context("/proc/self/stat has no name")?
        .1;
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_millis(ticks * 10))
}

#[expect(
    clippy::disallowed_methods,
    reason = "threads that measure and pace themselves may sleep"
)]
pub(crate) fn pause(span: Duration) {
    thread::sleep(span);
}
