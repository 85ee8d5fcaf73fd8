//! The far ends: steady G.711 from one socket a leg, and a count of what comes back.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use trunkline_audio::{Tone, g711};
use trunkline_rtp::{RtpHeader, RtpPacket};

use crate::pause;

/// Slots of one 20 ms turn, so that legs are spread like calls are.
const SLOTS: usize = 20;
const SLOT: Duration = Duration::from_millis(1);
const FRAME: usize = 160;

/// Stragglers are waited for so long after the last packet was sent.
const STRAGGLERS: Duration = Duration::from_millis(300);

/// What the load process tells the bench.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct LoadFigures {
    /// Packets sent on each leg.
    pub(crate) sent_per_leg: u64,
    /// Packets missing in what came back, by sequence number, over all legs.
    pub(crate) lost: u64,
    /// Legs from which too little sound came back.
    pub(crate) silent_legs: u64,
}

struct FarEnd {
    socket: UdpSocket,
    header: RtpHeader,
    sent: u64,
    received: u64,
    sounding: u64,
    first: Option<u16>,
    /// How far the newest is beyond the first.
    span: u16,
}

/// Runs `legs wheel_port load_port milliseconds` and prints [`LoadFigures`].
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let number = |index: usize| -> anyhow::Result<u64> {
        let text = arguments.get(index).context("four numbers are needed")?;
        Ok(text.parse()?)
    };
    let legs = number(0)? as u16;
    let (wheel_port, load_port) = (number(1)? as u16, number(2)? as u16);
    let turns = number(3)? / 20;
    let mut far_ends = Vec::new();
    for leg in 0..legs {
        far_ends.push(FarEnd::bind(load_port + leg, wheel_port + 2 * leg)?);
    }
    let mut tone = Tone::new(600.0, -12.0, 8000);
    // A tone whose period divides the second, so that the same packets may come round and round.
    let frames: Vec<Vec<u8>> = (0..50)
        .map(|_| {
            let mut encoded = Vec::new();
            g711::encode_ulaw_into(&tone.take(FRAME), &mut encoded);
            encoded
        })
        .collect();
    let started = Instant::now();
    for turn in 0..turns {
        let frame = &frames[(turn % 50) as usize];
        for slot in 0..SLOTS {
            let due = started + SLOT * (turn as u32 * SLOTS as u32 + slot as u32);
            pause(due.saturating_duration_since(Instant::now()));
            for far_end in far_ends.iter_mut().skip(slot).step_by(SLOTS) {
                far_end.send(frame);
                far_end.drain();
            }
        }
    }
    pause(STRAGGLERS);
    println!("{}", serde_json::to_string(&tally(&mut far_ends))?);
    Ok(())
}

fn tally(far_ends: &mut [FarEnd]) -> LoadFigures {
    let mut figures = LoadFigures::default();
    for far_end in far_ends {
        far_end.drain();
        figures.sent_per_leg = far_end.sent;
        let expected = far_end.first.map_or(0, |_| u64::from(far_end.span) + 1);
        figures.lost += expected.saturating_sub(far_end.received);
        // The wheel sends all the time that we do, and sounds all that time.
        figures.silent_legs += u64::from(far_end.sounding + 50 < far_end.sent);
    }
    figures
}

impl FarEnd {
    fn bind(port: u16, wheel_port: u16) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind(("127.0.0.1", port))?;
        socket.set_nonblocking(true)?;
        socket.connect(SocketAddr::from(([127, 0, 0, 1], wheel_port)))?;
        Ok(Self {
            socket,
            header: RtpHeader {
                ssrc: u32::from(port),
                ..RtpHeader::default()
            },
            sent: 0,
            received: 0,
            sounding: 0,
            first: None,
            span: 0,
        })
    }

    fn send(&mut self, payload: &[u8]) {
        let mut datagram = Vec::with_capacity(172);
        self.header.build(payload, &mut datagram);
        self.header.sequence = self.header.sequence.wrapping_add(1);
        self.header.timestamp = self.header.timestamp.wrapping_add(FRAME as u32);
        self.sent += u64::from(self.socket.send(&datagram).is_ok());
    }

    fn drain(&mut self) {
        let mut datagram = [0; 512];
        while let Ok(length) = self.socket.recv(&mut datagram) {
            let Ok(packet) = RtpPacket::parse(&datagram[..length]) else {
                continue;
            };
            self.received += 1;
            let quiet = |byte: &u8| byte & 0x70 == 0x70;
            self.sounding += u64::from(!packet.payload.iter().all(quiet));
            let first = *self.first.get_or_insert(packet.header.sequence);
            let ahead = packet.header.sequence.wrapping_sub(first);
            if ahead < 1 << 15 {
                self.span = self.span.max(ahead);
            }
        }
    }
}
