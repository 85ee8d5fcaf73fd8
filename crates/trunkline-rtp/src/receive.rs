//! The far end's stream: packets in, 20 ms frames out.

use std::time::Duration;

use trunkline_audio::rms_dbfs;
use trunkline_types::{CallTime, TICK};

use crate::comfort_noise::{COMFORT_NOISE_PAYLOAD_TYPE, ComfortNoise};
use crate::conceal::Concealer;
use crate::jitter::{Due, Inserted, JitterBuffer, JitterConfig, Timed};
use crate::packet::RtpPacket;
use crate::payload::{MAX_PAYLOAD_BYTES, PayloadDecoder};
use crate::rtcp::ReportBlock;
use crate::sequence::{Arrival, SequenceTracker, extend_timestamp};
use crate::{Codec, FrameSource};

/// A frame below this is left out without anybody hearing it.
const QUIET_DBFS: f64 = -50.0;

/// With so many frames of surplus delay a frame is left out even of speech, by blending two.
const BLEND_SURPLUS_FRAMES: i64 = 3;

/// What the far end's packets carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PayloadKind {
    Audio(Codec),
    ComfortNoise,
    TelephoneEvent,
}

/// One source and its numbers.
#[derive(Debug)]
struct Source {
    ssrc: u32,
    tracker: SequenceTracker,
    timestamp: i64,
    last_transit: i64,
    /// In clock units (RFC 3550 section 6.4.1).
    jitter: f64,
}

/// Counts of the far end's stream.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct ReceiveCounts {
    pub(crate) packets: u64,
    pub(crate) late: u64,
    pub(crate) duplicate: u64,
    pub(crate) concealed_frames: u64,
    pub(crate) lost_of_earlier_sources: u64,
}

/// The far end's stream.
pub(crate) struct ReceiveStream {
    codec: Codec,
    source: Option<Source>,
    buffer: JitterBuffer,
    decoder: PayloadDecoder,
    concealer: Concealer,
    noise: Option<ComfortNoise>,
    /// Decoded but not yet given out; less than a frame between calls.
    decoded: Vec<i16>,
    counts: ReceiveCounts,
}

impl ReceiveStream {
    pub(crate) fn new(codec: Codec, config: JitterConfig) -> Self {
        Self {
            codec,
            source: None,
            buffer: JitterBuffer::new(config, codec.clock_hz(), TICK),
            decoder: PayloadDecoder::default(),
            concealer: Concealer::new(codec.sample_rate_hz()),
            noise: None,
            decoded: Vec::with_capacity(codec.frame_samples() * 4),
            counts: ReceiveCounts::default(),
        }
    }

    /// Takes a packet of this stream.
    pub(crate) fn packet(&mut self, now: CallTime, packet: &RtpPacket<'_>, kind: PayloadKind) {
        let Some(sequence) = self.follow(now, packet, kind) else {
            return;
        };
        let Some(source) = &self.source else {
            return;
        };
        // Inside the buffer a codec goes by its static number, whatever the SDP calls it.
        let (units, payload_type) = match kind {
            PayloadKind::Audio(codec) if packet.payload.len() <= MAX_PAYLOAD_BYTES => {
                (packet.payload.len() as u32, codec.static_payload_type())
            }
            PayloadKind::ComfortNoise => (0, COMFORT_NOISE_PAYLOAD_TYPE),
            PayloadKind::Audio(_) | PayloadKind::TelephoneEvent => {
                let new = self.buffer.pass_by(sequence);
                self.count(if new {
                    Inserted::Kept
                } else {
                    Inserted::Duplicate
                });
                return;
            }
        };
        let timed = Timed {
            timestamp: source.timestamp,
            units,
            payload_type,
            payload: packet.payload,
        };
        let inserted = self.buffer.insert(now, sequence, timed);
        self.count(inserted);
    }

    /// Fills `frame` with the next 20 ms. While `muted`, what is missing is not invented.
    pub(crate) fn frame(&mut self, now: CallTime, frame: &mut [i16], muted: bool) -> FrameSource {
        let surplus_frames = self.buffer.surplus(now) / i64::from(frame_units(self.codec));
        let mut source = self.fill(now, frame, muted);
        if surplus_frames >= 1 && source == FrameSource::Received && !self.buffer.is_empty() {
            if rms_dbfs(frame) < QUIET_DBFS {
                source = self.fill(now, frame, muted);
            } else if surplus_frames >= BLEND_SURPLUS_FRAMES {
                let leaving = frame.to_vec();
                source = self.fill(now, frame, muted);
                blend(&leaving, frame);
            }
        }
        if source == FrameSource::Concealed {
            self.counts.concealed_frames += 1;
        }
        source
    }

    pub(crate) fn counts(&self) -> ReceiveCounts {
        self.counts
    }

    pub(crate) fn lost(&self) -> u64 {
        let of_this = self.source.as_ref().map_or(0, |s| s.tracker.lost());
        self.counts.lost_of_earlier_sources + of_this
    }

    pub(crate) fn jitter(&self) -> Duration {
        let units = self.source.as_ref().map_or(0.0, |source| source.jitter);
        Duration::from_secs_f64(units / f64::from(self.codec.clock_hz()))
    }

    pub(crate) fn jitter_target(&self) -> Duration {
        self.buffer.target()
    }

