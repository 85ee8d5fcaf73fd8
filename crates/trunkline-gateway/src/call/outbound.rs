//! A call that we place, up to its answer: challenges, early media, forks, CANCEL.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use trunkline_leg::{LegEvent, SignallingCommand};
use trunkline_types::EndReason;

use super::bye::{in_dialog_flow, reason_header, reason_of, send_bye};
use super::established::{Established, Late, Start};
use super::leg::{LegSide, command};
use super::{Place, Shared, media, sleep_until, stopped};
use crate::dialog::Dialog;
use crate::random;
use crate::router::Trunk;
use crate::sdp::{self, Agreed, Local};
use crate::session_timer::{SessionTimer, settle_as_client};
use crate::stack::{Flow, Incoming, Sent, cancel_of};
use crate::wire::{ALLOW, Headers, Method, NameAddr, Request, Response, SUPPORTED};

/// What is needed to place a call.
pub(crate) struct Outbound {
    pub(crate) shared: Arc<Shared>,
    pub(crate) trunk: Arc<Trunk>,
    pub(crate) flow: Flow,
    pub(crate) leg: LegSide,
    pub(crate) place: Place,
    /// The From tag, which is in `leg.info` too as far as the Call-ID goes.
    pub(crate) tag: String,
}

/// Places the call and sees it through.
pub(crate) async fn run(outbound: Outbound) {
    if let Some(call) = Calling::new(outbound) {
        call.run().await;
    }
}

struct Calling {
    shared: Arc<Shared>,
    trunk: Arc<Trunk>,
    flow: Flow,
    leg: LegSide,
    place: Place,
    requests: mpsc::UnboundedReceiver<Incoming>,
    local: Local,
    /// Without Via, so that it can be sent again with credentials.
    invite: Request,
    sent: Sent,
    cseq: u32,
    /// Early dialogs by the far end's tag: a forked call has several.
    early: HashMap<String, Early>,
    rung: bool,
    provisional: bool,
    cancel: Option<Cancel>,
}

struct Early {
    dialog: Dialog,
    /// The last reliable provisional response that was acknowledged.
    rseq: Option<u32>,
    /// The answer that came early.
    agreed: Option<Agreed>,
}

/// The call is being taken back.
struct Cancel {
    reason: EndReason,
    detail: Option<String>,
    /// CANCEL may only follow a provisional response (RFC 3261 section 9.1).
    sent: bool,
    /// When to stop waiting for the far end's last word.
    until: Instant,
}

enum Outcome {
    Answered(Box<Response>),
    Failed(EndReason, Option<String>),
}

impl Calling {
    fn new(outbound: Outbound) -> Option<Box<Self>> {
        let Outbound {
            shared,
            trunk,
            flow,
            leg,
            mut place,
            tag,
        } = outbound;
        let mut local = media::local_session(&shared, leg.port.as_ref()?, &flow);
        let invite = invite(&shared, &trunk, &flow, &leg, &tag, &mut local);
        let requests = place.listen((leg.info.carrier_call_id.clone(), tag));
        let sent = shared.stack.send(invite.clone(), &flow);
        Some(Box::new(Self {
            shared,
            trunk,
            flow,
            leg,
            place,
            requests,
            local,
            invite,
            sent,
            cseq: 1,
            early: HashMap::new(),
            rung: false,
            provisional: false,
            cancel: None,
        }))
    }

    async fn run(mut self: Box<Self>) {
        match self.ring().await {
            Outcome::Answered(response) => self.answered(*response).await,
            Outcome::Failed(reason, detail) => self.leg.end(reason, detail).await,
        }
    }

    async fn ring(&mut self) -> Outcome {
        let patience = Duration::from_secs(self.shared.config.ring_timeout_s.into());
        let deadline = Instant::now() + patience;
        let mut stop = self.shared.stop.subscribe();
        loop {
            let free = self.cancel.is_none();
            let give_up = self.cancel.as_ref().map(|cancel| cancel.until);
            tokio::select! {
                response = self.sent.responses.recv() => {
                    if let Some(outcome) = self.on_response(response).await {
                        return outcome;
                    }
                }
                received = self.leg.commands.recv(), if free => match command(received) {
                    SignallingCommand::Hangup(reason) => self.take_back(reason, None),
                    SignallingCommand::Reject(_) => self.take_back(EndReason::AgentFailed, None),
                    SignallingCommand::Ring | SignallingCommand::Answer => {}
                },
                Some(request) = self.requests.recv() => self.on_request(request),
                () = sleep_until(Some(deadline)), if free => {
                    let detail = format!("it rang for {} s", patience.as_secs());
                    self.take_back(EndReason::NoAnswer, Some(detail));
                }
                () = sleep_until(give_up) => {
                    return self.taken_back();
                }
                () = stopped(&mut stop), if free => {
                    self.take_back(EndReason::ShutDown, None);
                }
            }
        }
    }

