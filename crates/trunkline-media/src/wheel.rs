//! The wheel: threads that give each leg its turn every 20 ms.
//!
//! A turn of the wheel is cut into 20 slots of 1 ms. A leg belongs to one slot, so that packets
//! leave evenly and not all at once. Deadlines are absolute: a late slot does not move the next.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use trunkline_rtp::{JitterConfig, RtpConfig};
use trunkline_types::TICK;

use crate::control::locked;
use crate::identity::random;
use crate::leg::{NewLeg, WheelLeg};
use crate::pace::{SendErrorSummary, SendErrors};
use crate::sockets::PortRange;
use crate::totals::Totals;
use crate::{MediaConfig, MediaError, MediaPort, MediaTotals};

/// Slots of one turn.
const SLOTS: usize = 20;

/// From one slot to the next.
const SLOT: Duration = Duration::from_millis(TICK.as_millis() as u64 / SLOTS as u64);

/// A wheel that is behind by more than this, as after the machine was suspended, lets the missed
/// turns go instead of sending them all at once.
const HOPELESSLY_BEHIND: Duration = Duration::from_millis(200);

/// The threads that carry all legs. Dropping it stops them and silences every leg.
#[derive(Debug)]
pub struct MediaWheel {
    config: MediaConfig,
    ports: Arc<PortRange>,
    shared: Arc<WheelShared>,
    threads: Vec<JoinHandle<()>>,
}

/// What ports know of the wheel.
#[derive(Debug)]
pub(crate) struct WheelShared {
    rims: Vec<Arc<Rim>>,
}

/// What one thread shares with the outside.
#[derive(Debug, Default)]
struct Rim {
    coming: Mutex<Vec<NewLeg>>,
    /// Legs on this thread, those still coming included.
    legs: AtomicUsize,
    stop: AtomicBool,
    errors: SendErrors,
    totals: Arc<Totals>,
    thread: Mutex<Option<Thread>>,
}

impl MediaWheel {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`MediaError::Invalid`] and [`MediaError::Thread`].
    pub fn start(config: MediaConfig) -> Result<Self, MediaError> {
        config.check()?;
        let rtp = RtpConfig {
            jitter: JitterConfig {
                min: Duration::from_millis(u64::from(config.jitter_min_ms)),
                max: Duration::from_millis(u64::from(config.jitter_max_ms)),
            },
            timeout: Duration::from_secs(u64::from(config.rtp_timeout_s)),
        };
        let mut wheel = Self {
            ports: PortRange::new(&config),
            shared: Arc::new(WheelShared {
                rims: (0..config.threads).map(|_| Arc::default()).collect(),
            }),
            threads: Vec::new(),
            config,
        };
        let niceness = wheel.config.niceness;
        for (index, rim) in wheel.shared.rims.iter().enumerate() {
            let turning = Arc::clone(rim);
            let thread = thread::Builder::new()
                .name(format!("media-{index}"))
                .spawn(move || {
                    raise_priority(niceness);
                    Turning::new(turning, rtp).run();
                })
                .map_err(MediaError::Thread)?;
            *locked(&rim.thread) = Some(thread.thread().clone());
            wheel.threads.push(thread);
        }
        Ok(wheel)
    }

    /// Binds a pair of ports for a leg.
    ///
    /// # Errors
    /// [`MediaError::NoFreePort`] and [`MediaError::Socket`].
    pub fn reserve(&self) -> Result<MediaPort, MediaError> {
        let sockets = self.ports.bind(&self.config)?;
        Ok(MediaPort::new(sockets, Arc::clone(&self.shared)))
    }

    /// Legs on the wheel.
    pub fn legs(&self) -> usize {
        let legs = |rim: &Arc<Rim>| rim.legs.load(Ordering::Relaxed);
        self.shared.rims.iter().map(legs).sum()
    }

    /// What all legs together have done, as of the last second.
    pub fn totals(&self) -> MediaTotals {
        let mut sum = MediaTotals::default();
        for rim in &self.shared.rims {
            let of_thread = rim.totals.read();
            sum.packets_received += of_thread.packets_received;
            sum.packets_sent += of_thread.packets_sent;
            sum.packets_lost += of_thread.packets_lost;
            sum.events_dropped += of_thread.events_dropped;
        }
        sum
    }

    /// How far from the 20 ms grid packets were sent since the last call, of the thread that did
    /// worst.
    pub fn take_send_errors(&self) -> SendErrorSummary {
        self.shared
            .rims
            .iter()
            .map(|rim| rim.errors.take())
            .max_by_key(|summary| summary.p99)
            .unwrap_or_default()
    }
}

