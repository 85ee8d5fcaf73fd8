//! The gateway: opens everything, routes what comes in, places calls, and closes in good order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};
use trunkline_leg::{CallLeg, LegInfo};
use trunkline_media::MediaWheel;
use trunkline_types::{CallDirection, CallId, DialledNumber};

use crate::call::{
    Calls, Outbound, Shared, answer_options, new_call_id, open_leg, run_inbound, run_outbound,
    unavailable, usable_caller,
};
use crate::config::GatewayConfig;
use crate::digest::Judgement;
use crate::error::GatewayError;
use crate::random;
use crate::registration::{self, RegistrationState};
use crate::router::{Router, Trunk};
use crate::stack::{Gate, Incoming, Stack};
use crate::wire::{Method, NameAddr, SipUri};

/// A call to be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundCall {
    /// Whom to call.
    pub to: DialledNumber,
    /// By which trunk; the first that can place calls when absent.
    pub trunk: Option<String>,
    /// The number to show; the trunk's `caller_id` when absent.
    pub from: Option<DialledNumber>,
    /// The workflow that speaks.
    pub workflow: String,
    /// Our id for the call.
    pub call_id: CallId,
}

/// Signalling, running.
pub struct Gateway {
    shared: Arc<Shared>,
    router: Arc<Router>,
    routing: JoinHandle<()>,
    resolving: JoinHandle<()>,
    registrations: Vec<Kept>,
}

/// A registration that is being kept.
struct Kept {
    trunk: String,
    state: watch::Receiver<RegistrationState>,
    task: JoinHandle<()>,
}

/// How long calls get to say goodbye at shutdown.
const FAREWELL: Duration = Duration::from_secs(5);

/// How often the names of proxies are looked up again.
const RESOLVE_EVERY: Duration = Duration::from_secs(300);

impl Gateway {
    /// Opens the listeners and starts the registrations. Each inbound call goes to `incoming`;
    /// while that is full, callers get 503.
    ///
    /// # Errors
    /// [`GatewayError::Invalid`], [`GatewayError::Listen`] and [`GatewayError::PasswordFile`].
    pub async fn start(
        config: GatewayConfig,
        media: Arc<MediaWheel>,
        incoming: mpsc::Sender<CallLeg>,
    ) -> Result<Self, GatewayError> {
        config.check()?;
        let router = Arc::new(Router::new(&config)?);
        let (requests, receiver) = mpsc::unbounded_channel();
        let gate = Arc::clone(&router) as Arc<dyn Gate>;
        let stack = Stack::start(&config.sip, gate, requests).await?;
        let shared = Arc::new(Shared {
            config: config.sip,
            stack,
            router: Arc::clone(&router),
            media,
            incoming,
            calls: Calls::default(),
            stop: watch::channel(false).0,
        });
        let routing = tokio::spawn(route_all(Arc::clone(&shared), receiver));
        let resolving = tokio::spawn(resolve_all(Arc::clone(&router)));
        let registrations = keep_registrations(&shared);
        info!(
            udp = ?shared.stack.local_udp(),
            tcp = ?shared.stack.local_tcp(),
            trunks = router.trunks.len(),
            "listening for SIP"
        );
        Ok(Self {
            shared,
            router,
            routing,
            resolving,
            registrations,
        })
    }

    /// Where we listen for UDP, with the real port where 0 was asked for.
    pub fn local_udp(&self) -> Vec<SocketAddr> {
        self.shared.stack.local_udp()
    }

    /// Where we listen for TCP, with the real port where 0 was asked for.
    pub fn local_tcp(&self) -> Vec<SocketAddr> {
        self.shared.stack.local_tcp()
    }

    /// Places a call. The leg is there at once; what becomes of it comes as events.
    ///
    /// # Errors
    /// [`GatewayError::NoTrunk`], [`GatewayError::AtCapacity`], [`GatewayError::Draining`],
    /// [`GatewayError::Media`] and [`GatewayError::Unreachable`].
    pub async fn dial(&self, call: OutboundCall) -> Result<CallLeg, GatewayError> {
        if self.shared.calls.is_draining() {
            return Err(GatewayError::Draining);
        }
        let trunk = Arc::clone(self.router.outbound(call.trunk.as_deref())?);
        let host = trunk.outbound_host().unwrap_or_default().to_owned();
        let address = trunk.resolve(&host).await?;
        let flow = self
            .shared
            .stack
            .flow(trunk.config.transport, address)
            .await?;
        let most = self.shared.config.max_calls;
        let place = Calls::enter(&self.shared).ok_or(GatewayError::AtCapacity(most))?;
        let from = call.from.map(String::from);
        let from = from
            .or_else(|| trunk.config.caller_id.clone())
            .or_else(|| {
                trunk
                    .config
                    .registration
                    .as_ref()
                    .map(|r| r.username.clone())
            })
            .filter(|from| usable_caller(from))
            .unwrap_or_else(|| "anonymous".to_owned());
        let info = LegInfo {
            call_id: call.call_id,
            direction: CallDirection::Outbound,
            started: random::now(),
            from,
            to: call.to,
            trunk: trunk.config.name.clone(),
            workflow: call.workflow,
            carrier_call_id: new_call_id(),
        };
        let (side, leg) = open_leg(&self.shared, info)?;
        tokio::spawn(run_outbound(Outbound {
            shared: Arc::clone(&self.shared),
            trunk,
            flow,
            leg: side,
            place,
            tag: random::token(),
        }));
        Ok(leg)
    }

