//! A few threads that turn audio into spectra beside the worker, so that the model never waits
//! for them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use trunkline_nn::NnError;

use super::network::{FrontEnd, Heard};
use super::queue::Pass;
use crate::work_queue::panic_message;

/// Threads of one model. A spectrum takes about a hundredth of the time of its decoding.
const THREADS: usize = 2;

/// Why there are no spectra.
#[derive(Debug)]
pub(super) enum Deaf {
    /// The pass cannot be served.
    Failed(NnError),
    /// The front end panicked.
    Panicked(String),
}

type Job<W> = (Pass, Arc<dyn FrontEnd<W>>);

/// The threads; they end when this is dropped.
pub(super) struct Ears<W> {
    jobs: Sender<Job<W>>,
}

impl<W: Send + 'static> Ears<W> {
    /// Starts the threads. Each outcome is given to `tell`, on one of them.
    pub(super) fn start(
        model: &str,
        tell: impl Fn(Pass, Result<Heard<W>, Deaf>) + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, waiting) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let tell = Arc::new(tell);
        for n in 0..THREADS {
            let (waiting, tell) = (Arc::clone(&waiting), Arc::clone(&tell));
            thread::Builder::new()
                .name(format!("{model} mel {n}"))
                .spawn(move || work(&waiting, tell.as_ref()))?;
        }
        Ok(Self { jobs })
    }

    /// Has a pass listened to. The caller bounds how many there are at once.
    pub(super) fn listen(&self, pass: Pass, front_end: Arc<dyn FrontEnd<W>>) {
        // The threads live as long as this sender.
        let _ = self.jobs.send((pass, front_end));
    }
}

fn work<W>(waiting: &Mutex<Receiver<Job<W>>>, tell: &dyn Fn(Pass, Result<Heard<W>, Deaf>)) {
    loop {
        let job = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok((pass, front_end)) = job else {
            return;
        };
        let heard = catch_unwind(AssertUnwindSafe(|| front_end.listen(&pass)));
        let heard = match heard {
            Ok(heard) => heard.map_err(Deaf::Failed),
            Err(panic) => Err(Deaf::Panicked(panic_message(panic.as_ref()))),
        };
        tell(pass, heard);
    }
}
