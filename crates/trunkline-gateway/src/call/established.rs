//! A call that has been answered, whoever placed it.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use trunkline_leg::{LegEvent, SignallingCommand};
use trunkline_media::MediaNotice;
use trunkline_types::EndReason;

use super::bye::{in_dialog_flow, send_bye};
use super::leg::{LegSide, command};
use super::refresh::Refresh;
use super::{Place, Shared, media, sleep_until, stopped};
use crate::dialog::Dialog;
use crate::router::Trunk;
use crate::sdp::{self, Agreed, Local};
use crate::session_timer::{SessionTimer, TimerAction};
use crate::stack::{Flow, Incoming, ServerEvent};
use crate::wire::{NameAddr, Request, Response};

/// What is known when the answer is there.
pub(super) struct Start {
    pub(super) shared: Arc<Shared>,
    pub(super) trunk: Arc<Trunk>,
    pub(super) flow: Flow,
    pub(super) leg: LegSide,
    pub(super) requests: mpsc::UnboundedReceiver<Incoming>,
    pub(super) dialog: Dialog,
    pub(super) local: Local,
    /// `None` while our offer is unanswered.
    pub(super) agreed: Option<Agreed>,
    pub(super) timer: Option<SessionTimer>,
    /// Whether the far end allows UPDATE.
    pub(super) peer_updates: bool,
    pub(super) place: Place,
}

/// Further 2xx of our INVITE, from other branches of a fork.
pub(super) struct Late {
    pub(super) invite: Request,
    pub(super) responses: mpsc::UnboundedReceiver<Response>,
}

/// An answered call.
pub(super) struct Established {
    pub(super) shared: Arc<Shared>,
    pub(super) trunk: Arc<Trunk>,
    pub(super) flow: Flow,
    pub(super) leg: LegSide,
    requests: mpsc::UnboundedReceiver<Incoming>,
    pub(super) dialog: Dialog,
    pub(super) local: Local,
    pub(super) agreed: Option<Agreed>,
    pub(super) timer: Option<SessionTimer>,
    pub(super) peer_updates: bool,
    /// What happens to the last INVITE that we answered, until its ACK.
    pub(super) unacked: Option<mpsc::UnboundedReceiver<ServerEvent>>,
    /// Our offer went out in a 200 and its answer comes with the ACK.
    pub(super) answer_due: bool,
    /// Our session refresh under way.
    pub(super) refresh: Option<Refresh>,
    /// When a refresh is to be tried again.
    pub(super) refresh_again: Option<Instant>,
    /// Whether the agent has been told that the call is answered.
    started: bool,
    held: bool,
    /// The agent hung up before the ACK; BYE has to wait for it.
    hang_up: Option<EndReason>,
    /// Kept until the last BYE is through.
    _place: Place,
}

/// How a call ends.
#[derive(Debug)]
pub(super) struct End {
    pub(super) reason: EndReason,
    pub(super) detail: Option<String>,
    /// Whether the far end has to be told.
    pub(super) bye: bool,
}

impl End {
    pub(super) fn with_bye(reason: EndReason, detail: Option<String>) -> Self {
        Self {
            reason,
            detail,
            bye: true,
        }
    }
}

impl Established {
    pub(super) fn new(start: Start) -> Box<Self> {
        Box::new(Self {
            answer_due: start.agreed.is_none(),
            shared: start.shared,
            trunk: start.trunk,
            flow: start.flow,
            leg: start.leg,
            requests: start.requests,
            dialog: start.dialog,
            local: start.local,
            agreed: start.agreed,
            timer: start.timer,
            peer_updates: start.peer_updates,
            unacked: None,
            refresh: None,
            refresh_again: None,
            started: false,
            held: false,
            hang_up: None,
            _place: start.place,
        })
    }

    /// Sees the call through to its end. `unacked` is there when we answered, `late` when we
    /// called.
    pub(super) async fn run(
        mut self: Box<Self>,
        unacked: Option<mpsc::UnboundedReceiver<ServerEvent>>,
        mut late: Option<Late>,
    ) {
        self.unacked = unacked;
        if self.unacked.is_none() {
            self.start().await;
        }
        let end = self.talk(&mut late).await;
        self.finish(end).await;
    }

