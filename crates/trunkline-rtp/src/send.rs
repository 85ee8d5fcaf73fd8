//! Our stream: 20 ms of samples in, packets out.

use std::collections::VecDeque;
use std::time::Duration;

use trunkline_audio::DualTone;
use trunkline_types::Digit;

use crate::packet::RtpHeader;
use crate::payload::PayloadEncoder;
use crate::telephone_event::{EventPayload, KeySender, KeyTick};
use crate::{Codec, MediaParameters};

/// Clock units of a 20 ms tick; the same number of payload bytes for all our codecs.
const TICK_UNITS: u32 = 160;

/// The numbers that a stream begins with, chosen at random by the caller (RFC 3550 section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamIdentity {
    /// Names our stream.
    pub ssrc: u32,
    /// Of the first packet.
    pub sequence: u16,
    /// Of the first sample.
    pub timestamp: u32,
}

/// Our stream.
pub(crate) struct SendStream {
    codec: Codec,
    payload_type: u8,
    telephone_event: Option<u8>,
    packet_bytes: usize,
    ssrc: u32,
    sequence: u16,
    /// Of the tick that comes.
    timestamp: u32,
    encoder: PayloadEncoder,
    /// Encoded but not yet a packet's worth.
    pending: Vec<u8>,
    /// The next packet is the first after a silence.
    marker: bool,
    keys: KeySender,
    tone: Option<(Digit, DualTone)>,
    packets: u64,
    octets: u64,
    /// Datagrams to send, in order, and emptied ones to use again.
    outgoing: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
}

impl SendStream {
    pub(crate) fn new(identity: StreamIdentity, parameters: &MediaParameters) -> Self {
        let mut stream = Self {
            codec: parameters.codec,
            payload_type: parameters.payload_type,
            telephone_event: parameters.telephone_event,
            packet_bytes: 0,
            ssrc: identity.ssrc,
            sequence: identity.sequence,
            timestamp: identity.timestamp,
            encoder: PayloadEncoder::default(),
            pending: Vec::new(),
            marker: true,
            keys: KeySender::default(),
            tone: None,
            packets: 0,
            octets: 0,
            outgoing: VecDeque::new(),
            spare: Vec::new(),
        };
        stream.update(parameters);
        stream
    }

    /// Goes on with the same source and timeline under new parameters.
    pub(crate) fn update(&mut self, parameters: &MediaParameters) {
        if parameters.codec != self.codec {
            self.encoder = PayloadEncoder::default();
            self.pending.clear();
        }
        self.codec = parameters.codec;
        self.payload_type = parameters.payload_type;
        self.telephone_event = parameters.telephone_event;
        let ptime = parameters
            .ptime
            .clamp(Duration::from_millis(10), Duration::from_millis(60));
        self.packet_bytes = ptime.as_millis() as usize * 8;
    }

    pub(crate) fn push_keys(&mut self, digits: &[Digit]) {
        self.keys.push(digits);
    }

    pub(crate) fn is_sending_keys(&self) -> bool {
        self.keys.is_busy()
    }

    /// Sends one tick: keys that are queued, else the samples.
    pub(crate) fn tick(&mut self, pcm: &[i16]) {
        match self.keys.tick(self.timestamp) {
            KeyTick::Idle => self.audio(pcm),
            KeyTick::Packet {
                marker,
                timestamp,
                payload,
            } => match self.telephone_event {
                Some(payload_type) => self.event(payload_type, marker, timestamp, payload),
                None => self.key_as_tone(payload),
            },
            KeyTick::Pause => {
                self.tone = None;
                self.audio(&vec![0; self.codec.frame_samples()]);
            }
        }
        self.timestamp = self.timestamp.wrapping_add(TICK_UNITS);
    }

    /// Lets one tick pass unsent, so that the timeline stays true.
    pub(crate) fn skip(&mut self) {
        self.pending.clear();
        self.marker = true;
        self.timestamp = self.timestamp.wrapping_add(TICK_UNITS);
    }

    /// The next datagram to send.
    pub(crate) fn transmit(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    /// Takes a datagram back for use.
    pub(crate) fn reuse(&mut self, datagram: Vec<u8>) {
        self.spare.push(datagram);
    }

    pub(crate) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub(crate) fn timestamp(&self) -> u32 {
        self.timestamp
    }

    pub(crate) fn packets(&self) -> u64 {
        self.packets
    }

    pub(crate) fn octets(&self) -> u64 {
        self.octets
    }

    fn audio(&mut self, pcm: &[i16]) {
        // Of the first byte in `pending`, which may be from the tick before.
        let mut timestamp = self.timestamp.wrapping_sub(self.pending.len() as u32);
        let mut pending = std::mem::take(&mut self.pending);
        self.encoder.encode(self.codec, pcm, &mut pending);
        let mut sent = 0;
        while pending.len() - sent >= self.packet_bytes {
            let payload = &pending[sent..sent + self.packet_bytes];
            let marker = std::mem::take(&mut self.marker);
            self.packet(self.payload_type, marker, timestamp, payload);
            timestamp = timestamp.wrapping_add(self.packet_bytes as u32);
            sent += self.packet_bytes;
        }
        pending.drain(..sent);
        self.pending = pending;
    }

    fn event(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload: [u8; 4]) {
        self.pending.clear();
        // Audio after a key begins a new stretch.
        self.marker = true;
        self.packet(payload_type, marker, timestamp, &payload);
    }

    /// For a far end without telephone events: the key's two tones, in the audio.
    fn key_as_tone(&mut self, payload: [u8; 4]) {
        let mut pcm = vec![0; self.codec.frame_samples()];
        let heard = EventPayload::parse(&payload)
            .filter(|event| !event.end)
            .and_then(|event| Digit::from_event(event.event));
        if let Some(digit) = heard {
            let rate = self.codec.sample_rate_hz();
            let sounding = self.tone.take().filter(|(key, _)| *key == digit);
            let (_, tone) = self
                .tone
                .insert(sounding.unwrap_or_else(|| (digit, DualTone::dtmf(digit, rate))));
            tone.fill(&mut pcm);
        }
        self.audio(&pcm);
    }

    fn packet(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload: &[u8]) {
        let header = RtpHeader {
            marker,
            payload_type,
            sequence: self.sequence,
            timestamp,
            ssrc: self.ssrc,
        };
        let mut datagram = self.spare.pop().unwrap_or_default();
        header.build(payload, &mut datagram);
        self.outgoing.push_back(datagram);
        self.sequence = self.sequence.wrapping_add(1);
        self.packets += 1;
        self.octets += payload.len() as u64;
    }
}
