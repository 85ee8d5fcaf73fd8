//! A call that comes in, up to its answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use trunkline_leg::{LegEvent, LegInfo, RejectReason, SignallingCommand};
use trunkline_types::{CallDirection, DialledNumber, EndReason};

use super::established::{Established, Start};
use super::leg::{LegSide, command};
use super::reliable::{Due, Reliable};
use super::{Calls, Place, Shared, media, open_leg, sleep_until, stopped};
use crate::dialog::Dialog;
use crate::random;
use crate::router::Trunk;
use crate::sdp::{self, Agreed, Local, SdpError};
use crate::session_timer::{Negotiated, SessionTimer, negotiate_as_server};
use crate::stack::{Flow, Incoming, Responder, ServerEvent};
use crate::wire::{ALLOW, Method, NameAddr, Request, Response, SUPPORTED};

/// Takes an INVITE for a number that is served: refuses it, or hands a leg to the agent and sees
/// the call through.
pub(crate) async fn run(
    shared: Arc<Shared>,
    trunk: Arc<Trunk>,
    incoming: Incoming,
    number: DialledNumber,
    workflow: String,
) {
    if let Some(call) = Ringing::new(&shared, &trunk, incoming, number, workflow) {
        call.run().await;
    }
}

struct Ringing {
    shared: Arc<Shared>,
    trunk: Arc<Trunk>,
    invite: Request,
    flow: Flow,
    responder: Responder,
    events: mpsc::UnboundedReceiver<ServerEvent>,
    requests: mpsc::UnboundedReceiver<Incoming>,
    leg: LegSide,
    dialog: Dialog,
    local: Local,
    /// What the INVITE's offer came to; `None` for a delayed offer.
    agreed: Option<(String, Agreed)>,
    /// Our offer that went out in a reliable provisional response.
    offered: bool,
    timer: SessionTimer,
    timer_headers: Vec<(&'static str, String)>,
    reliable: Option<Reliable>,
    /// The agent answered while a reliable response was still unacknowledged.
    answer_wanted: bool,
    place: Place,
}

/// What ended the ringing.
enum Next {
    Answer,
    End(EndReason, Option<String>),
}

impl Ringing {
    /// Checks everything that can be checked before the agent is bothered.
    fn new(
        shared: &Arc<Shared>,
        trunk: &Arc<Trunk>,
        incoming: Incoming,
        number: DialledNumber,
        workflow: String,
    ) -> Option<Box<Self>> {
        let Incoming {
            request: invite,
            flow,
            mut responder,
            events,
        } = incoming;
        let Some(mut place) = Calls::enter(shared) else {
            unavailable(&mut responder, shared.config.retry_after_s);
            return None;
        };
        let call_id = invite.headers.get("Call-ID").unwrap_or("").to_owned();
        let from = invite.headers.get("From").and_then(NameAddr::parse)?;
        let identity = (call_id.clone(), from.tag()?.to_owned(), invite.cseq()?);
        if !place.claim(identity) {
            responder.refuse(482);
            return None;
        }
        let Some(dialog) = Dialog::as_server(&invite, responder.tag()) else {
            refuse_with(&mut responder, 400, "Missing Or Malformed Contact");
            return None;
        };
        let info = LegInfo {
            call_id: random::call_id(),
            direction: CallDirection::Inbound,
            started: random::now(),
            from: caller(&invite),
            to: number,
            trunk: trunk.config.name.clone(),
            workflow,
            carrier_call_id: call_id.clone(),
        };
        let (timer, timer_headers) = session_timer(shared, &invite, &mut responder)?;
        let Ok((leg, theirs)) = open_leg(shared, info) else {
            unavailable(&mut responder, shared.config.retry_after_s);
            return None;
        };
        let mut local = media::local_session(shared, leg.port.as_ref()?, &flow);
        let agreed = match read_offer(&invite, &mut local) {
            Ok(agreed) => agreed,
            Err(error) => {
                refuse_sdp(&mut responder, &error);
                return None;
            }
        };
        let requests = place.listen((call_id, responder.tag().to_owned()));
        if shared.incoming.try_send(theirs).is_err() {
            // The agent side has no room; to the caller that is capacity too.
            unavailable(&mut responder, shared.config.retry_after_s);
            return None;
        }
        let reliable = invite
            .headers
            .has_option("Require", "100rel")
            .then(|| Reliable::new(invite.cseq().unwrap_or(1), shared.config.t1()));
        Some(Box::new(Self {
            shared: Arc::clone(shared),
            trunk: Arc::clone(trunk),
            invite,
            flow,
            responder,
            events,
            requests,
            leg,
            dialog,
            local,
            agreed,
            offered: false,
            timer,
            timer_headers,
            reliable,
            answer_wanted: false,
            place,
        }))
    }

    async fn run(mut self: Box<Self>) {
        match self.ring().await {
            Next::Answer => self.answer().await,
            Next::End(reason, detail) => self.leg.end(reason, detail).await,
        }
    }

