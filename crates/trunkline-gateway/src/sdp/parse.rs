//! Reading a session description.

use std::net::IpAddr;
use std::time::Duration;

use super::{Direction, SdpError};

/// The parts of a description that a call needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    /// The media streams, in order.
    pub(crate) media: Vec<Media>,
}

/// One `m=` section. What stood at session level has been filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Media {
    /// `audio`, `video`, `image`, …
    pub(crate) kind: String,
    /// Where the writer listens; 0 for a refused stream.
    pub(crate) port: u16,
    /// `RTP/AVP`, `RTP/SAVP`, …
    pub(crate) protocol: String,
    /// Payload types or other formats, in order of preference.
    pub(crate) formats: Vec<String>,
    /// The connection address.
    pub(crate) address: Option<IpAddr>,
    /// `a=rtpmap`: payload type and encoding such as `PCMU/8000`.
    pub(crate) rtpmaps: Vec<(u8, String)>,
    /// `a=ptime`.
    pub(crate) ptime: Option<Duration>,
    /// Who sends.
    pub(crate) direction: Direction,
}

/// The most streams that are read; a telephone call has one or two.
const MAX_MEDIA: usize = 16;
/// The most attributes kept for a stream.
const MAX_FORMATS: usize = 64;

/// Reads a description. Garbage gives an error, never a guess.
pub(crate) fn parse(bytes: &[u8]) -> Result<Description, SdpError> {
    let text = std::str::from_utf8(bytes).map_err(|_| SdpError::Malformed("not UTF-8"))?;
    let mut lines = text.lines().map(str::trim_end).filter(|l| !l.is_empty());
    if lines.next() != Some("v=0") {
        return Err(SdpError::Malformed("does not begin with v=0"));
    }
    let mut session = Media::new("", 0, "");
    let mut media: Vec<Media> = Vec::new();
    let mut has_origin = false;
    for line in lines {
        let (kind, value) = match line.split_once('=') {
            Some((kind, value)) if kind.len() == 1 => (kind, value),
            _ => return Err(SdpError::Malformed("line without a type letter")),
        };
        if kind == "m" {
            if media.len() == MAX_MEDIA {
                return Err(SdpError::Malformed("too many media streams"));
            }
            let mut stream = media_line(value)?;
            stream.address = session.address;
            stream.direction = session.direction;
            stream.ptime = session.ptime;
            media.push(stream);
            continue;
        }
        has_origin |= kind == "o";
        read_line(kind, value, media.last_mut().unwrap_or(&mut session))?;
    }
    if !has_origin {
        return Err(SdpError::Malformed("no origin line"));
    }
    Ok(Description { media })
}

fn read_line(kind: &str, value: &str, stream: &mut Media) -> Result<(), SdpError> {
    match kind {
        "c" => stream.address = Some(connection(value)?),
        "a" => attribute(value, stream)?,
        "o" if value.split_whitespace().count() != 6 => {
            return Err(SdpError::Malformed("origin line"));
        }
        _ => {}
    }
    Ok(())
}

impl Media {
    fn new(kind: &str, port: u16, protocol: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            port,
            protocol: protocol.to_owned(),
            formats: Vec::new(),
            address: None,
            rtpmaps: Vec::new(),
            ptime: None,
            direction: Direction::SendRecv,
        }
    }
}

fn media_line(value: &str) -> Result<Media, SdpError> {
    let malformed = SdpError::Malformed("media line");
    let mut words = value.split_whitespace();
    let (Some(kind), Some(port), Some(protocol)) = (words.next(), words.next(), words.next())
    else {
        return Err(malformed);
    };
    // `port/count` announces several ports; the first is the one used.
    let port = port.split('/').next().unwrap_or(port);
    let port = port.parse().map_err(|_| malformed.clone())?;
    let mut media = Media::new(kind, port, protocol);
    media.formats = words.take(MAX_FORMATS).map(str::to_owned).collect();
    if media.formats.is_empty() {
        return Err(malformed);
    }
    Ok(media)
}

fn connection(value: &str) -> Result<IpAddr, SdpError> {
    let mut words = value.split_whitespace();
    let (Some("IN"), Some(kind), Some(address)) = (words.next(), words.next(), words.next()) else {
        return Err(SdpError::Malformed("connection line"));
    };
    // A multicast address may carry `/ttl`.
    let address = address.split('/').next().unwrap_or(address);
    let address: IpAddr = address
        .parse()
        .map_err(|_| SdpError::Unusable("connection address is not an IP address"))?;
    match kind {
        "IP4" if address.is_ipv4() => Ok(address),
        "IP6" if address.is_ipv6() => Ok(address),
        _ => Err(SdpError::Malformed(
            "connection address of the other family",
        )),
    }
}

fn attribute(value: &str, stream: &mut Media) -> Result<(), SdpError> {
    let (name, value) = value.split_once(':').unwrap_or((value, ""));
    match name {
        "sendrecv" => stream.direction = Direction::SendRecv,
        "sendonly" => stream.direction = Direction::SendOnly,
        "recvonly" => stream.direction = Direction::RecvOnly,
        "inactive" => stream.direction = Direction::Inactive,
        "ptime" => {
            // Some write `20.0`; what is no number at all is ignored, as RFC 8866 asks.
            let millis = value.trim().split('.').next().and_then(|v| v.parse().ok());
            stream.ptime = millis.map(Duration::from_millis).or(stream.ptime);
        }
        "rtpmap" if stream.rtpmaps.len() < MAX_FORMATS => {
            let malformed = SdpError::Malformed("rtpmap");
            let (number, encoding) = value
                .trim()
                .split_once(char::is_whitespace)
                .ok_or(malformed.clone())?;
            let number: u8 = number.parse().map_err(|_| malformed.clone())?;
            if number > 127 {
                return Err(malformed);
            }
            stream.rtpmaps.push((number, encoding.trim().to_owned()));
        }
        _ => {}
    }
    Ok(())
}
