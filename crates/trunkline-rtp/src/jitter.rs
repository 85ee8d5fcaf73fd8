//! The adaptive jitter buffer: packets in as they come, packets out in order and in time.
//!
//! A playhead moves along the sender's timestamps, one frame each time the leg asks. How far it
//! lags behind the arrivals is the delay that the buffer adds; it follows the jitter of the last
//! seconds: it grows at once when a packet comes after its time, and shrinks when the leg finds a
//! frame to leave out. The buffer holds encoded payloads and never looks into them.

use std::collections::BTreeMap;
use std::time::Duration;

use trunkline_types::CallTime;

use crate::delay::DelayWindow;

/// What the operator allows the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JitterConfig {
    /// The least delay to aim for.
    pub min: Duration,
    /// The most delay to add.
    pub max: Duration,
}

impl Default for JitterConfig {
    fn default() -> Self {
        Self {
            min: Duration::from_millis(10),
            max: Duration::from_millis(200),
        }
    }
}

/// A transit time that jumps by more than this is a new timeline, not jitter.
const DISCONTINUITY: Duration = Duration::from_secs(1);

/// So many packets in a row that came too late for any allowed delay are a new timeline too.
const HOPELESS_PACKETS: u32 = 5;

/// How much audio may wait beyond the largest delay before the oldest is thrown away.
const OVERFULL: Duration = Duration::from_millis(200);

/// Packets held at most, however short they are.
const MAX_PACKETS: usize = 128;

/// After this many frames in a row with nothing due, the next packet starts afresh with the delay
/// of the day: nobody hears the difference.
const FRESH_AFTER_FRAMES: u32 = 3;

/// A stretch in which nothing comes is taken as loss for so long, then as silence.
const STARVED_FRAMES: u32 = 5;

/// What became of a packet that was put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// It waits for its time.
    Kept,
    /// It was here before.
    Duplicate,
    /// Its time is over.
    Late,
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// This packet.
    Packet {
        /// As it was put in.
        payload_type: u8,
        /// As it was put in.
        payload: Vec<u8>,
    },
    /// Something was sent for this stretch, in clock units, but is not here.
    Lost(u32),
    /// Nothing was sent for this stretch, in clock units, as far as can be known.
    Silent(u32),
}

/// A packet with a place in time.
#[derive(Debug, Clone, Copy)]
pub struct Timed<'a> {
    /// Extended past wraps.
    pub timestamp: i64,
    /// How much audio it holds, in clock units.
    pub units: u32,
    /// What it holds.
    pub payload_type: u8,
    /// Encoded.
    pub payload: &'a [u8],
}

#[derive(Debug)]
struct Waiting {
    timestamp: i64,
    units: u32,
    payload_type: u8,
    payload: Vec<u8>,
}

impl Waiting {
    fn end(&self) -> i64 {
        self.timestamp + i64::from(self.units)
    }
}

/// One source's packets on their way to be played.
#[derive(Debug)]
pub struct JitterBuffer {
    clock_hz: u32,
    frame_units: u32,
    min_units: i64,
    max_units: i64,
    waiting: BTreeMap<u64, Waiting>,
    /// Timestamp of what is played next; `None` before the first packet and after silence.
    playhead: Option<i64>,
    last_played: Option<u64>,
    /// The playhead was placed anew and waits for its first packet.
    fresh: bool,
    /// Bit n is set when the packet n before `newest` was seen.
    seen: u64,
    newest: Option<u64>,
    delays: DelayWindow,
    last_transit: Option<i64>,
    hopeless: u32,
    idle_frames: u32,
}

impl JitterBuffer {
    /// An empty buffer for audio on a clock of `clock_hz` that is asked for `frame` at a time.
    pub fn new(config: JitterConfig, clock_hz: u32, frame: Duration) -> Self {
        Self {
            clock_hz,
            frame_units: u32::try_from(to_units(frame, clock_hz)).unwrap_or(u32::MAX),
            min_units: to_units(config.min, clock_hz),
            max_units: to_units(config.max.max(config.min), clock_hz),
            waiting: BTreeMap::new(),
            playhead: None,
            last_played: None,
            fresh: false,
            seen: 0,
            newest: None,
            delays: DelayWindow::default(),
            last_transit: None,
            hopeless: 0,
            idle_frames: 0,
        }
    }

    /// Forgets the stream, for another source or another timeline.
    pub fn reset(&mut self) {
        self.waiting.clear();
        self.playhead = None;
        self.last_played = None;
        self.seen = 0;
        self.newest = None;
        self.last_transit = None;
        self.hopeless = 0;
        self.idle_frames = 0;
        self.delays.clear();
    }