    async fn ring(&mut self) -> Next {
        let patience = Duration::from_secs(self.shared.config.answer_timeout_s.into());
        let deadline = tokio::time::Instant::now() + patience;
        let mut stop = self.shared.stop.subscribe();
        loop {
            let reliable_due = self.reliable.as_ref().and_then(Reliable::next);
            let next = tokio::select! {
                received = self.leg.commands.recv() => self.on_command(command(received)),
                event = self.events.recv() => self.on_event(event.as_ref()),
                Some(request) = self.requests.recv() => self.on_request(request),
                () = sleep_until(reliable_due) => self.on_reliable_due(),
                () = tokio::time::sleep_until(deadline) => {
                    self.responder.refuse(480);
                    Some(Next::End(EndReason::AgentFailed, Some("not answered in time".to_owned())))
                }
                () = stopped(&mut stop) => {
                    unavailable(&mut self.responder, self.shared.config.retry_after_s);
                    Some(Next::End(EndReason::ShutDown, None))
                }
            };
            if let Some(next) = next {
                return next;
            }
        }
    }

    fn on_command(&mut self, command: SignallingCommand) -> Option<Next> {
        match command {
            SignallingCommand::Ring => {
                self.ring_back();
                None
            }
            SignallingCommand::Answer => {
                self.answer_wanted = true;
                let waiting = self.reliable.as_ref().is_some_and(Reliable::is_waiting);
                (!waiting).then_some(Next::Answer)
            }
            SignallingCommand::Reject(reason) => {
                let end = match reason {
                    RejectReason::AtCapacity { retry_after } => {
                        let seconds = u32::try_from(retry_after.as_secs()).unwrap_or(u32::MAX);
                        unavailable(&mut self.responder, seconds);
                        "503 Service Unavailable"
                    }
                    RejectReason::Busy => {
                        self.responder.refuse(486);
                        "486 Busy Here"
                    }
                    RejectReason::Unavailable => {
                        self.responder.refuse(500);
                        "500 Server Internal Error"
                    }
                };
                Some(Next::End(
                    EndReason::AgentFailed,
                    Some(format!("we refused it: {end}")),
                ))
            }
            SignallingCommand::Hangup(reason) => {
                self.responder.refuse(480);
                Some(Next::End(reason, None))
            }
        }
    }

    fn on_event(&mut self, event: Option<&ServerEvent>) -> Option<Next> {
        match event {
            Some(ServerEvent::Acked(_)) => None,
            Some(ServerEvent::Cancelled) => {
                self.responder.refuse(487);
                Some(Next::End(EndReason::Cancelled, None))
            }
            Some(ServerEvent::Over) | None => Some(Next::End(
                EndReason::Cancelled,
                Some("the INVITE transaction ended".to_owned()),
            )),
        }
    }

    /// Requests inside the early dialog.
    fn on_request(&mut self, mut incoming: Incoming) -> Option<Next> {
        match incoming.request.method {
            Method::Prack => {
                let known = self
                    .reliable
                    .as_mut()
                    .is_some_and(|reliable| reliable.acknowledge(&incoming.request));
                if !known {
                    incoming.responder.refuse(481);
                    return None;
                }
                let _ = self.dialog.take(&incoming.request);
                if self.offered
                    && self.agreed.is_none()
                    && let Err(error) = self.take_answer(&incoming.request)
                {
                    refuse_sdp(&mut incoming.responder, &error);
                    refuse_sdp(&mut self.responder, &error);
                    return Some(Next::End(EndReason::Refused, Some(error.to_string())));
                }
                incoming.responder.refuse(200);
                self.answer_wanted.then_some(Next::Answer)
            }
            Method::Bye => {
                incoming.responder.refuse(200);
                self.responder.refuse(487);
                Some(Next::End(EndReason::Cancelled, None))
            }
            Method::Options => {
                super::requests::answer_options(&mut incoming.responder);
                None
            }
            // An early UPDATE could only touch what is not settled yet.
            Method::Update | Method::Invite => {
                let mut response = incoming.responder.draft(500);
                response.headers.push("Retry-After", "2");
                incoming.responder.send(&response);
                None
            }
            _ => {
                incoming.responder.refuse(481);
                None
            }
        }
    }

    fn on_reliable_due(&mut self) -> Option<Next> {
        match self.reliable.as_mut()?.due(Instant::now())? {
            Due::Again(response) => {
                self.responder.send(&response);
                None
            }
            Due::GiveUp => {
                self.responder.refuse(504);
                let detail = "our ringing was never acknowledged (PRACK)".to_owned();
                Some(Next::End(EndReason::Cancelled, Some(detail)))
            }
        }
    }

