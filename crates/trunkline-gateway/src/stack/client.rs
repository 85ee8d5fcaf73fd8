//! Requests that we send, as client transactions.

use rsipstack::sip::SipMessage;
use rsipstack::transaction::key::{TransactionKey, TransactionRole};
use rsipstack::transaction::transaction::Transaction;
use tokio::sync::mpsc;
use tracing::{error, warn};

use super::{Flow, Stack, convert};
use crate::random;
use crate::wire::{Method, Request, Response, reply};

/// A request on its way.
pub(crate) struct Sent {
    /// As sent, with its Via.
    pub(crate) request: Request,
    /// The responses, provisional ones first. A request that times out or cannot be sent is
    /// answered here with 408 or 503, as RFC 3261 section 8.1.3.1 has it. An INVITE that was
    /// accepted goes on for 64·T1, so that the 2xx of other branches come out too. Every final
    /// response to an INVITE has been acknowledged already.
    pub(crate) responses: mpsc::UnboundedReceiver<Response>,
}

impl Sent {
    /// The final response.
    pub(crate) async fn last(mut self) -> Option<Response> {
        while let Some(response) = self.responses.recv().await {
            if response.status >= 200 {
                return Some(response);
            }
        }
        None
    }
}

impl Stack {
    /// Sends a request. Via, Max-Forwards and User-Agent are added unless they are there.
    pub(crate) fn send(&self, mut request: Request, flow: &Flow) -> Sent {
        let headers = &mut request.headers;
        if headers.get("Via").is_none() {
            let via = format!(
                "SIP/2.0/{} {};branch={};rport",
                flow.transport.via_name(),
                flow.visible,
                random::branch()
            );
            headers.0.insert(0, ("Via".to_owned(), via));
        }
        if headers.get("Max-Forwards").is_none() {
            headers.push("Max-Forwards", "70");
        }
        if headers.get("User-Agent").is_none() {
            headers.push("User-Agent", self.user_agent.clone());
        }
        let (sender, responses) = mpsc::unbounded_channel();
        match self.transaction(&request, flow) {
            Ok(transaction) => self.spawn(drive(transaction, request.clone(), sender)),
            Err(problem) => {
                error!(problem, "our own request cannot be sent");
                let _ = sender.send(reply(&request, 503, "local"));
            }
        }
        Sent { request, responses }
    }

    fn transaction(&self, request: &Request, flow: &Flow) -> Result<Transaction, String> {
        let theirs = convert::request_to_theirs(request)?;
        let key = TransactionKey::from_request(&theirs, TransactionRole::Client)
            .map_err(|error| error.to_string())?;
        let mut transaction = Transaction::new_client(
            key,
            theirs,
            self.endpoint.inner.clone(),
            Some(flow.connection.clone()),
        );
        transaction.destination = Some(convert::address(flow.transport, flow.remote));
        Ok(transaction)
    }
}

/// The CANCEL for an INVITE (RFC 3261 section 9.1): same Via, Request-URI and numbers.
pub(crate) fn cancel_of(invite: &Request, reason: &str) -> Request {
    let mut cancel = Request {
        method: Method::Cancel,
        uri: invite.uri.clone(),
        headers: crate::wire::Headers::default(),
        body: Vec::new(),
    };
    for name in ["Via", "From", "To", "Call-ID", "Route"] {
        for value in invite.headers.all(name) {
            cancel.headers.push(name, value);
        }
    }
    let cseq = invite.cseq().unwrap_or(1);
    cancel.headers.push("CSeq", format!("{cseq} CANCEL"));
    cancel.headers.push("Reason", reason);
    cancel
}

async fn drive(
    mut transaction: Transaction,
    request: Request,
    sender: mpsc::UnboundedSender<Response>,
) {
    if let Err(error) = transaction.send().await {
        warn!(%error, method = %request.method, "cannot send a request");
        let _ = sender.send(reply(&request, 503, "local"));
        return;
    }
    while let Some(message) = transaction.receive().await {
        if let SipMessage::Response(theirs) = message {
            let _ = sender.send(convert::response(&theirs));
        }
    }
}
