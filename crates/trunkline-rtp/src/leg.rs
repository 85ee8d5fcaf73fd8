//! One leg's media, whole: datagrams and 20 ms of samples in, 20 ms of samples and datagrams out.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use trunkline_types::{CallTime, Digit};

use crate::comfort_noise::COMFORT_NOISE_PAYLOAD_TYPE;
use crate::latch::{Latch, Verdict};
use crate::packet::{RtpPacket, is_rtcp};
use crate::receive::{PayloadKind, ReceiveStream};
use crate::report::{Reports, sender_info};
use crate::send::SendStream;
use crate::telephone_event::{KeyPress, KeyReceiver};
use crate::{Codec, JitterConfig, MediaParameters, NtpTime, StreamIdentity};

/// Where a frame came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrameSource {
    /// Nothing was sent for it, as far as can be known.
    Absent,
    /// Invented for what was lost.
    Concealed,
    /// Decoded, at least in part.
    Received,
}

impl FrameSource {
    /// Of a frame put together from two parts.
    pub(crate) fn or(self, other: Self) -> Self {
        self.max(other)
    }
}

/// What the operator sets for all legs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpConfig {
    /// For the jitter buffer.
    pub jitter: JitterConfig,
    /// Without a packet for so long, a leg is dead.
    pub timeout: Duration,
}

/// What a leg noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RtpNotice {
    /// The far end pressed a key.
    Key(KeyPress),
    /// The far end's audio comes from here, and ours goes there from now on.
    Latched(SocketAddr),
    /// No packet came for the configured time. Told once for each silence.
    Timeout {
        /// How long nothing came.
        silent_for: Duration,
    },
}

/// The figures of one leg since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RtpStatistics {
    /// Where we send to, once known.
    pub remote: Option<SocketAddr>,
    /// RTP packets received that belong to the stream.
    pub packets_received: u64,
    /// RTP packets sent, telephone events included.
    pub packets_sent: u64,
    /// Packets that never came, by sequence number (RFC 3550 appendix A.3).
    pub packets_lost: u64,
    /// Packets that came after their time to be played.
    pub packets_late: u64,
    /// Packets that came twice.
    pub packets_duplicate: u64,
    /// Datagrams ignored: not RTP, unknown payload type, or from a stranger.
    pub datagrams_ignored: u64,
    /// Frames invented for lost packets.
    pub frames_concealed: u64,
    /// Interarrival jitter of what we receive (RFC 3550 section 6.4.1).
    pub jitter: Duration,
    /// The delay that the jitter buffer aims for at present.
    pub jitter_target: Duration,
    /// Round trip by RTCP, once the far end has reported on us.
    pub round_trip: Option<Duration>,
    /// Share of our packets that the far end last reported lost, 0 to 1.
    pub far_end_loss: Option<f32>,
}

/// One leg's media.
pub struct RtpLeg {
    config: RtpConfig,
    parameters: MediaParameters,
    latch: Latch,
    receiving: ReceiveStream,
    sending: SendStream,
    keys: KeyReceiver,
    reports: Reports,
    notices: VecDeque<RtpNotice>,
    last_packet: CallTime,
    timeout_told: bool,
    ignored: u64,
}

impl RtpLeg {
    /// A leg that begins now.
    pub fn new(
        now: CallTime,
        config: RtpConfig,
        parameters: MediaParameters,
        identity: StreamIdentity,
    ) -> Self {
        Self {
            latch: Latch::new(parameters.remote),
            receiving: ReceiveStream::new(parameters.codec, config.jitter),
            sending: SendStream::new(identity, &parameters),
            keys: KeyReceiver::default(),
            reports: Reports::new(now, identity.ssrc),
            notices: VecDeque::new(),
            last_packet: now,
            timeout_told: false,
            ignored: 0,
            config,
            parameters,
        }
    }

    /// Takes over what a new SDP exchange settled.
    pub fn update(&mut self, now: CallTime, parameters: MediaParameters) {
        if parameters.remote != self.parameters.remote {
            self.latch = Latch::new(parameters.remote);
        }
        if parameters.codec != self.parameters.codec {
            let earlier = std::mem::replace(
                &mut self.receiving,
                ReceiveStream::new(parameters.codec, self.config.jitter),
            );
            self.receiving.inherit(&earlier);
        }
        if parameters.receive && !self.parameters.receive {
            self.last_packet = now;
            self.timeout_told = false;
            self.receiving.restart();
        }
        self.sending.update(&parameters);
        self.parameters = parameters;
    }

    /// Takes a datagram from the RTP port. What is not the far end's RTP is ignored.
    pub fn receive(&mut self, now: CallTime, source: SocketAddr, datagram: &[u8]) {
        if is_rtcp(datagram) {
            self.receive_rtcp(now, source, datagram);
            return;
        }
        let known = RtpPacket::parse(datagram)
            .ok()
            .and_then(|packet| Some((packet, self.kind(packet.header.payload_type)?)));
        let Some((packet, kind)) = known else {
            self.ignored += 1;
            return;
        };
        match self.latch.judge(now, source) {
            Verdict::Accept => {}
            Verdict::Latched => self.notices.push_back(RtpNotice::Latched(source)),
            Verdict::Stranger => {
                self.ignored += 1;
                return;
            }
        }
        self.last_packet = now;
        self.timeout_told = false;
        if !self.parameters.receive {
            return;
        }
        self.receiving.packet(now, &packet, kind);
        if kind == PayloadKind::TelephoneEvent {
            let timestamp = packet.header.timestamp;
            if let Some(press) = self.keys.receive(now, timestamp, packet.payload) {
                self.notices.push_back(RtpNotice::Key(press));
            }
        }
    }

