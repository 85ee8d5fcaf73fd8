//! The far ends: sockets that speak a clip and note when the agent sounds.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use trunkline_rtp::{RtpHeader, RtpPacket};

/// Samples, and bytes of G.711, in 20 ms.
pub(crate) const FRAME: usize = 160;

const PACKET: Duration = Duration::from_millis(20);
const SILENCE: [u8; FRAME] = [0xFF; FRAME];

/// The agent is through when it was silent for so long: longer than the gap between two lines.
const AGENT_THROUGH: Duration = Duration::from_millis(500);

/// The agent is cut into when it has sounded for so long.
const CUT_IN_AFTER: Duration = Duration::from_millis(600);

/// An answer of the agent to what a far end said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) call: u64,
    pub(crate) kind: Kind,
    /// When the far end's last sounding packet left.
    pub(crate) fell_silent: Instant,
    /// When the agent's first sounding packet came after that.
    pub(crate) heard: Instant,
}

/// How the far end took its turn.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// After the agent was through.
    AfterAgent,
    /// Over the agent.
    BargeIn {
        /// When the far end's first sounding packet left.
        began: Instant,
        /// When the agent's last sounding packet came.
        agent_stopped: Instant,
    },
}

#[derive(Debug, Clone, Copy)]
enum State {
    Listening,
    Speaking { frame: usize, began: Instant },
    Waiting { fell_silent: Instant, kind: Kind },
}

/// One far end.
pub(crate) struct FarEnd {
    call: u64,
    socket: UdpSocket,
    header: RtpHeader,
    clip: Arc<[Vec<u8>]>,
    due: Option<Instant>,
    state: State,
    cuts_in: bool,
    /// The agent's present stretch of sound: its first and its last packet.
    agent: Option<(Instant, Instant)>,
}

impl FarEnd {
    pub(crate) fn bind(call: u64, agent: SocketAddr, clip: Arc<[Vec<u8>]>) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_nonblocking(true)?;
        socket.connect(agent)?;
        let header = RtpHeader {
            ssrc: 1 + u32::try_from(call)?,
            ..RtpHeader::default()
        };
        Ok(Self {
            call,
            socket,
            header,
            clip,
            due: None,
            state: State::Listening,
            cuts_in: false,
            agent: None,
        })
    }

    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    fn turn(&mut self, started: Instant, answers: &mut Vec<Answer>) {
        self.receive(answers);
        let now = Instant::now();
        // Spread over the 20 ms, so that every phase against the wheel occurs.
        let phase = Duration::from_micros(self.call * 7_300 % 20_000);
        let due = *self.due.get_or_insert(started + phase);
        if now < due {
            return;
        }
        self.due = Some(due + PACKET);
        let clip = Arc::clone(&self.clip);
        let payload = match self.next_frame(now) {
            Some(frame) => &clip[frame][..],
            None => &SILENCE,
        };
        let mut datagram = Vec::with_capacity(172);
        self.header.build(payload, &mut datagram);
        self.header.sequence = self.header.sequence.wrapping_add(1);
        self.header.timestamp = self.header.timestamp.wrapping_add(FRAME as u32);
        // A far end that finds nobody hears nothing, and then too few turns are measured.
        let _ = self.socket.send(&datagram);
    }

    /// The frame of the clip to send now.
    fn next_frame(&mut self, now: Instant) -> Option<usize> {
        if let State::Listening = self.state {
            let (first, last) = self.agent?;
            let cut = self.cuts_in && last - first >= CUT_IN_AFTER;
            if !cut && now - last < AGENT_THROUGH {
                return None;
            }
            self.state = State::Speaking {
                frame: 0,
                began: now,
            };
        }
        let State::Speaking { frame, began } = self.state else {
            return None;
        };
        if frame + 1 < self.clip.len() {
            let frame = frame + 1;
            self.state = State::Speaking { frame, began };
        } else {
            let over_agent = self
                .agent
                .filter(|(_, last)| self.cuts_in && *last >= began);
            let kind = over_agent.map_or(Kind::AfterAgent, |(_, last)| Kind::BargeIn {
                began,
                agent_stopped: last,
            });
            self.agent = None;
            self.cuts_in = !self.cuts_in;
            self.state = State::Waiting {
                fell_silent: now,
                kind,
            };
        }
        Some(frame)
    }

    fn receive(&mut self, answers: &mut Vec<Answer>) {
        let mut datagram = [0; 512];
        while let Ok(length) = self.socket.recv(&mut datagram) {
            let Ok(packet) = RtpPacket::parse(&datagram[..length]) else {
                continue;
            };
            let quiet = |byte: &u8| byte & 0x70 == 0x70;
            if packet.payload.iter().all(quiet) {
                continue;
            }
            let now = Instant::now();
            let first = self.agent.map_or(now, |(first, _)| first);
            self.agent = Some((first, now));
            if let State::Waiting { fell_silent, kind } = self.state {
                answers.push(Answer {
                    call: self.call,
                    kind,
                    fell_silent,
                    heard: now,
                });
                self.state = State::Listening;
            }
        }
    }
}

/// Lets the far ends talk for so long and gives every answer that they got.
pub(crate) fn talk(mut far_ends: Vec<FarEnd>, span: Duration) -> Vec<Answer> {
    let started = Instant::now();
    let mut answers = Vec::new();
    while started.elapsed() < span {
        for far_end in &mut far_ends {
            far_end.turn(started, &mut answers);
        }
        pause(Duration::from_micros(500));
    }
    answers
}

#[expect(
    clippy::disallowed_methods,
    reason = "a thread that paces itself may sleep"
)]
fn pause(span: Duration) {
    thread::sleep(span);
}