    /// Begins to take the call back.
    fn take_back(&mut self, reason: EndReason, detail: Option<String>) {
        self.cancel = Some(Cancel {
            reason,
            detail,
            sent: false,
            until: Instant::now() + self.shared.config.t1() * 64,
        });
        self.send_cancel();
    }

    fn send_cancel(&mut self) {
        let Some(cancel) = &mut self.cancel else {
            return;
        };
        if !self.provisional || cancel.sent {
            return;
        }
        cancel.sent = true;
        let request = cancel_of(&self.sent.request, reason_header(cancel.reason));
        // Its answer says nothing that the INVITE's does not say better.
        let _ = self.shared.stack.send(request, &self.flow);
    }

    fn taken_back(&mut self) -> Outcome {
        match self.cancel.take() {
            Some(cancel) => Outcome::Failed(cancel.reason, cancel.detail),
            None => Outcome::Failed(EndReason::NoAnswer, None),
        }
    }

    async fn on_response(&mut self, response: Option<Response>) -> Option<Outcome> {
        let Some(response) = response else {
            let detail = "the INVITE got no final answer".to_owned();
            return Some(match self.cancel.is_some() {
                true => self.taken_back(),
                false => Outcome::Failed(EndReason::NoAnswer, Some(detail)),
            });
        };
        match response.status {
            ..=199 => {
                self.provisional = true;
                self.send_cancel();
                self.on_provisional(&response).await;
                None
            }
            200..=299 => Some(Outcome::Answered(Box::new(response))),
            _ if self.cancel.is_some() => Some(self.taken_back()),
            401 | 407 => self.authorize(&response),
            422 => self.lengthen(&response),
            status => Some(failed(status, &response)),
        }
    }

    async fn on_provisional(&mut self, response: &Response) {
        if response.status == 100 {
            return;
        }
        if !self.rung {
            self.rung = true;
            self.leg.tell(LegEvent::Ringing).await;
        }
        let Some(dialog) = Dialog::as_client(&self.invite, response) else {
            return;
        };
        let tag = dialog.remote_tag().to_owned();
        // A far end that forks without end must not fill our memory.
        if self.early.len() >= 16 && !self.early.contains_key(&tag) {
            return;
        }
        let early = self.early.entry(tag).or_insert(Early {
            dialog,
            rseq: None,
            agreed: None,
        });
        let answer = sdp::sdp_of(&response.headers, &response.body)
            .and_then(|body| sdp::parse(body).ok())
            .and_then(|answer| sdp::accept(&answer).ok());
        early.agreed = answer.or(early.agreed.take());
        let reliable = response.headers.has_option("Require", "100rel");
        let rseq = response.headers.get("RSeq");
        let rseq: Option<u32> = rseq.and_then(|rseq| rseq.trim().parse().ok());
        let (true, Some(rseq)) = (reliable, rseq) else {
            return;
        };
        // RFC 3262 section 4: in order, each once; a retransmission was acknowledged already.
        if early.rseq.is_some_and(|last| rseq != last + 1) {
            return;
        }
        early.rseq = Some(rseq);
        let mut prack = early.dialog.request(Method::Prack);
        let cseq = self.cseq;
        prack.headers.push("RAck", format!("{rseq} {cseq} INVITE"));
        let flow = in_dialog_flow(&self.shared, &early.dialog, &self.flow).await;
        let _ = self.shared.stack.send(prack, &flow);
    }

    /// Sends the INVITE again with credentials.
    fn authorize(&mut self, response: &Response) -> Option<Outcome> {
        let authorizer = self.trunk.authorizer.as_ref();
        if authorizer.is_some_and(|a| a.answer(response, &mut self.invite)) {
            self.send_again();
            return None;
        }
        Some(failed(response.status, response))
    }

    /// Sends the INVITE again with the session interval that the far end wants.
    fn lengthen(&mut self, response: &Response) -> Option<Outcome> {
        let least = response.headers.get("Min-SE");
        let least: Option<u64> = least.and_then(|least| least.trim().parse().ok());
        // Asked once; a far end that raises its demand each time is not humoured.
        let asked_before = self.invite.headers.get("Min-SE").is_some();
        match least {
            Some(least) if !asked_before => {
                let ours = u64::from(self.shared.config.session_expires_s);
                let headers = &mut self.invite.headers;
                headers.set("Min-SE", least.to_string());
                headers.set("Session-Expires", least.max(ours).to_string());
                self.send_again();
                None
            }
            _ => Some(failed(422, response)),
        }
    }

    fn send_again(&mut self) {
        self.cseq += 1;
        let value = format!("{} INVITE", self.cseq);
        self.invite.headers.set("CSeq", value);
        self.early.clear();
        self.provisional = false;
        self.sent = self.shared.stack.send(self.invite.clone(), &self.flow);
    }