    /// Takes a packet with its extended sequence number.
    pub fn insert(&mut self, now: CallTime, sequence: u64, packet: Timed<'_>) -> Inserted {
        if self.has_seen(sequence) {
            return Inserted::Duplicate;
        }
        let transit = self.units_at(now) - packet.timestamp;
        let jumped = self
            .last_transit
            .is_some_and(|last| (transit - last).abs() > to_units(DISCONTINUITY, self.clock_hz));
        if jumped {
            self.reset();
        }
        self.last_transit = Some(transit);
        self.delays.observe(now, transit);
        self.mark_seen(sequence);
        if !self.is_in_time(transit, sequence, &packet) {
            return Inserted::Late;
        }
        self.waiting.insert(
            sequence,
            Waiting {
                timestamp: packet.timestamp,
                units: packet.units,
                payload_type: packet.payload_type,
                payload: packet.payload.to_vec(),
            },
        );
        if self.waiting.len() > MAX_PACKETS {
            self.waiting.pop_first();
        }
        Inserted::Kept
    }

    /// Takes note of a packet that has no place in the audio, a telephone event, so that its number
    /// is not taken for a loss. Returns whether it is new.
    pub fn pass_by(&mut self, sequence: u64) -> bool {
        let new = !self.has_seen(sequence);
        if new {
            self.mark_seen(sequence);
        }
        new
    }

    /// Takes the quiet that follows as meant: the sender said so.
    pub fn expect_silence(&mut self) {
        self.idle_frames = self.idle_frames.max(STARVED_FRAMES);
    }

    /// What is due next. Called until a frame is full, 50 times a second.
    pub fn next(&mut self, now: CallTime) -> Due {
        let playhead = match self.playhead.or_else(|| self.start(now)) {
            Some(playhead) => self.without_overflow(playhead),
            None => return Due::Silent(self.frame_units),
        };
        self.playhead = Some(playhead);
        let Some(entry) = self.waiting.first_entry() else {
            return self.starve(playhead);
        };
        let ahead = entry.get().timestamp - playhead;
        if ahead <= 0 {
            let sequence = *entry.key();
            let packet = entry.remove();
            self.playhead = Some(packet.end().max(playhead));
            self.last_played = Some(sequence);
            self.idle_frames = 0;
            self.fresh = false;
            return Due::Packet {
                payload_type: packet.payload_type,
                payload: packet.payload,
            };
        }
        let following = *entry.key();
        let gap = u32::try_from(ahead)
            .unwrap_or(u32::MAX)
            .min(self.frame_units);
        self.cross_gap(now, playhead, gap, following)
    }

    /// Nothing is here for the next `gap` units, but something for later.
    fn cross_gap(&mut self, now: CallTime, playhead: i64, gap: u32, following: u64) -> Due {
        let units = i64::from(gap);
        let surplus = self.surplus(now);
        let meant = self.fresh
            || self
                .last_played
                .is_none_or(|last| self.all_seen_between(last, following));
        // With less delay than the jitter asks for, the playhead stands still: what is missing may
        // yet come, and from then on there is time for the next straggler.
        if self.fresh || surplus > -units {
            self.playhead = Some(playhead + units);
        }
        if !meant {
            return Due::Lost(gap);
        }
        // A pause that the sender made is the best place to catch up.
        if !self.fresh && surplus >= units {
            return self.next(now);
        }
        Due::Silent(gap)
    }

    /// How much the present delay exceeds what the jitter of the last seconds asks for, in clock
    /// units. A frame or more may be left out when nobody hears it.
    pub fn surplus(&self, now: CallTime) -> i64 {
        match (self.playhead, self.wanted_lag()) {
            (Some(playhead), Some(wanted)) => self.units_at(now) - playhead - wanted,
            _ => 0,
        }
    }

    /// The delay that is aimed for at present, beyond the fastest packet.
    pub fn target(&self) -> Duration {
        let units = self
            .delays
            .extremes()
            .map_or(self.min_units, |(least, most)| self.allowed(most - least));
        from_units(units, self.clock_hz)
    }

    /// Packets that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Places the playhead so that the first packet plays after the delay of the day.
    fn start(&mut self, now: CallTime) -> Option<i64> {
        let wanted = self.units_at(now) - self.wanted_lag()?;
        let first = self.waiting.first_key_value()?.1.timestamp;
        self.fresh = true;
        let frame = i64::from(self.frame_units);
        let frames_to_wait = (first - wanted + frame - 1).div_euclid(frame).max(0);
        Some(first - frames_to_wait * frame)
    }

