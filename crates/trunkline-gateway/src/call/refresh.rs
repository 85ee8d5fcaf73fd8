//! Our own session refreshes (RFC 4028): UPDATE when the far end has it, else re-INVITE.

use std::time::{Duration, Instant};

use trunkline_types::EndReason;

use super::bye::in_dialog_flow;
use super::established::{End, Established};
use crate::random;
use crate::sdp;
use crate::session_timer::{Refresher, settle_as_client};
use crate::stack::Sent;
use crate::wire::{ALLOW, Method, Request, Response, SUPPORTED};

/// A refresh on its way.
pub(super) struct Refresh {
    request: Request,
    sent: Sent,
}

impl Refresh {
    pub(super) fn is_invite(&self) -> bool {
        self.request.method == Method::Invite
    }

    pub(super) async fn next(refresh: Option<&mut Self>) -> Option<Response> {
        match refresh {
            Some(refresh) => refresh.sent.responses.recv().await,
            None => std::future::pending().await,
        }
    }
}

impl Established {
    pub(super) async fn send_refresh(&mut self) {
        self.refresh_again = None;
        let Some(timer) = &self.timer else {
            return;
        };
        let interval = timer.interval().as_secs();
        let least = self.shared.terms().least.as_secs();
        let method = match self.peer_updates {
            true => Method::Update,
            false => Method::Invite,
        };
        let mut request = self.dialog.request(method);
        let user = self.leg.info.to.to_string();
        let headers = &mut request.headers;
        headers.push("Contact", self.flow.contact(&user));
        headers.push("Allow", ALLOW);
        headers.push("Supported", SUPPORTED);
        headers.push("Session-Expires", format!("{interval};refresher=uac"));
        headers.push("Min-SE", least.to_string());
        if request.method == Method::Invite
            && let Some(agreed) = &self.agreed
        {
            request.headers.push("Content-Type", "application/sdp");
            request.body = self.local.offer_again(agreed).into_bytes();
        }
        self.dispatch_refresh(request).await;
    }

    async fn dispatch_refresh(&mut self, request: Request) {
        let flow = in_dialog_flow(&self.shared, &self.dialog, &self.flow).await;
        let sent = self.shared.stack.send(request.clone(), &flow);
        self.refresh = Some(Refresh { request, sent });
    }

    pub(super) async fn on_refresh_response(&mut self, response: Option<Response>) -> Option<End> {
        let Some(response) = response else {
            self.refresh = None;
            return None;
        };
        if response.status < 200 {
            return None;
        }
        let refresh = self.refresh.take()?;
        match response.status {
            200..=299 => {
                self.on_refreshed(&refresh, &response).await;
                None
            }
            408 | 481 => Some(End {
                reason: EndReason::SessionExpired,
                detail: Some(format!("refresh: {}", response.line())),
                bye: response.status == 408,
            }),
            401 | 407 => {
                let mut request = refresh.request;
                let authorizer = self.trunk.authorizer.as_ref();
                if authorizer.is_some_and(|a| a.answer(&response, &mut request)) {
                    let cseq = self.dialog.next_cseq();
                    let value = format!("{cseq} {}", request.method);
                    request.headers.set("CSeq", value);
                    self.dispatch_refresh(request).await;
                }
                None
            }
            422 => {
                let least = response.headers.get("Min-SE");
                let least = least.and_then(|least| least.trim().parse().ok());
                if let (Some(least), Some(timer)) = (least, &mut self.timer) {
                    let interval = Duration::from_secs(least).max(timer.interval());
                    timer.lengthen(interval);
                    self.refresh_again = Some(Instant::now());
                }
                None
            }
            405 | 501 if !refresh.is_invite() => {
                self.peer_updates = false;
                self.refresh_again = Some(Instant::now());
                None
            }
            491 | 500 | 503 => {
                // RFC 3261 section 14.1: both sides wait for a random time.
                let wait = Duration::from_secs_f64(1.0 + 2.0 * random::fraction());
                self.refresh_again = Some(Instant::now() + wait);
                None
            }
            // The session goes on until the timer says that it is over.
            _ => None,
        }
    }

    async fn on_refreshed(&mut self, refresh: &Refresh, response: &Response) {
        self.dialog.refresh_target(&response.headers);
        if let Some(timer) = &mut self.timer {
            let (interval, refresher) =
                settle_as_client(&response.headers).unwrap_or((timer.interval(), Refresher::Us));
            timer.refreshed(interval, refresher, Instant::now());
        }
        if !refresh.is_invite() {
            return;
        }
        let answer = sdp::sdp_of(&response.headers, &response.body)
            .and_then(|body| sdp::parse(body).ok())
            .and_then(|answer| sdp::accept(&answer).ok());
        if answer.is_some() {
            self.agreed = answer;
            self.start().await;
        }
    }
}
