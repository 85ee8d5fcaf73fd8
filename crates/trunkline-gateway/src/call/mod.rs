//! One call: from INVITE to the last BYE, either way round.
//!
//! Each call is one task that owns everything of the call. Before the answer it is
//! [`inbound`] or [`outbound`]; after it both are [`established`].

mod bye;
mod established;
mod inbound;
mod leg;
mod media;
mod outbound;
mod refresh;
mod reliable;
mod renegotiate;
mod requests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use trunkline_leg::CallLeg;
use trunkline_media::MediaWheel;

use crate::config::SipConfig;
use crate::router::Router;
use crate::session_timer::Terms;
use crate::stack::{Incoming, Stack};

pub(crate) use inbound::{run as run_inbound, unavailable};
pub(crate) use leg::open_leg;
pub(crate) use outbound::{Outbound, new_call_id, run as run_outbound, usable_caller};
pub(crate) use requests::answer_options;

/// What all calls share.
pub(crate) struct Shared {
    pub(crate) config: SipConfig,
    pub(crate) stack: Arc<Stack>,
    pub(crate) router: Arc<Router>,
    pub(crate) media: Arc<MediaWheel>,
    /// Inbound calls go here.
    pub(crate) incoming: mpsc::Sender<CallLeg>,
    pub(crate) calls: Calls,
    /// Set once: every call says goodbye.
    pub(crate) stop: watch::Sender<bool>,
}

impl Shared {
    pub(crate) fn terms(&self) -> Terms {
        Terms {
            interval: std::time::Duration::from_secs(self.config.session_expires_s.into()),
            least: std::time::Duration::from_secs(self.config.min_session_expires_s.into()),
        }
    }
}

/// The dialog of a call as requests name it: Call-ID and our tag.
type DialogKey = (String, String);

/// The running calls.
#[derive(Default)]
pub(crate) struct Calls {
    by_dialog: Mutex<HashMap<DialogKey, mpsc::UnboundedSender<Incoming>>>,
    /// Call-ID, From tag and CSeq of INVITEs being handled, to recognise one that reaches us a
    /// second time by another way (RFC 3261 section 8.2.2.2).
    invites: Mutex<std::collections::HashSet<(String, String, u32)>>,
    running: AtomicUsize,
    draining: AtomicBool,
    changed: tokio::sync::Notify,
}

impl Calls {
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Takes one of the places that there are. `None` when all are taken.
    pub(crate) fn enter(shared: &Arc<Shared>) -> Option<Place> {
        let most = shared.config.max_calls;
        let taken =
            shared
                .calls
                .running
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |running| {
                    (running < most).then_some(running + 1)
                });
        taken.ok().map(|_| Place {
            shared: Arc::clone(shared),
            keys: Vec::new(),
            invite: None,
        })
    }

    /// Hands a request inside a dialog to its call. Gives it back when there is no such call.
    pub(crate) fn deliver(&self, key: &DialogKey, request: Incoming) -> Result<(), Box<Incoming>> {
        let calls = self
            .by_dialog
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match calls.get(key) {
            Some(call) => call.send(request).map_err(|refused| Box::new(refused.0)),
            None => Err(Box::new(request)),
        }
    }

    /// Waits until no call is left.
    pub(crate) async fn empty(&self) {
        loop {
            let changed = self.changed.notified();
            if self.running() == 0 {
                return;
            }
            changed.await;
        }
    }
}

/// A call's place among the running ones; given back when dropped.
pub(crate) struct Place {
    shared: Arc<Shared>,
    keys: Vec<DialogKey>,
    invite: Option<(String, String, u32)>,
}

impl Place {
    /// Lets requests of this dialog in.
    pub(crate) fn listen(&mut self, key: DialogKey) -> mpsc::UnboundedReceiver<Incoming> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.shared
            .calls
            .by_dialog
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key.clone(), sender);
        self.keys.push(key);
        receiver
    }

    /// Notes the INVITE. `false` when the same one is being handled already.
    pub(crate) fn claim(&mut self, invite: (String, String, u32)) -> bool {
        let mut invites = self
            .shared
            .calls
            .invites
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let fresh = invites.insert(invite.clone());
        if fresh {
            self.invite = Some(invite);
        }
        fresh
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let calls = &self.shared.calls;
        {
            let mut dialogs = calls
                .by_dialog
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for key in &self.keys {
                dialogs.remove(key);
            }
        }
        if let Some(invite) = &self.invite {
            calls
                .invites
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(invite);
        }
        calls.running.fetch_sub(1, Ordering::AcqRel);
        calls.changed.notify_waiters();
    }
}

/// Sleeps until then, or for ever.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Waits until the gateway stops. A gateway that is gone has stopped.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