    /// Requests inside an early dialog.
    fn on_request(&self, mut incoming: Incoming) {
        match incoming.request.method {
            Method::Options => super::requests::answer_options(&mut incoming.responder),
            Method::Update => {
                let mut response = incoming.responder.draft(500);
                response.headers.push("Retry-After", "2");
                incoming.responder.send(&response);
            }
            _ => incoming.responder.refuse(481),
        }
    }

    async fn answered(mut self: Box<Self>, response: Response) {
        let Some(mut dialog) = Dialog::as_client(&self.invite, &response) else {
            let detail = "its answer has no Contact or tag".to_owned();
            self.leg.end(EndReason::Refused, Some(detail)).await;
            return;
        };
        let early = self.early.remove(dialog.remote_tag());
        if let Some(early) = &early {
            dialog.continue_from(&early.dialog);
        }
        let agreed = match sdp::sdp_of(&response.headers, &response.body) {
            Some(body) => sdp::parse(body).and_then(|answer| sdp::accept(&answer)),
            None => early
                .and_then(|early| early.agreed)
                .ok_or(sdp::SdpError::Unusable("the answer holds no SDP")),
        };
        // The answer crossed our CANCEL, or is one that we cannot talk over.
        let refused = match (self.cancel.take(), &agreed) {
            (Some(cancel), _) => Some((cancel.reason, cancel.detail)),
            (None, Err(error)) => Some((EndReason::Refused, Some(error.to_string()))),
            (None, Ok(_)) => None,
        };
        if let Some((reason, detail)) = refused {
            let flow = in_dialog_flow(&self.shared, &dialog, &self.flow).await;
            tokio::join!(
                send_bye(&self.shared, &self.trunk, &mut dialog, &flow, reason),
                self.leg.end(reason, detail)
            );
            return;
        }
        let timer = settle_as_client(&response.headers)
            .map(|(interval, refresher)| SessionTimer::new(interval, refresher, Instant::now()));
        let this = *self;
        let call = Established::new(Start {
            peer_updates: response.headers.has_option("Allow", "UPDATE"),
            shared: this.shared,
            trunk: this.trunk,
            flow: this.flow,
            leg: this.leg,
            requests: this.requests,
            dialog,
            local: this.local,
            agreed: agreed.ok(),
            timer,
            place: this.place,
        });
        let late = Late {
            invite: this.invite,
            responses: this.sent.responses,
        };
        call.run(None, Some(late)).await;
    }
}

fn failed(status: u16, response: &Response) -> Outcome {
    let reason = match status {
        408 => EndReason::NoAnswer,
        _ => EndReason::Refused,
    };
    let mut detail = response.line();
    if let Some(said) = reason_of(&response.headers) {
        detail.push_str(&format!(" ({said})"));
    }
    Outcome::Failed(reason, Some(detail))
}

fn invite(
    shared: &Shared,
    trunk: &Trunk,
    flow: &Flow,
    leg: &LegSide,
    tag: &str,
    local: &mut Local,
) -> Request {
    let info = &leg.info;
    let host = trunk.outbound_host().unwrap_or_default();
    // A hash sign in a user part has to be escaped (RFC 3261 section 25.1).
    let to = info.to.as_str().replace('#', "%23");
    let domain = trunk.domain();
    let transport = match flow.transport {
        crate::wire::Transport::Udp => "",
        crate::wire::Transport::Tcp => ";transport=tcp",
    };
    let identity = format!("<sip:{}@{domain}>", info.from.replace('#', "%23"));
    let mut headers = Headers::default();
    headers.push("From", format!("{identity};tag={tag}"));
    headers.push("To", format!("<sip:{to}@{domain}>"));
    headers.push("Call-ID", info.carrier_call_id.clone());
    headers.push("CSeq", "1 INVITE");
    headers.push("Contact", flow.contact(&info.from.replace('#', "%23")));
    headers.push("P-Asserted-Identity", identity);
    headers.push("Allow", ALLOW);
    headers.push("Supported", SUPPORTED);
    headers.push(
        "Session-Expires",
        shared.config.session_expires_s.to_string(),
    );
    headers.push("Content-Type", "application/sdp");
    Request {
        method: Method::Invite,
        uri: format!("sip:{to}@{host}{transport}"),
        headers,
        body: local.offer().into_bytes(),
    }
}

/// A new Call-ID for a call that we place.
pub(crate) fn new_call_id() -> String {
    format!("{}{}", random::token(), random::token())
}

/// Whether a display or caller id can stand in our From.
pub(crate) fn usable_caller(user: &str) -> bool {
    NameAddr::parse(&format!("<sip:{}@localhost>", user.replace('#', "%23"))).is_some()
}
