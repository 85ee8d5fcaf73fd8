//! Answers every call to 4000 from loopback and hangs up when the caller does: something to point
//! sipp or a softphone at while working on signalling.
//!
//! `cargo run --release -p trunkline-gateway --example answer -- 127.0.0.1:5060`

use std::error::Error;
use std::sync::Arc;

use tokio::sync::mpsc;
use trunkline_gateway::{Gateway, GatewayConfig, NumberConfig, TrunkConfig};
use trunkline_leg::{CallLeg, LegEvent, SignallingCommand};
use trunkline_media::{MediaConfig, MediaWheel};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:5060".to_owned());
    let mut config = GatewayConfig::default();
    config.sip.listen_udp.push(address.parse()?);
    config.sip.listen_tcp.push(address.parse()?);
    config.trunks.push(TrunkConfig {
        name: "loopback".to_owned(),
        peers: vec!["127.0.0.1".parse()?],
        proxy: None,
        transport: trunkline_gateway::wire::Transport::Udp,
        domain: None,
        caller_id: None,
        registration: None,
        outbound_auth: None,
        inbound_auth: None,
        inbound_md5_only: false,
    });
    config.numbers.push(NumberConfig {
        number: "4000".parse()?,
        workflow: "answer".to_owned(),
        trunk: None,
    });
    let (sender, mut incoming) = mpsc::channel(64);
    let media = Arc::new(MediaWheel::start(MediaConfig::default())?);
    let gateway = Gateway::start(config, media, sender).await?;
    println!("answering 4000 on {address}; interrupt to stop");
    loop {
        tokio::select! {
            Some(leg) = incoming.recv() => {
                tokio::spawn(answer(leg));
            }
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    println!("{} calls left at the end", gateway.active_calls());
    gateway.shutdown().await;
    Ok(())
}

async fn answer(mut leg: CallLeg) {
    for command in [SignallingCommand::Ring, SignallingCommand::Answer] {
        let _ = leg.signalling.send(command);
    }
    let (mut ticks, mut heard) = (0, 0);
    while let Some(event) = leg.events.recv().await {
        match event {
            LegEvent::Tick(tick) => {
                ticks += 1;
                heard += u32::from(tick.caller_audio == trunkline_leg::CallerAudio::Received);
            }
            event => println!("{} {event:?}", leg.info.call_id),
        }
    }
    println!("{} {ticks} ticks, {heard} with audio", leg.info.call_id);
}
