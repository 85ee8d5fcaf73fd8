//! Keys as telephone events (RFC 4733), both ways.
//!
//! A key travels as a row of packets with one timestamp and a growing duration; the last ones say
//! that it ended and come three times. One of them all is enough to know the key.

use std::collections::VecDeque;
use std::time::Duration;

use trunkline_types::{CallTime, Digit, TICK};

/// RTP clock of telephone events beside G.711 and G.722.
const CLOCK_HZ: u64 = 8000;

/// Clock units of one 20 ms tick.
const TICK_UNITS: u16 = 160;

/// How long a key that we send sounds. Longer than the 40 ms that receivers must take (ITU-T
/// Q.24), so that nine packets carry it.
const SENT_TICKS: u16 = 6;

/// The end of a key is said this often.
const SENT_ENDS: u16 = 3;

/// Quiet between two keys that we send.
const PAUSE_TICKS: u16 = 4;

/// A key whose packets stop without an end is over. Senders repeat every 20 to 50 ms.
const END_LOST_AFTER: Duration = Duration::from_millis(200);

/// Events whose late packets are still recognised.
const REMEMBERED: usize = 4;

/// A key that the far end pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPress {
    /// Which.
    pub digit: Digit,
    /// How long it was held, as far as it was heard.
    pub held: Duration,
}

/// The payload of one event packet (RFC 4733 section 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPayload {
    /// The event code; 0 to 15 are keys.
    pub event: u8,
    /// The event is over.
    pub end: bool,
    /// Power below 0 dBm0, 0 to 63.
    pub volume: u8,
    /// Since the timestamp, in clock units.
    pub duration: u16,
}

impl EventPayload {
    /// Reads a payload; `None` when it is cut short.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let bytes = payload.first_chunk::<4>()?;
        Some(Self {
            event: bytes[0],
            end: bytes[1] & 0x80 != 0,
            volume: bytes[1] & 0x3f,
            duration: u16::from_be_bytes([bytes[2], bytes[3]]),
        })
    }

    /// As on the wire.
    pub fn to_bytes(self) -> [u8; 4] {
        let [high, low] = self.duration.to_be_bytes();
        let flags = u8::from(self.end) << 7 | (self.volume & 0x3f);
        [self.event, flags, high, low]
    }
}

#[derive(Debug, Clone, Copy)]
struct OpenKey {
    digit: Digit,
    timestamp: u32,
    duration: u16,
    /// Of earlier segments of a very long press (RFC 4733 section 2.5.1.3).
    earlier_units: u64,
    last_heard: CallTime,
}

impl OpenKey {
    fn press(&self) -> KeyPress {
        let units = self.earlier_units + u64::from(self.duration);
        KeyPress {
            digit: self.digit,
            held: Duration::from_micros(units * 1_000_000 / CLOCK_HZ),
        }
    }
}

/// Makes one key press of the many packets that tell it.
#[derive(Debug, Default)]
pub struct KeyReceiver {
    open: Option<OpenKey>,
    finished: VecDeque<u32>,
}

impl KeyReceiver {
    /// Takes an event packet. Returns a key that is certain by now: this one, or the one before
    /// whose end was lost.
    pub fn receive(&mut self, now: CallTime, timestamp: u32, payload: &[u8]) -> Option<KeyPress> {
        let heard = EventPayload::parse(payload)?;
        let digit = Digit::from_event(heard.event)?;
        if self.finished.contains(&timestamp) {
            return None;
        }
        let mut certain = None;
        let mut key = match self.open.take() {
            Some(open) if open.timestamp == timestamp => open,
            Some(open) if is_earlier(timestamp, open.timestamp) => {
                self.open = Some(open);
                return None;
            }
            Some(open) if continues(&open, digit, timestamp) => OpenKey {
                timestamp,
                duration: 0,
                earlier_units: open.earlier_units + u64::from(u16::MAX),
                ..open
            },
            previous => {
                certain = previous.map(|open| self.finish(&open));
                OpenKey {
                    digit,
                    timestamp,
                    duration: 0,
                    earlier_units: 0,
                    last_heard: now,
                }
            }
        };
        key.duration = key.duration.max(heard.duration);
        key.last_heard = now;
        if heard.end && certain.is_none() {
            return Some(self.finish(&key));
        }
        // When this very packet ends the key while another is told, the repeats of the end or the
        // timeout tell this one.
        self.open = Some(key);
        certain
    }

