//! One small thread that listens to all open transcription sessions.
//!
//! A session's audio arrives by an asynchronous channel, while a model works on a thread of
//! its own. The tasks that carry the one to the other run here rather than on whatever runtime
//! the caller has, so that a session may be opened from anywhere.

use std::future::Future;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::EngineError;

/// The thread; it ends when this is dropped, and its tasks with it.
#[derive(Debug)]
pub(crate) struct Sessions {
    handle: Handle,
    _alive: oneshot::Sender<()>,
}

impl Sessions {
    pub(crate) fn start(model: &str) -> Result<Self, EngineError> {
        let refused = |error: std::io::Error| EngineError::Start {
            name: model.to_owned(),
            reason: error.to_string(),
        };
        let runtime = Builder::new_current_thread().build().map_err(refused)?;
        let handle = runtime.handle().clone();
        let (alive, gone) = oneshot::channel::<()>();
        thread::Builder::new()
            .name(format!("{model}-ears"))
            .spawn(move || {
                // An error says that the owner is gone, which is what is waited for.
                let _ = runtime.block_on(gone);
            })
            .map_err(refused)?;
        Ok(Self {
            handle,
            _alive: alive,
        })
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(task);
    }
}
