//! SIP URIs (RFC 3261 section 19.1), as far as routing needs them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::grammar::Params;

/// A `sip:` or `sips:` URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SipUri {
    /// Whether it is `sips:`.
    pub(crate) secure: bool,
    /// The user part, still escaped, without the password.
    pub(crate) user: Option<String>,
    /// Host name or address; IPv6 without brackets.
    pub(crate) host: String,
    /// Port, when written.
    pub(crate) port: Option<u16>,
    /// Parameters after the host.
    pub(crate) params: Params,
    /// Whether `?header=value` follows.
    pub(crate) has_headers: bool,
}

impl SipUri {
    /// Reads a URI. `None` when it is not a well-formed SIP URI.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "sip" => false,
            "sips" => true,
            _ => return None,
        };
        if rest
            .chars()
            .any(|c| c.is_whitespace() || "<>\"".contains(c))
            || !escapes_are_whole(rest)
        {
            return None;
        }
        let (user, rest) = match rest.rsplit_once('@') {
            Some(("", _)) => return None,
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        let (rest, has_headers) = match rest.split_once('?') {
            Some((rest, headers)) => (rest, !headers.is_empty()),
            None => (rest, false),
        };
        let (hostport, params) = match rest.find(';') {
            Some(at) => (&rest[..at], Params::parse(&rest[at..])?),
            None => (rest, Params::default()),
        };
        let (host, port) = split_host_port(hostport)?;
        let user = user.map(|user| user.split(':').next().unwrap_or(user).to_owned());
        Some(Self {
            secure,
            user,
            host: host.to_owned(),
            port,
            params,
            has_headers,
        })
    }

    /// The address when the host is one and not a name. The default port is 5060.
    pub(crate) fn socket(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.host.parse().ok()?;
        Some(SocketAddr::new(ip, self.port.unwrap_or(5060)))
    }

    /// The user part with `%hh` escapes undone.
    pub(crate) fn plain_user(&self) -> Option<String> {
        // Parameters of a telephone subscriber (`+1555;npdi`) are not part of the number.
        let user = self.user.as_deref()?.split(';').next()?;
        let bytes = user.as_bytes();
        let mut plain = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            let escape = (bytes[at] == b'%')
                .then(|| user.get(at + 1..at + 3))
                .flatten()
                .and_then(|hex| u8::from_str_radix(hex, 16).ok());
            match escape {
                Some(byte) => {
                    plain.push(byte);
                    at += 3;
                }
                None => {
                    plain.push(bytes[at]);
                    at += 1;
                }
            }
        }
        String::from_utf8(plain).ok()
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secure { "sips:" } else { "sip:" })?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        for (name, value) in &self.params.0 {
            match value {
                Some(value) => write!(f, ";{name}={value}")?,
                None => write!(f, ";{name}")?,
            }
        }
        Ok(())
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`. Spaces around the colon, which Via allows, are
/// for the caller to remove.
pub(crate) fn split_host_port(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        // RFC 5118 section 4.10: the grammar of RFC 3261 let a third colon slip in before an
        // embedded IPv4 address; receivers are asked to live with it.
        let known = host.parse::<Ipv6Addr>().is_ok()
            || host.replacen(":::", "::", 1).parse::<Ipv6Addr>().is_ok();
        if !known {
            return None;
        }
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None if rest.is_empty() => Some((host, None)),
            None => None,
        };
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => {
            let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            (host, Some(digits.then(|| port.parse().ok()).flatten()?))
        }
        None => (text, None),
    };
    let named = !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    named.then_some((host, port))
}

fn escapes_are_whole(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().all(|(at, byte)| {
        *byte != b'%'
            || bytes
                .get(at + 1..at + 3)
                .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    })
}
