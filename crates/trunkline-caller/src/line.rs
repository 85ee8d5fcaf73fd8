//! The phone's line: a gateway and a media wheel of our own, with one trunk that leads to whom we
//! call. Nobody can call us: there is no number.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use tokio::sync::mpsc;
use trunkline_gateway::wire::Transport;
use trunkline_gateway::{Gateway, GatewayConfig, OutboundCall, SipConfig, TrunkConfig};
use trunkline_leg::CallLeg;
use trunkline_media::{MediaConfig, MediaWheel};
use trunkline_types::{CallId, DialledNumber, Timestamp};

use crate::target::Target;

/// More than any one machine carries: the limit of a load test is elsewhere.
const MOST_CALLS: usize = 100_000;

/// The lowest and highest port for audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PortSpan {
    from: u16,
    to: u16,
}

impl FromStr for PortSpan {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (from, to) = text
            .split_once('-')
            .ok_or_else(|| anyhow!("{text:?} is not two ports such as 22000-26999"))?;
        Ok(Self {
            from: from.parse()?,
            to: to.parse()?,
        })
    }
}

/// Ready to call.
pub(crate) struct Line {
    gateway: Gateway,
}

impl Line {
    /// Opens the line.
    pub(crate) async fn open(target: &Target, ports: PortSpan) -> Result<Self> {
        let peer = target.address()?;
        let local = local_address_towards(peer)?;
        let wheel = MediaWheel::start(MediaConfig {
            address: local,
            port_min: ports.from,
            port_max: ports.to,
            ..MediaConfig::default()
        })?;
        let config = GatewayConfig {
            sip: SipConfig {
                listen_udp: vec![SocketAddr::new(local, 0)],
                max_calls: MOST_CALLS,
                user_agent: format!("trunkline-caller/{}", env!("CARGO_PKG_VERSION")),
                ..SipConfig::default()
            },
            trunks: vec![TrunkConfig {
                name: "line".to_owned(),
                peers: Vec::new(),
                proxy: Some(peer.to_string()),
                transport: Transport::Udp,
                domain: Some(target.host.clone()),
                caller_id: Some("caller".to_owned()),
                registration: None,
                outbound_auth: None,
                inbound_auth: None,
                inbound_md5_only: false,
            }],
            numbers: Vec::new(),
        };
        // No number leads anywhere, so no leg can come; the receiver need not stay.
        let (incoming, _) = mpsc::channel(1);
        let gateway = Gateway::start(config, Arc::new(wheel), incoming).await?;
        Ok(Self { gateway })
    }

    /// Places a call.
    pub(crate) async fn dial(&self, user: &DialledNumber) -> Result<CallLeg> {
        let leg = self
            .gateway
            .dial(OutboundCall {
                to: user.clone(),
                trunk: None,
                from: None,
                workflow: String::new(),
                call_id: new_call_id()?,
            })
            .await?;
        Ok(leg)
    }

    /// Ends what still runs and closes.
    pub(crate) async fn close(self) {
        self.gateway.shutdown().await;
    }
}

fn new_call_id() -> Result<CallId> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(|error| anyhow!("no random bytes: {error}"))?;
    let since_epoch = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .context("the clock stands before 1970")?;
    let micros =
        u64::try_from(since_epoch.as_micros()).context("the clock stands too far ahead")?;
    Ok(CallId::new(Timestamp::from_micros(micros), random))
}

/// The address of ours that the route to `peer` uses. Sends nothing.
fn local_address_towards(peer: SocketAddr) -> Result<IpAddr> {
    let any: SocketAddr = if peer.is_ipv4() {
        (std::net::Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any).context("cannot open a socket")?;
    socket
        .connect(peer)
        .with_context(|| format!("there is no route to {peer}"))?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_to_this_machine_stays_on_it() {
        let local = local_address_towards("127.0.0.1:5060".parse().unwrap()).unwrap();
        assert!(local.is_loopback());
    }

    #[test]
    fn ports_are_read_as_a_span() {
        let span = PortSpan {
            from: 22_000,
            to: 26_999,
        };
        assert_eq!("22000-26999".parse::<PortSpan>().unwrap(), span);
        assert!("22000".parse::<PortSpan>().is_err());
        assert!("1-70000".parse::<PortSpan>().is_err());
    }
}
