//! Writing our side's description.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use trunkline_rtp::Codec;

use super::{Agreed, Direction};

/// The payload type that our offers give to telephone events.
pub(crate) const TELEPHONE_EVENT: u8 = 101;

/// Our side of a session. Each description that differs from the one before counts up the
/// version (RFC 3264 section 8).
#[derive(Debug, Clone)]
pub(crate) struct Local {
    /// Where we listen, as the far end sees it.
    pub(crate) rtp: SocketAddr,
    session: u64,
    version: u64,
    last: Option<String>,
}

impl Local {
    /// A new session with this id.
    pub(crate) fn new(rtp: SocketAddr, session: u64) -> Self {
        Self {
            rtp,
            // Some parsers keep it in 32 bits.
            session: session & 0x7fff_ffff,
            version: 0,
            last: None,
        }
    }

    /// An offer of all codecs that we have.
    pub(crate) fn offer(&mut self) -> String {
        let mut stream = format!("m=audio {} RTP/AVP", self.rtp.port());
        for codec in Codec::ALL {
            let _ = write!(stream, " {}", codec.static_payload_type());
        }
        let _ = write!(stream, " {TELEPHONE_EVENT}\r\n");
        for codec in Codec::ALL {
            let _ = write!(
                stream,
                "a=rtpmap:{} {codec}\r\n",
                codec.static_payload_type()
            );
        }
        event_lines(&mut stream, TELEPHONE_EVENT);
        let _ = write!(stream, "a=ptime:20\r\na=sendrecv\r\n");
        self.session_around(&stream)
    }

    /// An offer of what has been agreed before, for a session refresh.
    pub(crate) fn offer_again(&mut self, agreed: &Agreed) -> String {
        let stream = self.audio(agreed, 20);
        self.session_around(&stream)
    }

    /// The audio section of an answer.
    pub(super) fn audio(&self, agreed: &Agreed, ptime_ms: u128) -> String {
        let mut stream = format!(
            "m=audio {} RTP/AVP {}",
            self.rtp.port(),
            agreed.payload_type
        );
        if let Some(event) = agreed.telephone_event {
            let _ = write!(stream, " {event}");
        }
        let _ = write!(
            stream,
            "\r\na=rtpmap:{} {}\r\n",
            agreed.payload_type, agreed.codec
        );
        if let Some(event) = agreed.telephone_event {
            event_lines(&mut stream, event);
        }
        let _ = write!(
            stream,
            "a=ptime:{ptime_ms}\r\na={}\r\n",
            agreed.direction.attribute()
        );
        stream
    }

    /// Puts the session lines around the streams.
    pub(super) fn session_around(&mut self, streams: &str) -> String {
        if self.last.as_deref() != Some(streams) {
            self.version += 1;
            self.last = Some(streams.to_owned());
        }
        let address = match self.rtp.ip().to_canonical() {
            IpAddr::V4(ip) => format!("IN IP4 {ip}"),
            IpAddr::V6(ip) => format!("IN IP6 {ip}"),
        };
        format!(
            "v=0\r\no=trunkline {} {} {address}\r\ns=-\r\nc={address}\r\nt=0 0\r\n{streams}",
            self.session, self.version
        )
    }
}

fn event_lines(stream: &mut String, event: u8) {
    let _ = write!(
        stream,
        "a=rtpmap:{event} telephone-event/8000\r\na=fmtp:{event} 0-15\r\n"
    );
}

impl Direction {
    /// What we answer to an offer of this direction.
    pub(super) fn answered(self) -> Self {
        self.mirrored()
    }
}