    /// Gives a key up as ended when nothing more of it came.
    pub fn poll(&mut self, now: CallTime) -> Option<KeyPress> {
        let open = self.open?;
        if now.since(open.last_heard) < END_LOST_AFTER {
            return None;
        }
        self.open = None;
        Some(self.finish(&open))
    }

    /// Whether a key is being pressed now; then the audio beside it is not speech.
    pub fn is_pressed(&self) -> bool {
        self.open.is_some()
    }

    fn finish(&mut self, key: &OpenKey) -> KeyPress {
        if self.finished.len() == REMEMBERED {
            self.finished.pop_front();
        }
        self.finished.push_back(key.timestamp);
        key.press()
    }
}

fn is_earlier(timestamp: u32, than: u32) -> bool {
    than.wrapping_sub(timestamp) < 1 << 31
}

fn continues(open: &OpenKey, digit: Digit, timestamp: u32) -> bool {
    open.digit == digit && timestamp == open.timestamp.wrapping_add(u32::from(u16::MAX))
}

/// What the sender of keys wants in this tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyTick {
    /// Nothing to send: audio as usual.
    Idle,
    /// This packet instead of audio.
    Packet {
        /// The first of its key.
        marker: bool,
        /// When its key began.
        timestamp: u32,
        /// The payload.
        payload: [u8; 4],
    },
    /// The quiet after a key: audio, but silent.
    Pause,
}

/// Sends keys one after the other, a step each 20 ms tick.
#[derive(Debug, Default)]
pub struct KeySender {
    waiting: VecDeque<Digit>,
    sounding: Option<SoundingKey>,
}

#[derive(Debug)]
struct SoundingKey {
    digit: Digit,
    timestamp: u32,
    tick: u16,
}

impl KeySender {
    /// Queues keys.
    pub fn push(&mut self, digits: &[Digit]) {
        self.waiting.extend(digits);
    }

    /// Whether there is a key to send, or one is not over.
    pub fn is_busy(&self) -> bool {
        self.sounding.is_some() || !self.waiting.is_empty()
    }

    /// Advances by one tick that begins at `timestamp` on the RTP clock.
    pub fn tick(&mut self, timestamp: u32) -> KeyTick {
        let key = match self.sounding.take() {
            Some(key) => key,
            None => match self.waiting.pop_front() {
                Some(digit) => SoundingKey {
                    digit,
                    timestamp,
                    tick: 0,
                },
                None => return KeyTick::Idle,
            },
        };
        let tick = key.tick;
        let step = if tick < SENT_TICKS + SENT_ENDS {
            let payload = EventPayload {
                event: key.digit.event(),
                end: tick >= SENT_TICKS,
                volume: 10,
                duration: TICK_UNITS * (tick + 1).min(SENT_TICKS),
            };
            KeyTick::Packet {
                marker: tick == 0,
                timestamp: key.timestamp,
                payload: payload.to_bytes(),
            }
        } else {
            KeyTick::Pause
        };
        if tick + 1 < SENT_TICKS + SENT_ENDS + PAUSE_TICKS {
            self.sounding = Some(SoundingKey {
                tick: tick + 1,
                ..key
            });
        }
        step
    }
}

/// How long one key takes to send, its pause included.
pub const SENT_KEY: Duration =
    Duration::from_millis(TICK.as_millis() as u64 * (SENT_TICKS + SENT_ENDS + PAUSE_TICKS) as u64);

#[cfg(test)]
mod tests;