    /// Takes a datagram from the RTCP port. Only the host that the media comes from is believed.
    pub fn receive_rtcp(&mut self, now: CallTime, source: SocketAddr, datagram: &[u8]) {
        let believed = self
            .latch
            .destination()
            .is_some_and(|destination| destination.ip() == source.ip());
        if believed && is_rtcp(datagram) {
            self.reports.receive(now, self.sending.ssrc(), datagram);
        } else {
            self.ignored += 1;
        }
    }

    /// Fills `frame`, of [`Codec::frame_samples`], with the next 20 ms of the far end. Called
    /// every 20 ms, whatever arrived.
    pub fn poll_frame(&mut self, now: CallTime, frame: &mut [i16]) -> FrameSource {
        if let Some(press) = self.keys.poll(now) {
            self.notices.push_back(RtpNotice::Key(press));
        }
        if !self.parameters.receive {
            frame.fill(0);
            return FrameSource::Absent;
        }
        let silent_for = now.since(self.last_packet);
        if silent_for >= self.config.timeout && !self.timeout_told {
            self.timeout_told = true;
            self.notices.push_back(RtpNotice::Timeout { silent_for });
        }
        let muted = self.keys.is_pressed();
        self.receiving.frame(now, frame, muted)
    }

    /// What was noticed since the last call, oldest first.
    pub fn poll_notice(&mut self) -> Option<RtpNotice> {
        self.notices.pop_front()
    }

    /// Whether samples given to [`send`](Self::send) in this tick reach the far end: it wants
    /// them, we know where it is, and no key is being sent.
    pub fn takes_audio(&self) -> bool {
        self.is_open() && !self.sending.is_sending_keys()
    }

    /// Sends 20 ms of samples at the codec's rate, or the key whose turn it is. Called every
    /// 20 ms; `transmit` is given each datagram and where it goes.
    pub fn send(&mut self, pcm: &[i16], mut transmit: impl FnMut(SocketAddr, &[u8])) {
        let destination = self.latch.destination().filter(|_| self.parameters.send);
        let Some(destination) = destination else {
            self.sending.skip();
            return;
        };
        self.sending.tick(pcm);
        while let Some(datagram) = self.sending.transmit() {
            transmit(destination, &datagram);
            self.sending.reuse(datagram);
        }
    }

    /// Sends keys, one after the other, instead of audio: as telephone events, or as tones to a
    /// far end that has none.
    pub fn send_keys(&mut self, digits: &[Digit]) {
        self.sending.push_keys(digits);
    }

    /// The RTCP compound, when one is due. `ntp` is asked for only then. RTCP goes to the port
    /// above the far end's RTP.
    pub fn poll_rtcp(
        &mut self,
        now: CallTime,
        ntp: impl FnOnce() -> NtpTime,
        datagram: &mut Vec<u8>,
    ) -> Option<SocketAddr> {
        if !self.reports.is_due(now) {
            return None;
        }
        self.build_rtcp(now, ntp(), false, datagram)
    }

    /// The last RTCP compound, with BYE.
    pub fn goodbye(
        &mut self,
        now: CallTime,
        ntp: NtpTime,
        datagram: &mut Vec<u8>,
    ) -> Option<SocketAddr> {
        self.build_rtcp(now, ntp, true, datagram)
    }

    /// The figures so far.
    pub fn statistics(&self) -> RtpStatistics {
        let counts = self.receiving.counts();
        RtpStatistics {
            remote: self.latch.destination(),
            packets_received: counts.packets,
            packets_sent: self.sending.packets(),
            packets_lost: self.receiving.lost(),
            packets_late: counts.late,
            packets_duplicate: counts.duplicate,
            datagrams_ignored: self.ignored,
            frames_concealed: counts.concealed_frames,
            jitter: self.receiving.jitter(),
            jitter_target: self.receiving.jitter_target(),
            round_trip: self.reports.round_trip,
            far_end_loss: self.reports.far_end_loss,
        }
    }

    /// The codec at present.
    pub fn codec(&self) -> Codec {
        self.parameters.codec
    }

    fn is_open(&self) -> bool {
        self.parameters.send && self.latch.destination().is_some()
    }

    fn kind(&self, payload_type: u8) -> Option<PayloadKind> {
        let ours = &self.parameters;
        if payload_type == ours.payload_type {
            return Some(PayloadKind::Audio(ours.codec));
        }
        if Some(payload_type) == ours.telephone_event {
            return Some(PayloadKind::TelephoneEvent);
        }
        if payload_type == COMFORT_NOISE_PAYLOAD_TYPE {
            return Some(PayloadKind::ComfortNoise);
        }
        // Some far ends change between the two laws without a word.
        Codec::from_static_payload_type(payload_type)
            .filter(|codec| codec.sample_rate_hz() == ours.codec.sample_rate_hz())
            .map(PayloadKind::Audio)
    }

    fn build_rtcp(
        &mut self,
        now: CallTime,
        ntp: NtpTime,
        bye: bool,
        datagram: &mut Vec<u8>,
    ) -> Option<SocketAddr> {
        let rtp = self.latch.destination()?;
        let sends = self.parameters.send && self.sending.packets() > 0;
        let sender = sends.then(|| {
            sender_info(
                ntp,
                self.sending.timestamp(),
                self.sending.packets(),
                self.sending.octets(),
            )
        });
        let block = self.receiving.report();
        self.reports
            .build(now, self.sending.ssrc(), sender, block, bye, datagram);
        Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?))
    }
}

#[cfg(test)]
mod tests;