    fn ring_back(&mut self) {
        if self.reliable.as_ref().is_some_and(Reliable::is_waiting) {
            return;
        }
        let mut response = self.responder.draft(180);
        self.dialog_headers(&mut response);
        if let Some(reliable) = &mut self.reliable {
            if self.agreed.is_none() && !self.offered {
                // RFC 3262 section 5: the first reliable response carries the offer that the
                // INVITE did not.
                response.body = self.local.offer().into_bytes();
                response.headers.push("Content-Type", "application/sdp");
                self.offered = true;
            }
            reliable.number(&mut response, Instant::now());
        }
        self.responder.send(&response);
    }

    fn take_answer(&mut self, prack: &Request) -> Result<(), SdpError> {
        let body = sdp::sdp_of(&prack.headers, &prack.body)
            .ok_or(SdpError::Unusable("the PRACK holds no answer"))?;
        let agreed = sdp::accept(&sdp::parse(body)?)?;
        self.agreed = Some((String::new(), agreed));
        Ok(())
    }

    fn dialog_headers(&self, response: &mut Response) {
        for value in self.invite.headers.all("Record-Route") {
            response.headers.push("Record-Route", value);
        }
        let contact = self.flow.contact(self.leg.info.to.as_str());
        response.headers.push("Contact", contact);
        response.headers.push("Allow", ALLOW);
        response.headers.push("Supported", SUPPORTED);
    }

    async fn answer(mut self: Box<Self>) {
        let mut response = self.responder.draft(200);
        self.dialog_headers(&mut response);
        for (name, value) in &self.timer_headers {
            response.headers.push(name, value.clone());
        }
        let body = match &self.agreed {
            Some((answer, _)) => answer.clone(),
            None => self.local.offer(),
        };
        if !body.is_empty() {
            response.headers.push("Content-Type", "application/sdp");
            response.body = body.into_bytes();
        }
        self.responder.send(&response);
        let this = *self;
        let call = Established::new(Start {
            peer_updates: this.invite.headers.has_option("Allow", "UPDATE"),
            shared: this.shared,
            trunk: this.trunk,
            flow: this.flow,
            leg: this.leg,
            requests: this.requests,
            dialog: this.dialog,
            local: this.local,
            agreed: this.agreed.map(|(_, agreed)| agreed),
            timer: Some(this.timer),
            place: this.place,
        });
        call.run(Some(this.events), None).await;
    }
}

/// The terms of the session timer, or 422.
fn session_timer(
    shared: &Arc<Shared>,
    invite: &Request,
    responder: &mut Responder,
) -> Option<(SessionTimer, Vec<(&'static str, String)>)> {
    match negotiate_as_server(&invite.headers, shared.terms()) {
        Negotiated::TooShort(least) => {
            let mut response = responder.draft(422);
            response.headers.push("Min-SE", least.to_string());
            responder.send(&response);
            None
        }
        Negotiated::On {
            interval,
            refresher,
            header,
            require,
        } => {
            let mut headers = vec![("Session-Expires", header)];
            if require {
                headers.push(("Require", "timer".to_owned()));
            }
            let timer = SessionTimer::new(interval, refresher, Instant::now());
            Some((timer, headers))
        }
    }
}

fn read_offer(invite: &Request, local: &mut Local) -> Result<Option<(String, Agreed)>, SdpError> {
    match sdp::sdp_of(&invite.headers, &invite.body) {
        Some(body) => sdp::answer(&sdp::parse(body)?, local).map(Some),
        None => Ok(None),
    }
}

/// The caller as asserted by the trunk, else as they say themselves (RFC 3325).
fn caller(invite: &Request) -> String {
    ["P-Asserted-Identity", "From"]
        .into_iter()
        .filter_map(|name| NameAddr::parse_list(invite.headers.get(name)?))
        .flatten()
        .find_map(|address| address.user())
        .unwrap_or_else(|| "anonymous".to_owned())
}

pub(super) fn refuse_with(responder: &mut Responder, status: u16, reason: &str) {
    let mut response = responder.draft(status);
    reason.clone_into(&mut response.reason);
    responder.send(&response);
}

/// 400 for what is no SDP, 488 with a Warning (RFC 3261 section 20.43) for what we cannot do.
pub(super) fn refuse_sdp(responder: &mut Responder, error: &SdpError) {
    let status = match error {
        SdpError::Malformed(_) => 400,
        SdpError::Unusable(_) => 488,
    };
    let mut response = responder.draft(status);
    response
        .headers
        .push("Warning", format!("399 trunkline \"{error}\""));
    responder.send(&response);
}

/// 503 with Retry-After.
pub(crate) fn unavailable(responder: &mut Responder, retry_after_s: u32) {
    let mut response = responder.draft(503);
    response
        .headers
        .push("Retry-After", retry_after_s.to_string());
    responder.send(&response);
}

impl LegSide {
    /// Tells the agent that media flows, then lets it flow, so that no tick comes first.
    pub(super) async fn answered(&self, agreed: &Agreed) {
        self.tell(LegEvent::Answered {
            codec: agreed.codec.to_string(),
        })
        .await;
        if let Some(port) = &self.port {
            port.connect(
                media::parameters(agreed),
                self.events.clone(),
                self.notice_sender.clone(),
            );
        }
    }
}
