//! Free ports.

use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// Tests of one process must not be given the same port before they have bound it.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// Where ports are looked for: above those that the appliance takes for media by default, and below
/// those that the kernel gives to outgoing connections (`net.ipv4.ip_local_port_range`), which come
/// and go between a look and a bind.
const FIRST: u16 = 22_000;
const COUNT: u16 = 10_000;

/// A port that is free for UDP and TCP, and so is the one after it. The first of the two is even.
/// The eight above them are left to whoever asked: SIPp takes two more for video.
pub fn free_udp_port() -> u16 {
    let spread = u16::try_from(std::process::id() % 97).unwrap_or(0) * 100;
    loop {
        let step = NEXT.fetch_add(10, Ordering::Relaxed);
        let port = FIRST + spread.wrapping_add(step) % COUNT;
        let is_free = |port| {
            UdpSocket::bind(("127.0.0.1", port)).is_ok()
                && TcpListener::bind(("127.0.0.1", port)).is_ok()
        };
        if is_free(port) && is_free(port + 1) {
            return port;
        }
    }
}
