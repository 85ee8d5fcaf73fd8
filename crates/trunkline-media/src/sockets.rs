//! RTP and RTCP sockets in pairs, from a range of ports.
//!
//! Ports are taken from the front of a list and come back at its end, so that a port rests as
//! long as possible before a new call meets the last one's stragglers.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use socket2::{Domain, Protocol, Socket, Type};

use crate::control::locked;
use crate::{MediaConfig, MediaError};

/// The even ports of the range that are not in use.
#[derive(Debug)]
pub(crate) struct PortRange {
    free: Mutex<VecDeque<u16>>,
}

/// One even port and the odd one above it; given back when dropped.
#[derive(Debug)]
struct PortLease {
    port: u16,
    range: Arc<PortRange>,
}

impl Drop for PortLease {
    fn drop(&mut self) {
        locked(&self.range.free).push_back(self.port);
    }
}

/// A leg's two sockets, non-blocking. The sockets close before the port goes back.
#[derive(Debug)]
pub(crate) struct SocketPair {
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
    pub(crate) local: SocketAddr,
    _lease: PortLease,
}

impl PortRange {
    pub(crate) fn new(config: &MediaConfig) -> Arc<Self> {
        Arc::new(Self {
            free: Mutex::new(config.rtp_ports().collect()),
        })
    }

    /// Binds the first free pair, passing over ports that another program holds.
    pub(crate) fn bind(self: &Arc<Self>, config: &MediaConfig) -> Result<SocketPair, MediaError> {
        let candidates = locked(&self.free).len();
        for _ in 0..candidates {
            let Some(port) = locked(&self.free).pop_front() else {
                break;
            };
            let lease = PortLease {
                port,
                range: Arc::clone(self),
            };
            let local = SocketAddr::new(config.address, port);
            match bind_pair(local, config) {
                Ok((rtp, rtcp)) => {
                    return Ok(SocketPair {
                        rtp,
                        rtcp,
                        local,
                        _lease: lease,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(source) => return Err(MediaError::Socket { local, source }),
            }
        }
        Err(MediaError::NoFreePort {
            port_min: config.port_min,
            port_max: config.port_max,
        })
    }
}

fn bind_pair(local: SocketAddr, config: &MediaConfig) -> io::Result<(UdpSocket, UdpSocket)> {
    let rtp = bind(local, config)?;
    // The range holds even ports below `port_max`, so this cannot overflow.
    let rtcp = bind(
        SocketAddr::new(local.ip(), local.port().saturating_add(1)),
        config,
    )?;
    Ok((rtp, rtcp))
}

fn bind(local: SocketAddr, config: &MediaConfig) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    let receive_buffer = usize::try_from(config.receive_buffer_bytes).unwrap_or(usize::MAX);
    socket.set_recv_buffer_size(receive_buffer)?;
    if config.dscp > 0 {
        mark(&socket, local.ip(), config.dscp);
    }
    socket.bind(&local.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Marking is a courtesy to the network: a kernel that refuses it does not stop a call.
fn mark(socket: &Socket, address: IpAddr, dscp: u8) {
    // The two low bits of the traffic class are for congestion notification.
    let class = u32::from(dscp) << 2;
    let outcome = match address {
        IpAddr::V4(_) => socket.set_tos_v4(class),
        IpAddr::V6(_) => socket.set_tclass_v6(class),
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, dscp, "packets go unmarked");
    }
}
