//! A far end of RTP: sends a tone in G.711 µ-law and keeps what it hears.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use trunkline_audio::{Tone, g711, tone_dbfs};

use crate::free_udp_port;

const SAMPLE_RATE_HZ: u32 = 8_000;
const PACKET: Duration = Duration::from_millis(20);

/// One end, on its own thread. It learns where to send from the first packet it receives, or is
/// told.
pub struct RtpEnd {
    port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Heard>>,
}

/// What an end heard.
#[derive(Debug, Default)]
pub struct Heard {
    /// Packets received.
    pub packets: usize,
    /// Decoded audio, in the order of arrival, at 8 kHz.
    pub pcm: Vec<i16>,
}

impl Heard {
    /// The loudest level, in dBFS, that a tone has in any fifth of a second.
    pub fn loudest_dbfs(&self, hz: f64) -> f64 {
        self.pcm
            .chunks_exact(1600)
            .map(|window| tone_dbfs(window, hz, SAMPLE_RATE_HZ))
            .fold(f64::NEG_INFINITY, f64::max)
    }
}

impl RtpEnd {
    /// Starts an end that sends a tone of this pitch.
    ///
    /// # Errors
    /// No socket or thread.
    pub fn start(hz: f64) -> Result<Self> {
        let port = free_udp_port();
        let socket = UdpSocket::bind(("127.0.0.1", port)).context("no RTP socket")?;
        socket.set_read_timeout(Some(Duration::from_millis(2)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || exchange(&socket, hz, &told));
        Ok(Self {
            port,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it receives.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops, and gives what was heard.
    pub fn finish(mut self) -> Heard {
        self.stop.store(true, Ordering::Release);
        self.thread
            .take()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default()
    }
}

impl Drop for RtpEnd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn exchange(socket: &UdpSocket, hz: f64, stop: &AtomicBool) -> Heard {
    let mut tone = Tone::new(hz, -12.0, SAMPLE_RATE_HZ);
    let mut heard = Heard::default();
    let mut peer: Option<SocketAddr> = None;
    let mut sequence = 0_u16;
    let mut due = Instant::now();
    let mut packet = [0; 2048];
    while !stop.load(Ordering::Acquire) {
        if let Ok((length, from)) = socket.recv_from(&mut packet) {
            peer = Some(from);
            keep(&packet[..length], &mut heard);
        }
        if Instant::now() >= due {
            due += PACKET;
            if let Some(peer) = peer {
                let _ = socket.send_to(&rtp(sequence, &tone.take(160)), peer);
                sequence = sequence.wrapping_add(1);
            }
        }
    }
    heard
}

/// The fixed header of RFC 3550 with payload type 0 and one packet of PCMU.
fn rtp(sequence: u16, pcm: &[i16]) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&(u32::from(sequence).wrapping_mul(160)).to_be_bytes());
    packet.extend_from_slice(&0x7465_7374_u32.to_be_bytes());
    g711::encode_ulaw_into(pcm, &mut packet);
    packet
}

fn keep(packet: &[u8], heard: &mut Heard) {
    let is_pcmu = packet.len() > 12 && packet[0] >> 6 == 2 && packet[1] & 0x7f == 0;
    if is_pcmu {
        heard.packets += 1;
        g711::decode_ulaw_into(&packet[12..], &mut heard.pcm);
    }
}
