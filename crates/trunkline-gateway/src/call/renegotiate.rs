//! The far end's re-INVITE and UPDATE: hold, resume, another codec or address, session refresh.

use std::time::Instant;

use super::established::Established;
use super::inbound::refuse_sdp;
use crate::sdp::{self, Agreed, SdpError};
use crate::session_timer::{Negotiated, SessionTimer, negotiate_as_server};
use crate::stack::{Incoming, Responder};
use crate::wire::{ALLOW, Request, Response, SUPPORTED};

impl Established {
    pub(super) async fn on_reinvite(&mut self, mut incoming: Incoming) {
        if self.refresh.as_ref().is_some_and(|r| r.is_invite()) {
            incoming.responder.refuse(491);
            return;
        }
        if self.unacked.is_some() {
            later(&mut incoming.responder);
            return;
        }
        let Some(mut response) = self.timed_response(&mut incoming) else {
            return;
        };
        match self.answer_of(&incoming.request) {
            Ok(Some((answer, agreed))) => {
                set_sdp(&mut response, answer);
                self.agreed = Some(agreed);
            }
            Ok(None) => {
                set_sdp(&mut response, self.local.offer());
                self.answer_due = true;
            }
            Err(error) => {
                // The session goes on as it was.
                refuse_sdp(&mut incoming.responder, &error);
                return;
            }
        }
        self.dialog.refresh_target(&incoming.request.headers);
        incoming.responder.send(&response);
        self.unacked = Some(incoming.events);
        if !self.answer_due {
            self.start().await;
        }
    }

    pub(super) async fn on_update(&mut self, mut incoming: Incoming) {
        let has_offer = sdp::sdp_of(&incoming.request.headers, &incoming.request.body).is_some();
        let glare = self.answer_due || self.refresh.as_ref().is_some_and(|r| r.is_invite());
        if has_offer && glare {
            incoming.responder.refuse(491);
            return;
        }
        let Some(mut response) = self.timed_response(&mut incoming) else {
            return;
        };
        match self.answer_of(&incoming.request) {
            Ok(Some((answer, agreed))) => {
                set_sdp(&mut response, answer);
                self.agreed = Some(agreed);
            }
            Ok(None) => {}
            Err(error) => {
                refuse_sdp(&mut incoming.responder, &error);
                return;
            }
        }
        self.dialog.refresh_target(&incoming.request.headers);
        incoming.responder.send(&response);
        if has_offer {
            self.start().await;
        }
    }

    fn answer_of(&mut self, request: &Request) -> Result<Option<(String, Agreed)>, SdpError> {
        match sdp::sdp_of(&request.headers, &request.body) {
            Some(body) => sdp::answer(&sdp::parse(body)?, &mut self.local).map(Some),
            None => Ok(None),
        }
    }

    /// A 200 with the session timer settled anew; `None` when the interval was refused.
    fn timed_response(&mut self, incoming: &mut Incoming) -> Option<Response> {
        let headers = &incoming.request.headers;
        let negotiated = negotiate_as_server(headers, self.shared.terms());
        let mut response = incoming.responder.draft(200);
        let contact = self.flow.contact(self.leg.info.to.as_str());
        response.headers.push("Contact", contact);
        response.headers.push("Allow", ALLOW);
        response.headers.push("Supported", SUPPORTED);
        match negotiated {
            Negotiated::TooShort(least) => {
                let mut refusal = incoming.responder.draft(422);
                refusal.headers.push("Min-SE", least.to_string());
                incoming.responder.send(&refusal);
                None
            }
            Negotiated::On {
                interval,
                refresher,
                header,
                require,
            } => {
                response.headers.push("Session-Expires", header);
                if require {
                    response.headers.push("Require", "timer");
                }
                self.timer = Some(SessionTimer::new(interval, refresher, Instant::now()));
                self.refresh_again = None;
                Some(response)
            }
        }
    }
}

fn set_sdp(response: &mut Response, text: String) {
    response.headers.push("Content-Type", "application/sdp");
    response.body = text.into_bytes();
}

/// 500 with Retry-After (RFC 3261 section 14.2): one INVITE after the other.
fn later(responder: &mut Responder) {
    let mut response = responder.draft(500);
    response.headers.push("Retry-After", "2");
    responder.send(&response);
}
