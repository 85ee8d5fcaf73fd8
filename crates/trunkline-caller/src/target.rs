//! Whom to call.

use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use anyhow::{Context, Result, anyhow};
use trunkline_types::DialledNumber;

/// `sip:user@host[:port]`, with the scheme optional.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Who.
    pub(crate) user: DialledNumber,
    /// `host` or `host:port`.
    pub(crate) host: String,
}

impl Target {
    /// The address that the host resolves to; the port is 5060 unless given.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        let has_port = self
            .host
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok() && !self.host.ends_with(']'));
        let with_port = if has_port {
            self.host.clone()
        } else {
            format!("{}:5060", self.host)
        };
        with_port
            .to_socket_addrs()
            .with_context(|| format!("cannot resolve {}", self.host))?
            .next()
            .with_context(|| format!("{} has no address", self.host))
    }
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let plain = text.strip_prefix("sip:").unwrap_or(text);
        let (user, host) = plain
            .split_once('@')
            .filter(|(_, host)| !host.is_empty())
            .ok_or_else(|| anyhow!("{text:?} is not sip:user@host[:port]"))?;
        Ok(Self {
            user: user.parse()?,
            host: host.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_and_port_are_optional() {
        let target: Target = "sip:demo@127.0.0.1:5070".parse().unwrap();
        assert_eq!(target.address().unwrap().port(), 5070);
        let target: Target = "demo@127.0.0.1".parse().unwrap();
        assert_eq!(target.address().unwrap().to_string(), "127.0.0.1:5060");
        let target: Target = "demo@[::1]".parse().unwrap();
        assert_eq!(target.address().unwrap().to_string(), "[::1]:5060");
    }

    #[test]
    fn what_cannot_be_called_is_refused() {
        for bad in ["demo", "sip:demo@", "sip:a b@host", "@host"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
