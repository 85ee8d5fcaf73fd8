//! Sockets and transactions. The only module that knows rsipstack: everything above speaks
//! [`crate::wire`] messages, [`Flow`]s and channels, so the transaction layer can be exchanged
//! here and nowhere else.
//!
//! rsipstack's own listeners are not used. The sockets are ours, so that the address is checked
//! first, then the bytes are judged by [`crate::wire`], and only then its transaction layer gets
//! the message, printed anew with a true Content-Length.
//!
//! rsipstack logs whole messages, credentials included, at level info: a log filter must keep the
//! target `rsipstack` at warn.

mod client;
mod convert;
mod datagrams;
mod flow;
mod inbox;
mod locator;
mod server;
mod streams;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rsipstack::transaction::Endpoint;
use rsipstack::transaction::endpoint::EndpointOption;
use rsipstack::{EndpointBuilder, transport::SipConnection};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::config::SipConfig;
use crate::error::GatewayError;

pub(crate) use client::{Sent, cancel_of};
pub(crate) use flow::Flow;
pub(crate) use server::{Incoming, Responder, ServerEvent};

/// Who may speak to us. Asked before a byte is read.
pub(crate) trait Gate: Send + Sync + 'static {
    /// Whether the address belongs to a trunk.
    fn admits(&self, address: IpAddr) -> bool;
}

/// The running sockets and transactions.
pub(crate) struct Stack {
    endpoint: Endpoint,
    gate: Arc<dyn Gate>,
    user_agent: String,
    external: Option<IpAddr>,
    udp: Vec<datagrams::Datagrams>,
    tcp: Vec<SocketAddr>,
    /// Open streams by the far end's address.
    streams: Mutex<HashMap<SocketAddr, streams::Stream>>,
    /// For tasks that a borrowed stack starts.
    myself: Weak<Self>,
    stop: watch::Sender<bool>,
    tasks: Mutex<JoinSet<()>>,
}

impl Stack {
    /// Opens the listeners. Requests go to `incoming`.
    pub(crate) async fn start(
        config: &SipConfig,
        gate: Arc<dyn Gate>,
        incoming: mpsc::UnboundedSender<Incoming>,
    ) -> Result<Arc<Self>, GatewayError> {
        let mut udp = Vec::new();
        for address in &config.listen_udp {
            udp.push(datagrams::Datagrams::bind(*address, config.external_address).await?);
        }
        let mut listeners = Vec::new();
        for address in &config.listen_tcp {
            listeners.push(streams::listen(*address).await?);
        }
        let endpoint = build_endpoint(config, &gate, &udp);
        let transactions =
            endpoint
                .incoming_transactions()
                .map_err(|error| GatewayError::Invalid {
                    key: "sip".to_owned(),
                    reason: error.to_string(),
                })?;
        let tcp = listeners.iter().map(|(_, local)| *local).collect();
        let stack = Arc::new_cyclic(|myself| Self {
            endpoint,
            gate,
            user_agent: config.user_agent.clone(),
            external: config.external_address,
            udp,
            tcp,
            streams: Mutex::default(),
            myself: Weak::clone(myself),
            stop: watch::channel(false).0,
            tasks: Mutex::default(),
        });
        let timers = Arc::clone(&stack.endpoint.inner);
        stack.spawn(async move { timers.process_timer().await });
        stack.spawn(server::dispatch(Arc::clone(&stack), transactions, incoming));
        for at in 0..stack.udp.len() {
            stack.spawn(datagrams::receive(Arc::clone(&stack), at));
        }
        for (listener, local) in listeners {
            stack.spawn(streams::accept(Arc::clone(&stack), listener, local));
        }
        Ok(stack)
    }

    /// Where we listen for UDP.
    pub(crate) fn local_udp(&self) -> Vec<SocketAddr> {
        self.udp.iter().map(|listener| listener.local).collect()
    }

    /// Where we listen for TCP.
    pub(crate) fn local_tcp(&self) -> Vec<SocketAddr> {
        self.tcp.clone()
    }

    /// Closes the sockets and ends the tasks.
    pub(crate) fn stop(&self) {
        let _ = self.stop.send(true);
        self.endpoint.shutdown();
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .abort_all();
        self.lock_streams().clear();
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // What has ended is cleared away here, so that the set does not grow with every call.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    fn lock_streams(&self) -> std::sync::MutexGuard<'_, HashMap<SocketAddr, streams::Stream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn build_endpoint(
    config: &SipConfig,
    gate: &Arc<dyn Gate>,
    udp: &[datagrams::Datagrams],
) -> Endpoint {
    let t1 = config.t1();
    let endpoint = EndpointBuilder::new()
        .with_user_agent(&config.user_agent)
        .with_option(EndpointOption {
            t1,
            t2: t1 * 8,
            t4: t1 * 10,
            t1x64: t1 * 64,
            // Beyond our own ring timeout, which cancels in good order.
            timerc: Duration::from_secs(u64::from(config.ring_timeout_s) + 60),
            ..EndpointOption::default()
        })
        .with_target_locator(Box::new(locator::KnownPeers(Arc::clone(gate))))
        .build();
    for listener in udp {
        // Never served by the layer itself; it needs them to send ACK for a 2xx.
        endpoint
            .inner
            .transport_layer
            .add_transport(SipConnection::Udp(listener.connection.clone()));
    }
    endpoint
}
