//! Via (RFC 3261 section 20.42) and the marks of RFC 3581 that a receiver leaves in it.

use std::net::{IpAddr, SocketAddr};

use super::grammar::{Params, is_token, split_outside};
use super::message::Request;
use super::uri::split_host_port;

/// One Via value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Via {
    /// The transport name as written.
    pub(crate) transport: String,
    /// The sent-by host; IPv6 without brackets.
    pub(crate) host: String,
    /// The sent-by port, when written.
    pub(crate) port: Option<u16>,
    /// `branch`, `rport`, `received` and others.
    pub(crate) params: Params,
}

impl Via {
    /// Reads one value: `SIP/2.0/UDP host:port;branch=…`, with spaces where the grammar allows.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (head, params) = match text.find(';') {
            Some(at) => (&text[..at], Params::parse(&text[at..])?),
            None => (text, Params::default()),
        };
        let mut parts = head.splitn(3, '/');
        let name = parts.next()?.trim();
        let version = parts.next()?.trim();
        let rest = parts.next()?.trim();
        let (transport, sent_by) = rest.split_once(char::is_whitespace)?;
        if !name.eq_ignore_ascii_case("SIP") || version != "2.0" || !is_token(transport) {
            return None;
        }
        let sent_by: String = sent_by.split_whitespace().collect();
        let (host, port) = split_host_port(&sent_by)?;
        Some(Self {
            transport: transport.to_owned(),
            host: host.to_owned(),
            port,
            params,
        })
    }

    /// Reads a comma-separated list.
    pub(crate) fn parse_list(text: &str) -> Option<Vec<Self>> {
        split_outside(text, ',')?
            .into_iter()
            .map(Self::parse)
            .collect()
    }
}

/// Writes `received` and, where asked for, `rport` into the topmost Via, so that answers go back
/// where the request came from (RFC 3261 section 18.2.1, RFC 3581 section 4). Values that the
/// sender put there itself are not believed.
pub(crate) fn mark_received(request: &mut Request, from: SocketAddr) {
    let Some(value) = request.headers.first_mut("Via") else {
        return;
    };
    let Some(parts) = split_outside(value, ',') else {
        return;
    };
    let Some(via) = parts.first().and_then(|top| Via::parse(top)) else {
        return;
    };
    let host = if via.host.contains(':') {
        format!("[{}]", via.host)
    } else {
        via.host.clone()
    };
    let mut top = format!("SIP/2.0/{} {host}", via.transport);
    if let Some(port) = via.port {
        top.push_str(&format!(":{port}"));
    }
    for (name, text) in &via.params.0 {
        if name.eq_ignore_ascii_case("received") {
            continue;
        }
        if name.eq_ignore_ascii_case("rport") {
            top.push_str(&format!(";rport={}", from.port()));
            continue;
        }
        top.push_str(&format!(";{name}"));
        if let Some(text) = text {
            top.push_str(&format!("={text}"));
        }
    }
    let ip = from.ip().to_canonical();
    if via.host.parse::<IpAddr>().ok() != Some(ip) || via.params.get("rport").is_some() {
        match ip {
            IpAddr::V4(ip) => top.push_str(&format!(";received={ip}")),
            IpAddr::V6(ip) => top.push_str(&format!(";received=[{ip}]")),
        }
    }
    for other in &parts[1..] {
        top.push_str(", ");
        top.push_str(other.trim());
    }
    *value = top;
}
