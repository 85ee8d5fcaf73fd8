//! SIP messages as bytes: reading, strict checking, framing on streams, and printing.
//!
//! Pure: no sockets, no clock. Everything that comes from the network passes [`check_message`]
//! before the transaction layer sees it, because that layer forgives much more than RFC 3261
//! does (it drops the body of a datagram without Content-Length and cuts a body that is shorter
//! than announced). What a message *means* for a call is decided elsewhere.

mod address;
mod check;
mod frame;
mod grammar;
mod message;
mod read;
mod reply;
mod uri;
mod via;

#[cfg(test)]
mod tests;

pub use check::{Verdict, check_message};
pub use frame::{Framed, MAX_MESSAGE, next_frame};

pub(crate) use address::NameAddr;
pub(crate) use check::{Refusal, inspect};
pub(crate) use grammar::parameter;
pub(crate) use message::{Headers, Message, Method, Request, Response};
pub(crate) use reply::reply;
pub(crate) use uri::SipUri;
pub(crate) use via::{Via, mark_received};

/// How a message travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// One message per datagram.
    Udp,
    /// A stream, framed by Content-Length.
    Tcp,
}

impl Transport {
    /// The name in Via.
    pub(crate) fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }
}

/// Methods that this gateway handles, for Allow.
pub(crate) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK, INFO";

/// Extensions that this gateway supports, for Supported.
pub(crate) const SUPPORTED: &str = "timer, 100rel";