    /// How many calls are running, ringing ones included.
    pub fn active_calls(&self) -> usize {
        self.shared.calls.running()
    }

    /// How each trunk's registration stands, by the trunk's name.
    pub fn registrations(&self) -> Vec<(String, RegistrationState)> {
        self.registrations
            .iter()
            .map(|kept| (kept.trunk.clone(), kept.state.borrow().clone()))
            .collect()
    }

    /// Takes no new calls from now on: an INVITE gets 503 with Retry-After. Running calls go on.
    pub fn drain(&self) {
        self.shared.calls.drain();
    }

    /// Ends every call with BYE, removes the registrations and closes the listeners. Takes five
    /// seconds at most for the calls and two for the registrations.
    pub async fn shutdown(self) {
        self.drain();
        let _ = self.shared.stop.send(true);
        let goodbye = tokio::time::timeout(FAREWELL, self.shared.calls.empty());
        if goodbye.await.is_err() {
            debug!(
                running = self.active_calls(),
                "calls left without a goodbye"
            );
        }
        for kept in self.registrations {
            let _ = kept.task.await;
        }
        self.routing.abort();
        self.resolving.abort();
        self.shared.stack.stop();
    }
}

fn keep_registrations(shared: &Arc<Shared>) -> Vec<Kept> {
    let with_registrar = |trunk: &&Arc<Trunk>| trunk.config.registration.is_some();
    shared
        .router
        .trunks
        .iter()
        .filter(with_registrar)
        .map(|trunk| {
            let (state, receiver) = watch::channel(RegistrationState::Starting);
            let keeping = registration::keep(
                Arc::clone(&shared.stack),
                Arc::clone(trunk),
                state,
                shared.stop.subscribe(),
            );
            Kept {
                trunk: trunk.config.name.clone(),
                state: receiver,
                task: tokio::spawn(keeping),
            }
        })
        .collect()
}

/// Keeps the addresses of the trunks' proxies known, so that calls from them are let in although
/// we have not called them yet.
async fn resolve_all(router: Arc<Router>) {
    loop {
        for trunk in &router.trunks {
            let Some(host) = trunk.outbound_host() else {
                continue;
            };
            if let Err(error) = trunk.resolve(host).await {
                warn!(trunk = trunk.config.name, %error, "trunk cannot be resolved");
            }
        }
        tokio::time::sleep(RESOLVE_EVERY).await;
    }
}

async fn route_all(shared: Arc<Shared>, mut requests: mpsc::UnboundedReceiver<Incoming>) {
    while let Some(incoming) = requests.recv().await {
        route(&shared, incoming);
    }
}

fn route(shared: &Arc<Shared>, mut incoming: Incoming) {
    let headers = &incoming.request.headers;
    let to = headers.get("To").and_then(NameAddr::parse);
    let our_tag = to.and_then(|to| to.tag().map(str::to_owned));
    if let Some(tag) = our_tag {
        let call_id = headers.get("Call-ID").unwrap_or_default().to_owned();
        if let Err(mut nobodys) = shared.calls.deliver(&(call_id, tag), incoming) {
            nobodys.responder.refuse(481);
        }
        return;
    }
    match incoming.request.method {
        Method::Invite => route_call(shared, incoming),
        Method::Options if shared.calls.is_draining() => {
            unavailable(&mut incoming.responder, shared.config.retry_after_s);
        }
        Method::Options => answer_options(&mut incoming.responder),
        _ => incoming.responder.refuse(481),
    }
}

/// Finds the trunk and the workflow of a new call, or refuses it.
fn route_call(shared: &Arc<Shared>, mut incoming: Incoming) {
    let number = called_number(&incoming.request.uri);
    let source = incoming.flow.remote.ip();
    let Some(trunk) = shared.router.trunk_for(source, number.as_ref()) else {
        // The address left the list of peers while the request was on its way.
        incoming.responder.refuse(403);
        return;
    };
    if !authenticated(trunk, &mut incoming) {
        return;
    }
    let workflow = number
        .as_ref()
        .and_then(|number| shared.router.workflow(number, trunk));
    let (Some(number), Some(workflow)) = (&number, workflow) else {
        info!(
            trunk = trunk.config.name,
            uri = incoming.request.uri,
            "no such number"
        );
        incoming.responder.refuse(404);
        return;
    };
    if shared.calls.is_draining() {
        unavailable(&mut incoming.responder, shared.config.retry_after_s);
        return;
    }
    tokio::spawn(run_inbound(
        Arc::clone(shared),
        Arc::clone(trunk),
        incoming,
        number.clone(),
        workflow.to_owned(),
    ));
}

fn called_number(uri: &str) -> Option<DialledNumber> {
    let user = match uri.strip_prefix("tel:") {
        Some(number) => number.split(';').next().map(str::to_owned),
        None => SipUri::parse(uri)?.plain_user(),
    };
    user?.parse().ok()
}

/// Whether the caller has proved the trunk's password, where it has one. Challenges otherwise.
fn authenticated(trunk: &Trunk, incoming: &mut Incoming) -> bool {
    let Some(challenger) = &trunk.challenger else {
        return true;
    };
    let now = Instant::now();
    let judgement = challenger.judge(&incoming.request, now);
    if judgement == Judgement::Good {
        return true;
    }
    let mut response = incoming.responder.draft(401);
    for challenge in challenger.challenge(judgement == Judgement::Stale, now) {
        response.headers.push("WWW-Authenticate", challenge);
    }
    incoming.responder.send(&response);
    false
}