    /// Jumps over the oldest audio when far more waits than any delay explains.
    fn without_overflow(&mut self, playhead: i64) -> i64 {
        let most = self.max_units + to_units(OVERFULL, self.clock_hz);
        let Some(end) = self.waiting.last_key_value().map(|(_, last)| last.end()) else {
            return playhead;
        };
        if end - playhead <= most {
            return playhead;
        }
        let kept_from = end - self.max_units;
        while let Some(entry) = self.waiting.first_entry() {
            if entry.get().timestamp >= kept_from {
                return entry.get().timestamp;
            }
            self.last_played = Some(*entry.key());
            entry.remove();
        }
        playhead
    }

    fn starve(&mut self, playhead: i64) -> Due {
        self.idle_frames = self.idle_frames.saturating_add(1);
        if self.idle_frames > STARVED_FRAMES + FRESH_AFTER_FRAMES {
            self.playhead = None;
            return Due::Silent(self.frame_units);
        }
        self.playhead = Some(playhead + i64::from(self.frame_units));
        if self.idle_frames <= STARVED_FRAMES && self.last_played.is_some() {
            Due::Lost(self.frame_units)
        } else {
            Due::Silent(self.frame_units)
        }
    }

    /// Decides about a packet that may be behind the playhead, and moves the playhead back for it
    /// when a larger delay is allowed.
    fn is_in_time(&mut self, transit: i64, sequence: u64, packet: &Timed<'_>) -> bool {
        if self.last_played.is_some_and(|last| sequence < last) {
            return false;
        }
        let Some(playhead) = self.playhead else {
            return true;
        };
        if packet.timestamp >= playhead {
            self.hopeless = 0;
            return true;
        }
        let least = self.delays.extremes().map_or(transit, |(least, _)| least);
        if transit - least <= self.max_units {
            self.hopeless = 0;
            self.playhead = Some(packet.timestamp);
            return true;
        }
        if packet.timestamp + i64::from(packet.units) > playhead {
            return true;
        }
        self.hopeless += 1;
        if self.hopeless < HOPELESS_PACKETS {
            return false;
        }
        // The timeline moved for good: go by what comes now.
        self.hopeless = 0;
        self.waiting.clear();
        self.delays.clear();
        self.playhead = None;
        true
    }

    /// The lag of the playhead behind our clock at which every packet of the last seconds would
    /// have been in time.
    fn wanted_lag(&self) -> Option<i64> {
        let (least, most) = self.delays.extremes()?;
        Some(least + self.allowed(most - least))
    }

    fn allowed(&self, spread: i64) -> i64 {
        spread.clamp(self.min_units, self.max_units)
    }

    /// Whether nothing is missing between two packets that came.
    fn all_seen_between(&self, before: u64, after: u64) -> bool {
        (before + 1..after).all(|sequence| self.has_seen(sequence))
    }

    fn has_seen(&self, sequence: u64) -> bool {
        match self.newest {
            Some(newest) if sequence <= newest => {
                let age = newest - sequence;
                // What is older than the window is too late to matter.
                age >= 64 || self.seen & (1 << age) != 0
            }
            _ => false,
        }
    }

    fn mark_seen(&mut self, sequence: u64) {
        match self.newest {
            Some(newest) if sequence <= newest => {
                let age = newest - sequence;
                if age < 64 {
                    self.seen |= 1 << age;
                }
            }
            Some(newest) => {
                let ahead = sequence - newest;
                self.seen = if ahead < 64 { self.seen << ahead } else { 0 };
                self.seen |= 1;
                self.newest = Some(sequence);
            }
            None => {
                self.seen = 1;
                self.newest = Some(sequence);
            }
        }
    }

    fn units_at(&self, now: CallTime) -> i64 {
        let units = u128::from(now.as_micros()) * u128::from(self.clock_hz) / 1_000_000;
        i64::try_from(units).unwrap_or(i64::MAX)
    }
}

fn to_units(span: Duration, clock_hz: u32) -> i64 {
    let units = span.as_micros() * u128::from(clock_hz) / 1_000_000;
    i64::try_from(units).unwrap_or(i64::MAX)
}

fn from_units(units: i64, clock_hz: u32) -> Duration {
    let micros = u128::from(units.unsigned_abs()) * 1_000_000 / u128::from(clock_hz.max(1));
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
