//! One leg on the wheel: its sockets, its stream and its frames.
//!
//! A tick has two halves. All legs of a slot send first, so that what one leg hears does not delay
//! what the next one says; then they listen.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use trunkline_audio::{Downsampler, Upsampler};
use trunkline_leg::{CallerAudio, FRAME_SAMPLES, Frame, LegEvent, MediaTick, PlayoutMark};
use trunkline_rtp::{FrameSource, MediaParameters, NtpTime, RtpConfig, RtpLeg, RtpNotice};
use trunkline_turn::SpeechDetector;
use trunkline_types::{CallTime, TICK};

use crate::control::{LegCommand, LegShared};
use crate::identity::random_identity;
use crate::playout::Playout;
use crate::sockets::SocketPair;
use crate::totals::Totals;
use crate::{MediaNotice, MediaStatistics};

/// Datagrams read from a socket in one tick at most: a flood may not hold up the wheel.
const DRAINED_PER_TICK: usize = 32;

/// Stale datagrams dropped before a leg begins, at most.
const STALE_DATAGRAMS: usize = 4096;

/// Ticks between two publications of the figures.
const PUBLISHED_EVERY: u64 = 50;

/// Larger than any RTP packet of ours; longer ones are cut and then refused.
const DATAGRAM_BYTES: usize = 2048;

/// What a leg is made of when it comes to the wheel.
#[derive(Debug)]
pub(crate) struct NewLeg {
    pub(crate) sockets: SocketPair,
    pub(crate) shared: Arc<LegShared>,
    pub(crate) parameters: MediaParameters,
    pub(crate) events: mpsc::Sender<LegEvent>,
    pub(crate) notices: mpsc::UnboundedSender<MediaNotice>,
}

/// One leg on the wheel.
pub(crate) struct WheelLeg {
    sockets: SocketPair,
    shared: Arc<LegShared>,
    events: mpsc::Sender<LegEvent>,
    notices: mpsc::UnboundedSender<MediaNotice>,
    rtp: RtpLeg,
    playout: Playout,
    detector: SpeechDetector,
    upsampler: Upsampler,
    downsampler: Downsampler,
    /// The start of the present tick on the call's clock.
    at: CallTime,
    ticks: u64,
    /// What was said in the first half of the tick, for the event of the second.
    agent: [i16; FRAME_SAMPLES],
    playing: Option<PlayoutMark>,
    commands: Vec<LegCommand>,
    datagram: Vec<u8>,
    events_dropped: u64,
    send_errors: u64,
    /// Of all legs of this thread, and what this leg last added to it.
    totals: Arc<Totals>,
    published: MediaStatistics,
}