    async fn talk(&mut self, late: &mut Option<Late>) -> End {
        let mut stop = self.shared.stop.subscribe();
        loop {
            let timer_due = self.timer.as_ref().map(|timer| timer.next().0);
            let end = tokio::select! {
                received = self.leg.commands.recv(), if self.hang_up.is_none() => {
                    self.on_command(command(received))
                }
                event = next_of(self.unacked.as_mut()) => self.on_server_event(event).await,
                Some(request) = self.requests.recv() => self.on_request(request).await,
                Some(notice) = self.leg.notices.recv() => self.on_notice(notice),
                response = Refresh::next(self.refresh.as_mut()) => {
                    self.on_refresh_response(response).await
                }
                () = sleep_until(self.refresh_again) => {
                    self.send_refresh().await;
                    None
                }
                () = sleep_until(timer_due) => self.on_timer().await,
                response = next_late(late.as_mut()) => {
                    self.on_late(late, response);
                    None
                }
                () = stopped(&mut stop) => {
                    Some(End::with_bye(EndReason::ShutDown, None))
                }
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    fn on_command(&mut self, command: SignallingCommand) -> Option<End> {
        let SignallingCommand::Hangup(reason) = command else {
            // Ring, Answer and Reject have had their time.
            return None;
        };
        if self.unacked.is_some() && !self.started {
            self.hang_up = Some(reason);
            return None;
        }
        Some(End::with_bye(reason, None))
    }

    async fn on_server_event(&mut self, event: Option<ServerEvent>) -> Option<End> {
        match event {
            Some(ServerEvent::Acked(ack)) => {
                self.unacked = None;
                if let Some(end) = self.take_answer(&ack) {
                    return Some(end);
                }
                self.start().await;
                self.hang_up.map(|reason| End::with_bye(reason, None))
            }
            Some(ServerEvent::Cancelled) => None,
            Some(ServerEvent::Over) | None => Some(End::with_bye(
                EndReason::SessionExpired,
                Some("our answer was never acknowledged (ACK)".to_owned()),
            )),
        }
    }

    /// The answer to our delayed offer, in the ACK.
    fn take_answer(&mut self, ack: &Request) -> Option<End> {
        if !self.answer_due {
            return None;
        }
        self.answer_due = false;
        let answer = sdp::sdp_of(&ack.headers, &ack.body)
            .ok_or(sdp::SdpError::Unusable("the ACK holds no answer"))
            .and_then(sdp::parse)
            .and_then(|answer| sdp::accept(&answer));
        match answer {
            Ok(agreed) => {
                self.agreed = Some(agreed);
                None
            }
            Err(error) => Some(End::with_bye(EndReason::Refused, Some(error.to_string()))),
        }
    }

    /// Lets media flow as agreed, and tells the agent of what has changed.
    pub(super) async fn start(&mut self) {
        let Some(agreed) = self.agreed.clone() else {
            return;
        };
        if !self.started {
            self.started = true;
            self.leg.answered(&agreed).await;
        } else if let Some(port) = &self.leg.port {
            port.update(media::parameters(&agreed));
        }
        if agreed.held() != self.held {
            self.held = agreed.held();
            let event = match self.held {
                true => LegEvent::Held,
                false => LegEvent::Resumed,
            };
            self.leg.tell(event).await;
        }
    }

    fn on_notice(&self, notice: MediaNotice) -> Option<End> {
        match notice {
            MediaNotice::RtpTimeout { silent_for } => Some(End::with_bye(
                EndReason::MediaTimeout,
                Some(format!("no audio for {} s", silent_for.as_secs())),
            )),
            MediaNotice::Latched(from) => {
                tracing::debug!(call = %self.leg.info.call_id, %from, "media source");
                None
            }
            _ => None,
        }
    }

    async fn on_timer(&mut self) -> Option<End> {
        match self.timer.as_ref()?.next().1 {
            TimerAction::Refresh => {
                if let Some(timer) = &mut self.timer {
                    timer.refresh_sent();
                }
                self.send_refresh().await;
                None
            }
            TimerAction::Expire => Some(End::with_bye(EndReason::SessionExpired, None)),
        }
    }

    /// Another branch answered too: it has been acknowledged, now it is told goodbye.
    fn on_late(&self, late: &mut Option<Late>, response: Option<Response>) {
        let Some(response) = response else {
            *late = None;
            return;
        };
        let tag = response.headers.get("To").and_then(NameAddr::parse);
        let tag = tag.and_then(|to| to.tag().map(str::to_owned));
        let ours = tag.as_deref() == Some(self.dialog.remote_tag());
        if ours || !(200..300).contains(&response.status) {
            return;
        }
        let other = late
            .as_ref()
            .and_then(|late| Dialog::as_client(&late.invite, &response));
        let Some(mut other) = other else {
            return;
        };
        let (shared, trunk) = (Arc::clone(&self.shared), Arc::clone(&self.trunk));
        let flow = self.flow.clone();
        tokio::spawn(async move {
            let flow = in_dialog_flow(&shared, &other, &flow).await;
            let reason = EndReason::WorkflowEnded;
            send_bye(&shared, &trunk, &mut other, &flow, reason).await;
        });
    }

    async fn finish(mut self: Box<Self>, end: End) {
        let Self {
            shared,
            trunk,
            flow,
            dialog,
            leg,
            ..
        } = &mut *self;
        if end.bye {
            let flow = in_dialog_flow(shared, dialog, flow).await;
            tokio::join!(
                send_bye(shared, trunk, dialog, &flow, end.reason),
                leg.end(end.reason, end.detail)
            );
        } else {
            leg.end(end.reason, end.detail).await;
        }
    }
}

async fn next_of(events: Option<&mut mpsc::UnboundedReceiver<ServerEvent>>) -> Option<ServerEvent> {
    match events {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
    }
}

async fn next_late(late: Option<&mut Late>) -> Option<Response> {
    match late {
        Some(late) => late.responses.recv().await,
        None => std::future::pending().await,
    }
}
