//! The thread of a language model: takes orders, steps, publishes, and begins again after a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use trunkline_inference::{InferenceError, ModelLoad};
use trunkline_nn::llama::Llama;

use super::command::Command;
use super::desk::Desk;
use super::network::StepNetwork;
use super::settings::ChatSettings;
use crate::work_queue::{WorkQueue, panic_message};

/// Makes a network with an empty pool, the first time and after a panic.
pub(super) type Build = Box<dyn Fn(&Arc<Llama>) -> Result<Box<dyn StepNetwork>, String> + Send>;

pub(super) struct Worker {
    pub(super) name: String,
    pub(super) model: Arc<Llama>,
    pub(super) settings: ChatSettings,
    pub(super) build: Build,
    /// Where it says how busy it is.
    pub(super) load: Arc<Mutex<ModelLoad>>,
}

impl Worker {
    /// Nothing open, nothing known.
    pub(super) fn desk(&self) -> Result<Desk, String> {
        let network = (self.build)(&self.model)?;
        let desk = Desk::new(&self.name, &self.model, network, &self.settings);
        desk.map_err(|error| error.to_string())
    }

    /// Serves until the queue is closed.
    pub(super) fn run(self, mut desk: Desk, queue: &WorkQueue<Command>) {
        loop {
            let served = catch_unwind(AssertUnwindSafe(|| self.serve(&mut desk, queue)));
            let Err(panic) = served else {
                desk.fail_all(&self.unavailable("it was shut down"));
                return;
            };
            let reason = panic_message(panic.as_ref());
            tracing::error!(model = self.name, reason, "the language model panicked");
            desk.fail_all(&self.unavailable(&reason));
            // What the panic left behind is not trusted. The weights never change.
            match self.desk() {
                Ok(anew) => desk = anew,
                Err(reason) => {
                    tracing::error!(model = self.name, reason, "the language model is gone");
                    let error = self.unavailable(&reason);
                    for command in queue.close(&reason) {
                        command.refuse(&error);
                    }
                    return;
                }
            }
        }
    }

    fn unavailable(&self, reason: &str) -> InferenceError {
        InferenceError::Unavailable {
            model: self.name.clone(),
            reason: reason.to_owned(),
        }
    }

    /// One step after another; waits only where there is nothing to do.
    fn serve(&self, desk: &mut Desk, queue: &WorkQueue<Command>) {
        let mut idle = true;
        while let Some(commands) = queue.take_all(idle) {
            for command in commands {
                desk.take(command);
            }
            desk.drop_abandoned();
            *self.load.lock().unwrap_or_else(PoisonError::into_inner) = desk.load();
            idle = !desk.step();
        }
    }
}
