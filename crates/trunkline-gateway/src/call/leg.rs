//! Our end of a [`CallLeg`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use trunkline_leg::{CallLeg, LegEvent, LegInfo, SignallingCommand};
use trunkline_media::{MediaError, MediaNotice, MediaPort};
use trunkline_types::EndReason;

use super::Shared;

/// Events that may wait for the agent: four seconds of ticks.
const EVENTS: usize = 200;
/// How long an event may wait for a stuck agent before the call goes on without telling it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The side of a leg that signalling holds.
pub(crate) struct LegSide {
    pub(super) events: mpsc::Sender<LegEvent>,
    pub(super) commands: mpsc::UnboundedReceiver<SignallingCommand>,
    /// `None` once the call's media has ended.
    pub(super) port: Option<MediaPort>,
    pub(super) notices: mpsc::UnboundedReceiver<MediaNotice>,
    pub(super) notice_sender: mpsc::UnboundedSender<MediaNotice>,
    pub(super) info: LegInfo,
}

/// Reserves media and makes both ends of a leg.
pub(crate) fn open_leg(
    shared: &Arc<Shared>,
    info: LegInfo,
) -> Result<(LegSide, CallLeg), MediaError> {
    let port = shared.media.reserve()?;
    let (events, event_receiver) = mpsc::channel(EVENTS);
    let (command_sender, commands) = mpsc::unbounded_channel();
    let (notice_sender, notices) = mpsc::unbounded_channel();
    let leg = CallLeg {
        info: info.clone(),
        events: event_receiver,
        signalling: command_sender,
        media: port.control(),
    };
    let side = LegSide {
        events,
        commands,
        port: Some(port),
        notices,
        notice_sender,
        info,
    };
    Ok((side, leg))
}

impl LegSide {
    /// Tells the agent.
    pub(super) async fn tell(&self, event: LegEvent) {
        let _ = tokio::time::timeout(PATIENCE, self.events.send(event)).await;
    }

    /// Tells the agent that the call is over, after the media has been stopped, so that nothing
    /// follows.
    pub(super) async fn end(&mut self, reason: EndReason, detail: Option<String>) {
        if self.port.take().is_some() {
            // The wheel lets go of the leg at its next tick; two of them are certain.
            tokio::time::sleep(trunkline_types::TICK * 2).await;
        }
        tracing::info!(call = %self.info.call_id, %reason, detail, "call ended");
        self.tell(LegEvent::Ended { reason, detail }).await;
    }
}

/// What the agent's side of a leg has said, with a dropped leg counted as a hang-up.
pub(super) fn command(received: Option<SignallingCommand>) -> SignallingCommand {
    received.unwrap_or(SignallingCommand::Hangup(EndReason::AgentFailed))
}
