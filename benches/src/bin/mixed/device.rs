//! The models of a device, and what it costs to have one of them to oneself.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};
use trunkline_engine::{Models, ModelsConfig, default_models_dir};
use trunkline_inference::{ChatModel, Synthesizer, Transcriber};

/// How requests meet the models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Serving {
    /// All at once; the workers batch them.
    Batched,
    /// A model takes the next request when it is done with the one before.
    OneAtATime,
}

impl fmt::Display for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Batched => "batched",
            Self::OneAtATime => "one at a time",
        })
    }
}

/// Before each model a gate that lets in as many as are served at once.
pub(crate) struct Device {
    pub(crate) serving: Serving,
    pub(crate) transcriber: Gated<dyn Transcriber>,
    pub(crate) chat: Gated<dyn ChatModel>,
    pub(crate) voice: Gated<dyn Synthesizer>,
}

impl Device {
    /// Starts the starter models.
    pub(crate) fn load(serving: Serving) -> anyhow::Result<Self> {
        let models = Models::load(&ModelsConfig::default(), &default_models_dir())?;
        Ok(Self {
            serving,
            transcriber: Gated::new(models.transcriber, serving),
            chat: Gated::new(models.chat, serving),
            voice: Gated::new(models.voice, serving),
        })
    }
}

/// A model behind its gate.
pub(crate) struct Gated<M: ?Sized> {
    model: Arc<M>,
    gate: Semaphore,
}

impl<M: ?Sized> Gated<M> {
    fn new(model: Arc<M>, serving: Serving) -> Self {
        let at_once = match serving {
            Serving::Batched => Semaphore::MAX_PERMITS,
            Serving::OneAtATime => 1,
        };
        Self {
            model,
            gate: Semaphore::new(at_once),
        }
    }

    /// The model, for as long as the permit is held.
    pub(crate) async fn enter(&self) -> anyhow::Result<(&M, SemaphorePermit<'_>)> {
        let permit = self.gate.acquire().await?;
        Ok((&self.model, permit))
    }
}
