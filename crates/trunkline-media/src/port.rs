//! A reserved pair of ports, which becomes a leg on the wheel when signalling knows the far end.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use trunkline_leg::{LegEvent, MediaControl};

use crate::control::{LegCommand, LegShared, locked};
use crate::leg::NewLeg;
use crate::sockets::SocketPair;
use crate::wheel::WheelShared;
use crate::{MediaNotice, MediaParameters, MediaStatistics};

/// A leg's media. Dropping it takes the leg off the wheel and frees its ports within one tick.
#[derive(Debug)]
pub struct MediaPort {
    local_rtp: SocketAddr,
    leg: Arc<LegShared>,
    wheel: Arc<WheelShared>,
    /// Ours until the leg is connected, then the wheel's.
    sockets: Mutex<Option<SocketPair>>,
}

impl MediaPort {
    pub(crate) fn new(sockets: SocketPair, wheel: Arc<WheelShared>) -> Self {
        Self {
            local_rtp: sockets.local,
            leg: Arc::new(LegShared::default()),
            wheel,
            sockets: Mutex::new(Some(sockets)),
        }
    }

    /// Where the far end shall send, unless an external address is configured. RTCP is one port
    /// above.
    pub fn local_rtp(&self) -> SocketAddr {
        self.local_rtp
    }

    /// Puts the leg on the wheel. Ticks begin within 20 ms and go to `events` together with keys;
    /// what finds `events` full is dropped and counted, because the wheel waits for nobody.
    ///
    /// A second call is an [`update`](Self::update): the channels stay those of the first.
    pub fn connect(
        &self,
        parameters: MediaParameters,
        events: mpsc::Sender<LegEvent>,
        notices: mpsc::UnboundedSender<MediaNotice>,
    ) {
        match locked(&self.sockets).take() {
            Some(sockets) => {
                self.wheel.place(NewLeg {
                    sockets,
                    shared: Arc::clone(&self.leg),
                    parameters,
                    events,
                    notices,
                });
            }
            None => self.update(parameters),
        }
    }

    /// Takes over what a new SDP exchange settled: hold, resume, another codec or address. The
    /// call's clock goes on.
    pub fn update(&self, parameters: MediaParameters) {
        self.leg.push(LegCommand::Update(parameters));
    }

    /// The agent's door to this leg. Commands given before [`connect`](Self::connect) wait for it.
    pub fn control(&self) -> Arc<dyn MediaControl> {
        Arc::clone(&self.leg) as Arc<dyn MediaControl>
    }

    /// The figures as of the last second.
    pub fn statistics(&self) -> MediaStatistics {
        self.leg.statistics()
    }
}

impl Drop for MediaPort {
    fn drop(&mut self) {
        self.leg.close();
    }
}
