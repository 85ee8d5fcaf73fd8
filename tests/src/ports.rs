//! Free ports.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicU16, Ordering};

/// Tests of one process must not be given the same port before they have bound it.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that is free for UDP, and so is the one after it. The first of the two is even. The
/// eight above them are left to whoever asked: SIPp takes two more for video.
pub fn free_udp_port() -> u16 {
    let spread = u16::try_from(std::process::id() % 97).unwrap_or(0) * 100;
    loop {
        let step = NEXT.fetch_add(10, Ordering::Relaxed);
        let port = 40_000 + (spread + step) % 20_000;
        let pair = (
            UdpSocket::bind(("127.0.0.1", port)),
            UdpSocket::bind(("127.0.0.1", port + 1)),
        );
        if let (Ok(_), Ok(_)) = pair {
            return port;
        }
    }
}
