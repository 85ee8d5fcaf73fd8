//! The wheel.

use std::sync::Arc;

use tokio::sync::mpsc;
use trunkline_leg::LegEvent;

use crate::control::LegShared;
use crate::sockets::{PortRange, SocketPair};
use crate::{MediaConfig, MediaError, MediaNotice, MediaParameters, MediaPort};

/// The threads that carry all legs.
#[derive(Debug)]
pub struct MediaWheel {
    config: MediaConfig,
    ports: Arc<PortRange>,
    shared: Arc<WheelShared>,
}

#[derive(Debug, Default)]
pub(crate) struct WheelShared {}

impl MediaWheel {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`MediaError::Invalid`] and [`MediaError::Thread`].
    pub fn start(config: MediaConfig) -> Result<Self, MediaError> {
        config.check()?;
        Ok(Self {
            ports: PortRange::new(&config),
            shared: Arc::default(),
            config,
        })
    }

    /// Binds a pair of ports for a leg.
    ///
    /// # Errors
    /// [`MediaError::NoFreePort`] and [`MediaError::Socket`].
    pub fn reserve(&self) -> Result<MediaPort, MediaError> {
        let sockets = self.ports.bind(&self.config)?;
        Ok(MediaPort::new(sockets, Arc::clone(&self.shared)))
    }
}

impl WheelShared {
    pub(crate) fn place(
        &self,
        _sockets: SocketPair,
        _leg: Arc<LegShared>,
        _parameters: MediaParameters,
        _events: mpsc::Sender<LegEvent>,
        _notices: mpsc::UnboundedSender<MediaNotice>,
    ) {
    }
}
