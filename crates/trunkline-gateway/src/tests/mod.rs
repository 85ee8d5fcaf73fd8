//! Gateways on loopback, calling each other and called by a scripted phone.

mod calls;
mod dialogs;
mod outbound;
mod phone;
mod refusals;
mod registering;
mod vanishing;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use trunkline_leg::{CallLeg, LegEvent, SignallingCommand};
use trunkline_media::{MediaConfig, MediaWheel};
use trunkline_types::EndReason;

use crate::random;
use crate::{Gateway, GatewayConfig, OutboundCall};

/// Longer than anything here takes, so that a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(10);

/// A gateway with its inbound calls.
struct Side {
    gateway: Gateway,
    incoming: mpsc::Receiver<CallLeg>,
}

const DESK: &str = r#"
[[trunk]]
name = "peer"
peers = ["127.0.0.1"]

[[number]]
number = "4000"
workflow = "desk"
"#;

impl Side {
    /// A gateway from `[sip]` lines and the rest of a configuration.
    async fn start(sip: &str, rest: &str) -> Self {
        let text = format!(
            "[sip]\nlisten_udp = [\"127.0.0.1:0\"]\nlisten_tcp = [\"127.0.0.1:0\"]\n{sip}\n{rest}"
        );
        Self::with_media(&text, MediaConfig::default()).await
    }

    async fn with_media(text: &str, media: MediaConfig) -> Self {
        let config: GatewayConfig = toml::from_str(text).unwrap();
        let media = Arc::new(MediaWheel::start(media).unwrap());
        let (sender, incoming) = mpsc::channel(16);
        let gateway = Gateway::start(config, media, sender).await.unwrap();
        Self { gateway, incoming }
    }

    /// One that answers 4000.
    async fn desk() -> Self {
        Self::start("", DESK).await
    }

    /// One that calls by UDP or TCP through the other.
    async fn caller(of: &Self, transport: &str, rest: &str) -> Self {
        let proxy = match transport {
            "tcp" => of.tcp(),
            _ => of.udp(),
        };
        let trunk = format!(
            "[[trunk]]\nname = \"out\"\npeers = [\"127.0.0.1\"]\nproxy = \"{proxy}\"\n\
             transport = \"{transport}\"\ncaller_id = \"+15550100\"\n{rest}"
        );
        Self::start("", &trunk).await
    }

    fn udp(&self) -> SocketAddr {
        self.gateway.local_udp()[0]
    }

    fn tcp(&self) -> SocketAddr {
        self.gateway.local_tcp()[0]
    }

    async fn dial(&self, to: &str) -> CallLeg {
        let call = OutboundCall {
            to: to.parse().unwrap(),
            trunk: None,
            from: None,
            workflow: "out".to_owned(),
            call_id: random::call_id(),
        };
        self.gateway.dial(call).await.unwrap()
    }

    async fn next_call(&mut self) -> CallLeg {
        within(self.incoming.recv()).await.unwrap()
    }

    /// Waits until the last call has given its place back.
    async fn idle(&self) {
        within(async {
            while self.gateway.active_calls() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("nothing happened")
}

/// The next event that is not a tick.
async fn event(leg: &mut CallLeg) -> LegEvent {
    loop {
        let event = within(leg.events.recv()).await.expect("events ended early");
        if !matches!(event, LegEvent::Tick(_)) {
            return event;
        }
    }
}

/// The end of a leg; fails when anything else but ticks comes first.
async fn ended(leg: &mut CallLeg) -> (EndReason, Option<String>) {
    match event(leg).await {
        LegEvent::Ended { reason, detail } => {
            assert!(
                within(leg.events.recv()).await.is_none(),
                "something followed the end"
            );
            (reason, detail)
        }
        other => panic!("{other:?} instead of the end"),
    }
}

async fn codec(leg: &mut CallLeg) -> String {
    match event(leg).await {
        LegEvent::Answered { codec } => codec,
        other => panic!("{other:?} instead of the answer"),
    }
}

fn command(leg: &CallLeg, command: SignallingCommand) {
    leg.signalling.send(command).unwrap();
}

fn hang_up(leg: &CallLeg) {
    command(leg, SignallingCommand::Hangup(EndReason::WorkflowEnded));
}
