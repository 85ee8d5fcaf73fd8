//! Where the ACK for a 2xx may go.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use rsipstack::sip::{Host, Uri};
use rsipstack::transaction::endpoint::TargetLocator;
use rsipstack::transport::SipAddr;

use super::{Gate, convert};
use crate::wire::Transport;

/// Lets an ACK go to the far end's Contact or Route only when that is an address of a trunk.
/// Otherwise it takes the way of its INVITE, so that nobody can aim us at a third party.
pub(super) struct KnownPeers(pub(super) Arc<dyn Gate>);

impl TargetLocator for KnownPeers {
    fn locate<'a, 'b, 'c>(
        &'a self,
        uri: &'b Uri,
    ) -> Pin<Box<dyn Future<Output = rsipstack::Result<SipAddr>> + Send + 'c>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        let found = match &uri.host_with_port.host {
            Host::IpAddr(ip) => self.known(*ip, uri),
            Host::Domain(_) => None,
        };
        Box::pin(async move {
            found.ok_or_else(|| rsipstack::Error::Error("not an address of a trunk".to_owned()))
        })
    }
}

impl KnownPeers {
    fn known(&self, ip: IpAddr, uri: &Uri) -> Option<SipAddr> {
        let port = uri
            .host_with_port
            .port
            .as_ref()
            .map_or(5060, |port| port.value());
        self.0
            .admits(ip)
            .then(|| convert::address(Transport::Udp, (ip, port).into()))
    }
}