impl WheelLeg {
    pub(crate) fn new(new: NewLeg, config: RtpConfig, totals: Arc<Totals>) -> Self {
        let leg = Self {
            rtp: RtpLeg::new(CallTime::ZERO, config, new.parameters, random_identity()),
            sockets: new.sockets,
            shared: new.shared,
            events: new.events,
            notices: new.notices,
            playout: Playout::default(),
            detector: SpeechDetector::new(),
            upsampler: Upsampler::default(),
            downsampler: Downsampler::default(),
            at: CallTime::ZERO,
            ticks: 0,
            agent: [0; FRAME_SAMPLES],
            playing: None,
            commands: Vec::new(),
            datagram: Vec::new(),
            events_dropped: 0,
            send_errors: 0,
            totals,
            published: MediaStatistics::default(),
        };
        // What came before the call was set up is not part of it.
        for socket in [&leg.sockets.rtp, &leg.sockets.rtcp] {
            drain(socket, STALE_DATAGRAMS, |_, _| {});
        }
        leg
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// The first half: does what was asked for and sends 20 ms. Returns whether a packet went out.
    pub(crate) fn send(&mut self) -> bool {
        self.obey();
        self.playing = if self.rtp.takes_audio() {
            self.playout.next(&mut self.agent)
        } else {
            self.playout.wait(&mut self.agent);
            None
        };
        let mut narrow = [0; FRAME_SAMPLES / 2];
        let pcm: &[i16] = if self.rtp.codec().frame_samples() == FRAME_SAMPLES {
            &self.agent
        } else {
            self.downsampler.process(&self.agent, &mut narrow);
            &narrow
        };
        let (mut sent, mut refused) = (false, 0);
        let socket = &self.sockets.rtp;
        self.rtp.send(pcm, |destination, datagram| {
            sent = true;
            refused += u64::from(socket.send_to(datagram, destination).is_err());
        });
        self.send_errors += refused;
        sent
    }

    /// The second half: takes what came and tells the agent about this tick.
    pub(crate) fn listen(&mut self) {
        self.receive();
        let mut caller = Frame::silence();
        let caller_audio = self.caller_frame(&mut caller.0);
        self.tell_notices();
        let speech = self.detector.hear(&caller.0);
        let ended = self.at + TICK;
        self.emit(LegEvent::Tick(MediaTick {
            at: ended,
            caller,
            caller_audio,
            speech,
            agent: Frame(Box::new(self.agent)),
            playing: self.playing,
        }));
        self.at = ended;
        self.ticks += 1;
        self.report();
        if self.ticks.is_multiple_of(PUBLISHED_EVERY) {
            self.publish();
        }
    }

    /// Says goodbye and leaves the last figures.
    pub(crate) fn close(&mut self) {
        let mut datagram = std::mem::take(&mut self.datagram);
        if let Some(destination) = self.rtp.goodbye(self.at, wall_clock(), &mut datagram) {
            // Nobody is left to tell when even this fails.
            let _ = self.sockets.rtcp.send_to(&datagram, destination);
        }
        self.publish();
    }

    /// Tells signalling that this leg is broken.
    pub(crate) fn fail(&self) {
        let _ = self.notices.send(MediaNotice::Failed);
    }

    fn obey(&mut self) {
        self.shared.take_commands(&mut self.commands);
        for command in self.commands.drain(..) {
            match command {
                LegCommand::Play(chunk) => self.playout.play(chunk),
                LegCommand::Clear(fade) => self.playout.clear(fade),
                LegCommand::Dtmf(digits) => self.rtp.send_keys(&digits),
                LegCommand::Update(parameters) => self.rtp.update(self.at, parameters),
            }
        }
    }

    fn receive(&mut self) {
        let (rtp, at) = (&mut self.rtp, self.at);
        drain(&self.sockets.rtp, DRAINED_PER_TICK, |source, datagram| {
            rtp.receive(at, source, datagram);
        });
        drain(&self.sockets.rtcp, DRAINED_PER_TICK, |source, datagram| {
            rtp.receive_rtcp(at, source, datagram);
        });
    }

    fn caller_frame(&mut self, wide: &mut [i16; FRAME_SAMPLES]) -> CallerAudio {
        let source = if self.rtp.codec().frame_samples() == FRAME_SAMPLES {
            self.rtp.poll_frame(self.at, wide)
        } else {
            let mut narrow = [0; FRAME_SAMPLES / 2];
            let source = self.rtp.poll_frame(self.at, &mut narrow);
            self.upsampler.process(&narrow, wide);
            source
        };
        match source {
            FrameSource::Received => CallerAudio::Received,
            FrameSource::Concealed => CallerAudio::Concealed,
            FrameSource::Absent => CallerAudio::Absent,
        }
    }

    fn tell_notices(&mut self) {
        while let Some(notice) = self.rtp.poll_notice() {
            let told = match notice {
                RtpNotice::Key(press) => {
                    self.emit(LegEvent::Dtmf {
                        digit: press.digit,
                        held: press.held,
                    });
                    continue;
                }
                RtpNotice::Latched(source) => MediaNotice::Latched(source),
                RtpNotice::Timeout { silent_for } => MediaNotice::RtpTimeout { silent_for },
            };
            // A signalling side that is gone drops the port soon.
            let _ = self.notices.send(told);
        }
    }

    fn emit(&mut self, event: LegEvent) {
        if let Err(TrySendError::Full(_)) = self.events.try_send(event) {
            self.events_dropped += 1;
        }
    }

    fn report(&mut self) {
        let due = self.rtp.poll_rtcp(self.at, wall_clock, &mut self.datagram);
        if let Some(destination) = due {
            let refused = self
                .sockets
                .rtcp
                .send_to(&self.datagram, destination)
                .is_err();
            self.send_errors += u64::from(refused);
        }
    }

    fn publish(&mut self) {
        let figures = MediaStatistics {
            rtp: self.rtp.statistics(),
            ticks: self.ticks,
            events_dropped: self.events_dropped,
            send_errors: self.send_errors,
        };
        self.totals.add(&self.published, &figures);
        self.published = figures;
        self.shared.publish(figures);
    }
}

/// Reads what waits in a socket, `most` datagrams at most.
fn drain(socket: &UdpSocket, most: usize, mut take: impl FnMut(SocketAddr, &[u8])) {
    let mut datagram = [0; DATAGRAM_BYTES];
    for _ in 0..most {
        match socket.recv_from(&mut datagram) {
            Ok((length, source)) => take(source, &datagram[..length]),
            // An ICMP error of an earlier send says nothing about what waits behind it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(_) => break,
        }
    }
}

fn wall_clock() -> NtpTime {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    NtpTime::from_unix_micros(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
}