impl Drop for MediaWheel {
    fn drop(&mut self) {
        for rim in &self.shared.rims {
            rim.stop.store(true, Ordering::Release);
            rim.wake();
        }
        for thread in self.threads.drain(..) {
            // Its panics were caught leg by leg; there is nothing more to say about one here.
            let _ = thread.join();
        }
    }
}

impl WheelShared {
    /// Hands a leg to the thread that has the fewest.
    pub(crate) fn place(&self, leg: NewLeg) {
        let least = self
            .rims
            .iter()
            .min_by_key(|rim| rim.legs.load(Ordering::Relaxed));
        if let Some(rim) = least {
            rim.legs.fetch_add(1, Ordering::Relaxed);
            locked(&rim.coming).push(leg);
            rim.wake();
        }
    }
}

impl Rim {
    fn wake(&self) {
        if let Some(thread) = &*locked(&self.thread) {
            thread.unpark();
        }
    }
}

/// The state of one thread.
struct Turning {
    rim: Arc<Rim>,
    config: RtpConfig,
    slots: [Vec<WheelLeg>; SLOTS],
}

impl Turning {
    fn new(rim: Arc<Rim>, config: RtpConfig) -> Self {
        Self {
            rim,
            config,
            slots: std::array::from_fn(|_| Vec::new()),
        }
    }

    fn run(mut self) {
        let mut due = Instant::now();
        let mut slot = 0;
        while !self.rim.stop.load(Ordering::Acquire) {
            self.take_in();
            let Some(ahead) = self.next_occupied(slot) else {
                // Nothing to turn for; a new leg wakes us.
                thread::park();
                due = Instant::now();
                continue;
            };
            slot = (slot + ahead) % SLOTS;
            due += SLOT * ahead as u32;
            let now = Instant::now();
            match due.checked_duration_since(now) {
                Some(early) => pause(early),
                None if now - due > HOPELESSLY_BEHIND => {
                    tracing::warn!(behind = ?(now - due), "media wheel lost time");
                    due = now;
                }
                None => {}
            }
            self.turn(slot, due);
            slot = (slot + 1) % SLOTS;
            due += SLOT;
        }
    }

    /// How many slots from `slot` on the next one with a leg is.
    fn next_occupied(&self, slot: usize) -> Option<usize> {
        (0..SLOTS).find(|ahead| !self.slots[(slot + ahead) % SLOTS].is_empty())
    }

    /// Seats new legs where it is emptiest, beginning the search anywhere.
    fn take_in(&mut self) {
        let coming = std::mem::take(&mut *locked(&self.rim.coming));
        for new in coming {
            let leg = WheelLeg::new(new, self.config, Arc::clone(&self.rim.totals));
            let start = (random() % SLOTS as u64) as usize;
            let emptiest = (0..SLOTS)
                .map(|offset| (start + offset) % SLOTS)
                .min_by_key(|slot| self.slots[*slot].len());
            self.slots[emptiest.unwrap_or(start)].push(leg);
        }
    }

    fn turn(&mut self, slot: usize, due: Instant) {
        let legs = &mut self.slots[slot];
        let before = legs.len();
        legs.retain_mut(|leg| {
            let closed = leg.is_closed();
            if closed {
                leg.close();
            }
            !closed
        });
        let errors = &self.rim.errors;
        legs.retain_mut(|leg| {
            guarded(leg, |leg| {
                if leg.send() {
                    errors.record(due.elapsed());
                }
            })
        });
        legs.retain_mut(|leg| guarded(leg, WheelLeg::listen));
        self.rim
            .legs
            .fetch_sub(before - legs.len(), Ordering::Relaxed);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a thread that paces itself may sleep"
)]
fn pause(span: Duration) {
    thread::sleep(span);
}

/// Raises the priority of the calling thread, on Linux of no other.
fn raise_priority(niceness: i8) {
    if niceness == 0 {
        return;
    }
    if let Err(error) = rustix::process::setpriority_process(None, i32::from(niceness)) {
        tracing::warn!(
            %error,
            niceness,
            "media threads run without priority; audio may stutter when the machine is busy"
        );
    }
}

/// Runs one leg's half tick. A panic, which is a fault of ours, costs this leg and no other;
/// returns whether the leg stays.
fn guarded(leg: &mut WheelLeg, half: impl FnOnce(&mut WheelLeg)) -> bool {
    let outcome = catch_unwind(AssertUnwindSafe(|| half(leg)));
    if outcome.is_err() {
        tracing::error!("a media leg failed and was taken off the wheel");
        leg.fail();
    }
    outcome.is_ok()
}
