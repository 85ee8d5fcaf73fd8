//! The path that messages to one far end take.

use std::net::{IpAddr, SocketAddr};

use rsipstack::transport::SipConnection;

use super::{Stack, convert, streams};
use crate::error::GatewayError;
use crate::wire::Transport;

/// A transport, our address as the far end sees it, and the far end's address.
#[derive(Clone)]
pub(crate) struct Flow {
    /// UDP or TCP.
    pub(crate) transport: Transport,
    /// Ours, for Via and Contact.
    pub(crate) visible: SocketAddr,
    /// Theirs.
    pub(crate) remote: SocketAddr,
    pub(super) connection: SipConnection,
}

impl std::fmt::Debug for Flow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:?} {} -> {}",
            self.transport, self.visible, self.remote
        )
    }
}

impl Flow {
    /// Our Contact on this flow.
    pub(crate) fn contact(&self, user: &str) -> String {
        let transport = match self.transport {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
        };
        format!("<sip:{user}@{}{transport}>", self.visible)
    }
}

impl Stack {
    /// A flow to an address. Over TCP an open stream is used again, and opened when there is
    /// none.
    pub(crate) async fn flow(
        &self,
        transport: Transport,
        remote: SocketAddr,
    ) -> Result<Flow, GatewayError> {
        let unreachable = |reason: String| GatewayError::Unreachable {
            target: remote.to_string(),
            reason,
        };
        match transport {
            Transport::Udp => {
                let listener = self
                    .udp
                    .iter()
                    .find(|listener| listener.local.is_ipv4() == remote.is_ipv4())
                    .ok_or_else(|| unreachable("no UDP listener of that family".to_owned()))?;
                Ok(Flow {
                    transport,
                    visible: self.visible(listener.local, remote),
                    remote,
                    connection: SipConnection::Udp(listener.connection.clone()),
                })
            }
            Transport::Tcp => {
                let stream = streams::connected(self, remote)
                    .await
                    .map_err(|error| unreachable(error.to_string()))?;
                Ok(self.stream_flow(&stream, remote))
            }
        }
    }

    /// Whether the stream of a TCP flow is still open.
    pub(crate) fn is_open(&self, flow: &Flow) -> bool {
        self.lock_streams().contains_key(&flow.remote)
    }

    pub(super) fn stream_flow(&self, stream: &streams::Stream, remote: SocketAddr) -> Flow {
        // A listener's port is what others can connect to; the stream's own is not.
        let local = self.tcp.first().copied().unwrap_or(stream.local);
        Flow {
            transport: Transport::Tcp,
            visible: self.visible(local, remote),
            remote,
            connection: SipConnection::Tcp(stream.connection.clone()),
        }
    }

    /// The flow that a request came by.
    pub(super) fn flow_of(&self, connection: SipConnection, source: SocketAddr) -> Flow {
        let transport = match connection {
            SipConnection::Udp(_) => Transport::Udp,
            _ => Transport::Tcp,
        };
        let local = match transport {
            Transport::Udp => convert::socket(connection.get_addr()),
            Transport::Tcp => self.tcp.first().copied(),
        };
        let local = local.unwrap_or(source);
        Flow {
            transport,
            visible: self.visible(local, source),
            remote: source,
            connection,
        }
    }

    /// The address that a far end reaches one of our listeners by.
    fn visible(&self, local: SocketAddr, remote: SocketAddr) -> SocketAddr {
        let ip = match self.external {
            Some(external) => external,
            None if local.ip().is_unspecified() => route_to(remote).unwrap_or(local.ip()),
            None => local.ip(),
        };
        SocketAddr::new(ip, local.port())
    }
}

/// Our address on the route to the far end. Connecting a UDP socket sends nothing.
pub(crate) fn route_to(remote: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if remote.is_ipv4() {
        std::net::Ipv4Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
    socket.connect(remote).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
