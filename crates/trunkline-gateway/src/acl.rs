//! Networks that a trunk's peers live in.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Deserialize;

/// An address, or a network in CIDR notation: `192.0.2.10`, `192.0.2.0/24`, `2001:db8::/32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PeerNet {
    address: IpAddr,
    prefix: u8,
}

/// The text is no address or network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address or network: expected 192.0.2.10, 192.0.2.0/24 or 2001:db8::/32")]
pub struct InvalidPeerNet(String);

impl PeerNet {
    /// Whether the address lies inside. An IPv4 address that came in by an IPv6 socket counts as
    /// the IPv4 address that it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                same_prefix(u32::from(net).into(), u32::from(ip).into(), self.prefix, 32)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                same_prefix(u128::from(net), u128::from(ip), self.prefix, 128)
            }
            _ => false,
        }
    }

    /// Bits that must match; more is more specific.
    pub(crate) fn prefix(&self) -> u8 {
        self.prefix
    }
}

fn same_prefix(a: u128, b: u128, prefix: u8, width: u32) -> bool {
    // A prefix of 0 would shift by the whole width.
    (a ^ b)
        .checked_shr(width - u32::from(prefix))
        .is_none_or(|differing| differing == 0)
}

impl FromStr for PeerNet {
    type Err = InvalidPeerNet;

    fn from_str(text: &str) -> Result<Self, InvalidPeerNet> {
        let invalid = || InvalidPeerNet(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| invalid())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.trim().parse().map_err(|_| invalid())?,
            None => width,
        };
        if prefix > width {
            return Err(invalid());
        }
        Ok(Self { address, prefix })
    }
}

impl TryFrom<String> for PeerNet {
    type Error = InvalidPeerNet;

    fn try_from(text: String) -> Result<Self, InvalidPeerNet> {
        text.parse()
    }
}

impl fmt::Display for PeerNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> PeerNet {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let office = net("192.0.2.128/25");
        assert!(office.contains("192.0.2.200".parse().unwrap()));
        assert!(!office.contains("192.0.2.5".parse().unwrap()));
        assert!(net("0.0.0.0/0").contains("203.0.113.9".parse().unwrap()));
        assert!(!net("0.0.0.0/0").contains("2001:db8::1".parse().unwrap()));
        assert!(net("2001:db8::/32").contains("2001:db8:1::1".parse().unwrap()));
    }

    #[test]
    fn an_ipv4_address_seen_through_an_ipv6_socket_is_itself() {
        assert!(net("192.0.2.10").contains("::ffff:192.0.2.10".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_refused_by_name() {
        for bad in ["", "example.com", "192.0.2.0/33", "192.0.2.0/x", "::/129"] {
            assert!(bad.parse::<PeerNet>().is_err(), "{bad}");
        }
    }
}
