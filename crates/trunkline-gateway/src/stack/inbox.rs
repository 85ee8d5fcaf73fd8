//! From bytes to the transaction layer, or to a refusal.

use std::net::SocketAddr;

use rsipstack::transport::SipConnection;
use tracing::debug;
use trunkline_telemetry::names;

use super::server::count_answer;
use super::{Stack, convert};
use crate::random;
use crate::wire::{
    ALLOW, Message, Method, Refusal, Request, Response, Transport, Via, inspect, mark_received,
    reply,
};

impl Stack {
    /// Takes in one message from an admitted address. Returns bytes to be sent back at once, and
    /// where to.
    pub(super) async fn take_in(
        &self,
        bytes: &[u8],
        transport: Transport,
        connection: SipConnection,
        source: SocketAddr,
    ) -> Option<(Vec<u8>, SocketAddr)> {
        let message = match inspect(bytes, transport) {
            Ok(message) => message,
            Err(Refusal::Drop(reason)) => {
                debug!(%source, reason, "message dropped");
                return None;
            }
            Err(Refusal::Respond {
                mut request,
                status,
                reason,
                headers,
            }) => {
                debug!(%source, status, reason, "request refused");
                count_request(&request.method);
                count_answer(status);
                mark_received(&mut request, source);
                let mut response = self.stateless(&request, status);
                reason.clone_into(&mut response.reason);
                for (name, value) in headers {
                    response.headers.push(name, value);
                }
                return Some((response.to_bytes(), answer_address(&request, source)));
            }
        };
        let message = match message {
            Message::Request(mut request) => {
                count_request(&request.method);
                mark_received(&mut request, source);
                if let Some(refusal) = self.refuse_method(&request) {
                    return Some((refusal.to_bytes(), answer_address(&request, source)));
                }
                request.headers.set(convert::SOURCE, source.to_string());
                Message::Request(request)
            }
            response => response,
        };
        let theirs = match convert::to_theirs(&message) {
            Ok(theirs) => theirs,
            Err(error) => {
                debug!(%source, error, "the transaction layer cannot read the message");
                let Message::Request(request) = message else {
                    return None;
                };
                if request.method == Method::Ack {
                    return None;
                }
                count_answer(400);
                let refusal = self.stateless(&request, 400);
                return Some((refusal.to_bytes(), answer_address(&request, source)));
            }
        };
        let from = convert::address(transport, source);
        let taken = self
            .endpoint
            .inner
            .on_received_message(theirs, connection, &from)
            .await;
        if let Err(error) = taken {
            debug!(%source, %error, "the transaction layer refused the message");
        }
        None
    }

    /// Methods that nobody here serves are refused without a transaction.
    fn refuse_method(&self, request: &Request) -> Option<Response> {
        let refused = matches!(request.method, Method::Other(_) | Method::Register);
        refused.then(|| {
            count_answer(405);
            let mut response = self.stateless(request, 405);
            response.headers.push("Allow", ALLOW);
            response
        })
    }

    fn stateless(&self, request: &Request, status: u16) -> Response {
        let mut response = reply(request, status, &random::token());
        response.headers.push("Server", self.user_agent.clone());
        response
    }
}

fn count_request(method: &Method) {
    // What a far end makes up must not become a label.
    let method = match method {
        Method::Other(_) => "other",
        known => known.as_str(),
    };
    metrics::counter!(names::SIP_REQUESTS_TOTAL, names::METHOD => method.to_owned()).increment(1);
}

/// Where an answer goes (RFC 3261 section 18.2.2, RFC 3581): back to the source when rport was
/// asked for, else to the port of the topmost Via at the source address.
fn answer_address(request: &Request, source: SocketAddr) -> SocketAddr {
    let via = request
        .headers
        .get("Via")
        .and_then(Via::parse_list)
        .and_then(|list| list.into_iter().next());
    match via {
        Some(via) if via.params.get("rport").is_none() => {
            SocketAddr::new(source.ip(), via.port.unwrap_or(5060))
        }
        _ => source,
    }
}