    /// What we received, for a report. The times of the last sender report are the caller's.
    pub(crate) fn report(&mut self) -> Option<ReportBlock> {
        let source = self.source.as_mut()?;
        Some(ReportBlock {
            ssrc: source.ssrc,
            fraction_lost: source.tracker.fraction_lost_since_report(),
            cumulative_lost: i32::try_from(source.tracker.lost()).unwrap_or(i32::MAX),
            highest_sequence: source.tracker.extended_highest(),
            jitter: source.jitter as u32,
            last_sender_report: 0,
            delay_since_last: 0,
        })
    }

    /// Carries the counts over to a stream with another codec.
    pub(crate) fn inherit(&mut self, earlier: &Self) {
        self.counts = earlier.counts;
        self.counts.lost_of_earlier_sources = earlier.lost();
    }

    /// Takes the next packet as the first of a new stream: what was sent in between, on hold, is
    /// not lost.
    pub(crate) fn restart(&mut self) {
        self.counts.lost_of_earlier_sources = self.lost();
        self.source = None;
    }

    /// Follows source, sequence and timestamp. `None` when the packet shall be ignored.
    fn follow(&mut self, now: CallTime, packet: &RtpPacket<'_>, kind: PayloadKind) -> Option<u64> {
        let header = &packet.header;
        let arrived = units_at(now, self.codec.clock_hz());
        match &mut self.source {
            Some(source) if source.ssrc == header.ssrc => {
                let sequence = match source.tracker.arrive(header.sequence) {
                    Arrival::Extended(sequence) => sequence,
                    Arrival::Restarted(sequence) => {
                        self.buffer.reset();
                        sequence
                    }
                    Arrival::Suspect => return None,
                };
                source.timestamp = extend_timestamp(header.timestamp, source.timestamp);
                // The timestamp of an event stands still, which is not jitter.
                if kind != PayloadKind::TelephoneEvent {
                    let transit = arrived - source.timestamp;
                    let difference = (transit - source.last_transit).unsigned_abs() as f64;
                    source.jitter += (difference - source.jitter) / 16.0;
                    source.last_transit = transit;
                }
                Some(sequence)
            }
            _ => {
                // Another sender took over, as after a transfer; its numbers begin anew.
                self.counts.lost_of_earlier_sources = self.lost();
                let (tracker, sequence) = SequenceTracker::start(header.sequence);
                let timestamp = i64::from(header.timestamp);
                self.source = Some(Source {
                    ssrc: header.ssrc,
                    tracker,
                    timestamp,
                    last_transit: arrived - timestamp,
                    jitter: 0.0,
                });
                self.buffer.reset();
                self.decoder = PayloadDecoder::default();
                Some(sequence)
            }
        }
    }

    fn count(&mut self, inserted: Inserted) {
        self.counts.packets += 1;
        match inserted {
            Inserted::Kept => {}
            Inserted::Late => self.counts.late += 1,
            Inserted::Duplicate => {
                self.counts.duplicate += 1;
                if let Some(source) = &mut self.source {
                    source.tracker.discount_duplicate();
                }
            }
        }
    }

    fn fill(&mut self, now: CallTime, frame: &mut [i16], muted: bool) -> FrameSource {
        let mut source = if self.decoded.is_empty() {
            FrameSource::Absent
        } else {
            FrameSource::Received
        };
        while self.decoded.len() < frame.len() {
            source = source.or(self.decode_next(now, muted));
        }
        frame.copy_from_slice(&self.decoded[..frame.len()]);
        self.decoded.drain(..frame.len());
        source
    }

    /// Appends at least one sample to what is decoded, or takes in a comfort noise packet.
    fn decode_next(&mut self, now: CallTime, muted: bool) -> FrameSource {
        let start = self.decoded.len();
        match self.buffer.next(now) {
            Due::Packet {
                payload_type: COMFORT_NOISE_PAYLOAD_TYPE,
                payload,
            } => {
                self.noise = ComfortNoise::from_payload(&payload);
                self.buffer.expect_silence();
                FrameSource::Absent
            }
            Due::Packet {
                payload_type,
                payload,
            } => {
                let codec = Codec::from_static_payload_type(payload_type).unwrap_or(self.codec);
                self.decoder.decode(codec, &payload, &mut self.decoded);
                self.concealer.received(&mut self.decoded[start..]);
                self.noise = None;
                FrameSource::Received
            }
            Due::Lost(units) if !muted => {
                self.decoded.resize(start + self.samples(units), 0);
                self.concealer.conceal(&mut self.decoded[start..]);
                FrameSource::Concealed
            }
            Due::Lost(units) | Due::Silent(units) => {
                self.decoded.resize(start + self.samples(units), 0);
                self.concealer.reset();
                if let Some(noise) = &mut self.noise {
                    noise.fill(&mut self.decoded[start..]);
                }
                FrameSource::Absent
            }
        }
    }

    fn samples(&self, units: u32) -> usize {
        let samples_per_unit = self.codec.sample_rate_hz() / self.codec.clock_hz();
        (units * samples_per_unit) as usize
    }
}

/// Slides from one frame into another.
fn blend(leaving: &[i16], coming: &mut [i16]) {
    let length = coming.len() as f32;
    for (index, (old, new)) in leaving.iter().zip(coming).enumerate() {
        let share = (index as f32 + 1.0) / length;
        *new = (f32::from(*old) * (1.0 - share) + f32::from(*new) * share) as i16;
    }
}

fn frame_units(codec: Codec) -> u32 {
    codec.clock_hz() / 50
}

fn units_at(now: CallTime, clock_hz: u32) -> i64 {
    let units = u128::from(now.as_micros()) * u128::from(clock_hz) / 1_000_000;
    i64::try_from(units).unwrap_or(i64::MAX)
}
