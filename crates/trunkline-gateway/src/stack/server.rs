//! Requests that come in, as server transactions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use metrics::{counter, histogram};
use rsipstack::sip::SipMessage;
use rsipstack::transaction::TransactionReceiver;
use rsipstack::transaction::transaction::{Transaction, TransactionEvent, TransactionEventSender};
use tokio::sync::mpsc;
use tracing::{error, warn};
use trunkline_telemetry::names;

use super::{Flow, Stack, convert};
use crate::random;
use crate::wire::{Method, Request, Response, reply};

/// A request with the means to answer it.
pub(crate) struct Incoming {
    /// What is asked.
    pub(crate) request: Request,
    /// The way it came.
    pub(crate) flow: Flow,
    /// Answers it. Dropped without a final answer, it sends 500.
    pub(crate) responder: Responder,
    /// What happens to an INVITE after this.
    pub(crate) events: mpsc::UnboundedReceiver<ServerEvent>,
}

/// What happens to an INVITE after it came.
#[derive(Debug)]
pub(crate) enum ServerEvent {
    /// The far end took it back. The CANCEL itself has been answered.
    Cancelled,
    /// Our final response was acknowledged, by this ACK.
    Acked(Request),
    /// The transaction is over. Without an ACK before it, none came in time.
    Over,
}

/// Answers one request.
pub(crate) struct Responder {
    sender: TransactionEventSender,
    request: Request,
    tag: String,
    server: String,
    came: Instant,
    done: bool,
}

impl Responder {
    /// The To tag that our answers carry.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    /// An answer without a body, to be filled in.
    pub(crate) fn draft(&self, status: u16) -> Response {
        let mut response = reply(&self.request, status, &self.tag);
        response.headers.push("Server", self.server.clone());
        response
    }

    /// Sends an answer.
    pub(crate) fn send(&mut self, response: &Response) {
        if self.done {
            return;
        }
        self.done = response.status >= 200;
        if self.done {
            count_answer(response.status);
            if self.request.method == Method::Invite {
                let waited = self.came.elapsed().as_secs_f64() * 1000.0;
                histogram!(names::CALL_SETUP_MS).record(waited);
            }
        }
        match convert::response_to_theirs(response) {
            Ok(theirs) => {
                // The transaction is gone only when the far end is, too.
                let _ = self.sender.send(TransactionEvent::Respond(theirs));
            }
            Err(problem) => error!(problem, "our own response cannot be sent"),
        }
    }

    /// Sends an answer that needs no more than its status.
    pub(crate) fn refuse(&mut self, status: u16) {
        let response = self.draft(status);
        self.send(&response);
    }
}

/// Counts a final answer that we gave.
pub(super) fn count_answer(status: u16) {
    counter!(names::SIP_RESPONSES_TOTAL, names::STATUS => status.to_string()).increment(1);
}

impl Drop for Responder {
    fn drop(&mut self) {
        if !self.done {
            warn!(method = %self.request.method, "request left without an answer");
            self.refuse(500);
        }
    }
}

/// Turns the transaction layer's server transactions into [`Incoming`]s.
pub(super) async fn dispatch(
    stack: Arc<Stack>,
    mut transactions: TransactionReceiver,
    incoming: mpsc::UnboundedSender<Incoming>,
) {
    while let Some(transaction) = transactions.recv().await {
        let mut request = convert::request(&transaction.original);
        let source: Option<SocketAddr> = request
            .headers
            .get(convert::SOURCE)
            .and_then(|source| source.parse().ok());
        request.headers.remove(convert::SOURCE);
        let (Some(source), Some(connection)) = (source, transaction.connection.clone()) else {
            continue;
        };
        let (events, receiver) = mpsc::unbounded_channel();
        let arrived = Incoming {
            flow: stack.flow_of(connection, source),
            responder: Responder {
                sender: transaction.tu_sender.clone(),
                request: request.clone(),
                tag: random::token(),
                server: stack.user_agent.clone(),
                came: Instant::now(),
                done: false,
            },
            events: receiver,
            request,
        };
        stack.spawn(drive(transaction, events));
        if incoming.send(arrived).is_err() {
            return;
        }
    }
}

async fn drive(mut transaction: Transaction, events: mpsc::UnboundedSender<ServerEvent>) {
    if transaction.original.method == rsipstack::sip::Method::Invite
        && let Err(error) = transaction.send_trying().await
    {
        warn!(%error, "cannot send 100 Trying");
    }
    while let Some(message) = transaction.receive().await {
        let SipMessage::Request(theirs) = message else {
            continue;
        };
        let request = convert::request(&theirs);
        // Whoever was interested may have gone; the transaction still has to be played out.
        let _ = match request.method {
            Method::Cancel => events.send(ServerEvent::Cancelled),
            Method::Ack => events.send(ServerEvent::Acked(request)),
            _ => Ok(()),
        };
    }
    let _ = events.send(ServerEvent::Over);
}
