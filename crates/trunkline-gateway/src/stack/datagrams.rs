//! UDP sockets.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rsipstack::platform::net::UdpSocket as TheirSocket;
use rsipstack::transport::SipConnection;
use rsipstack::transport::udp::{UdpConnection, UdpInner};
use tokio::net::UdpSocket;
use tracing::{debug, warn};
use trunkline_telemetry::names;

use super::{Stack, convert};
use crate::error::GatewayError;
use crate::wire::Transport;

/// One socket.
pub(super) struct Datagrams {
    pub(super) local: SocketAddr,
    pub(super) connection: UdpConnection,
    socket: Arc<UdpSocket>,
}

/// The largest datagram there is.
const MAX_DATAGRAM: usize = 65_535;

impl Datagrams {
    pub(super) async fn bind(
        address: SocketAddr,
        external: Option<IpAddr>,
    ) -> Result<Self, GatewayError> {
        let listen_error = |source: io::Error| GatewayError::Listen {
            transport: Transport::Udp,
            address,
            source,
        };
        let socket = UdpSocket::bind(address).await.map_err(listen_error)?;
        let local = socket.local_addr().map_err(listen_error)?;
        let socket = Arc::new(socket);
        let inner = UdpInner {
            conn: Arc::clone(&socket) as Arc<dyn TheirSocket>,
            addr: convert::address(Transport::Udp, local),
        };
        let external = external.map(|ip| SocketAddr::new(ip, local.port()));
        Ok(Self {
            local,
            connection: UdpConnection::attach(inner, external, None).await,
            socket,
        })
    }
}

/// Reads one socket until the stack stops.
pub(super) async fn receive(stack: Arc<Stack>, at: usize) {
    let Some(listener) = stack.udp.get(at) else {
        return;
    };
    let mut stop = stack.stop.subscribe();
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let received = tokio::select! {
            received = listener.socket.recv_from(&mut buffer) => received,
            _ = stop.changed() => return,
        };
        let (length, source) = match received {
            Ok(received) => received,
            Err(error) => {
                // An ICMP error for something that we sent earlier; the socket lives on.
                debug!(%error, "udp receive");
                continue;
            }
        };
        if !stack.gate.admits(source.ip()) {
            metrics::counter!(names::SIP_STRANGERS_TOTAL).increment(1);
            continue;
        }
        let connection = SipConnection::Udp(listener.connection.clone());
        let answer = stack
            .take_in(&buffer[..length], Transport::Udp, connection, source)
            .await;
        if let Some((bytes, to)) = answer
            && let Err(error) = listener.socket.send_to(&bytes, to).await
        {
            warn!(%to, %error, "cannot send a refusal");
        }
    }
}
