//! Between our messages and rsipstack's.

use std::net::SocketAddr;

use rsipstack::sip::{Headers as TheirHeaders, Request as TheirRequest, Response as TheirResponse};
use rsipstack::sip::{SipMessage, Transport as TheirTransport};
use rsipstack::transport::SipAddr;

use crate::wire::{Headers, Message, Method, Request, Response, Transport};

/// Carries the source address of a request through the transaction layer, which forgets it for
/// datagrams. Stripped from what comes in and never sent.
pub(super) const SOURCE: &str = "X-Trunkline-Source";

pub(super) fn to_theirs(message: &Message) -> Result<SipMessage, String> {
    SipMessage::try_from(message.to_bytes().as_slice()).map_err(|error| error.to_string())
}

pub(super) fn request_to_theirs(request: &Request) -> Result<TheirRequest, String> {
    TheirRequest::try_from(request.to_bytes().as_slice()).map_err(|error| error.to_string())
}

pub(super) fn response_to_theirs(response: &Response) -> Result<TheirResponse, String> {
    TheirResponse::try_from(response.to_bytes().as_slice()).map_err(|error| error.to_string())
}

pub(super) fn request(theirs: &TheirRequest) -> Request {
    Request {
        method: Method::from_token(&theirs.method.to_string()),
        uri: theirs.uri.to_string(),
        headers: headers(&theirs.headers),
        body: theirs.body.clone(),
    }
}

pub(super) fn response(theirs: &TheirResponse) -> Response {
    let standard = theirs.status_code.text().to_owned();
    Response {
        status: theirs.status_code.code(),
        reason: theirs.wire_reason.clone().unwrap_or(standard),
        headers: headers(&theirs.headers),
        body: theirs.body.clone(),
    }
}

fn headers(theirs: &TheirHeaders) -> Headers {
    Headers(
        theirs
            .iter()
            .map(|header| (header.name().to_owned(), header.value().trim().to_owned()))
            .collect(),
    )
}

pub(super) fn address(transport: Transport, socket: SocketAddr) -> SipAddr {
    let mut address = SipAddr::from(socket);
    address.r#type = Some(match transport {
        Transport::Udp => TheirTransport::Udp,
        Transport::Tcp => TheirTransport::Tcp,
    });
    address
}

pub(super) fn socket(address: &SipAddr) -> Option<SocketAddr> {
    address.get_socketaddr().ok()
}
