//! The thread that owns the model: it takes what is due, lets windows join in the order of their
//! classes and deadlines, moves all rows on by a token, and tells what was heard.
//!
//! There is no timer: while a step runs, the next windows gather. A pass that nobody waits for
//! any more is dropped between two steps, and its rows are free at once.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use trunkline_nn::{NnError, Passage, Transcription, WhisperOptions};
use trunkline_scheduler::{
    BatchQueue, BatchSettings, Class, Epoch, Job, Origin, PerClass, TenantId,
};
use trunkline_types::{CallId, Timestamp};

use super::ears::{Deaf, Ears};
use super::network::{Heard, RecogniserNetwork};
use super::queue::Pass;
use super::{Load, Shared};
use crate::work_queue::panic_message;

/// Passes whose spectra are on their way at once.
const LISTENING: usize = 16;
/// Frames that join in one go: a longest window, or many short ones. More would hold up the rows
/// that are being decoded.
const JOINING: usize = 3_000;
/// Windows that join in one go at most, so that what comes meanwhile is not behind too many.
const JOBS: usize = 8;
/// A recording may wait so long for its turn.
const BACKGROUND_PATIENCE: Duration = Duration::from_secs(1_800);

/// Spectra that are ready, for the worker to take.
pub(super) type Ready<W> = (Pass, Result<Heard<W>, Deaf>);

/// One window of a pass, waiting for a row.
struct Waiting<W> {
    pass: u64,
    part: usize,
    window: W,
    frames: usize,
    options: WhisperOptions,
}

/// A pass that is listened to or decoded.
struct Active {
    pass: Pass,
    /// What was heard in each part, with its samples of audio.
    parts: Vec<(Option<Passage>, usize)>,
}

pub(super) struct Worker<N: RecogniserNetwork> {
    shared: Arc<Shared<N::Window>>,
    network: N,
    load: Load<N>,
    ears: Ears<N::Window>,
    started: Instant,
    listening: usize,
    active: BTreeMap<u64, Active>,
    waiting: BatchQueue<Waiting<N::Window>>,
    /// Popped, but more than there were rows.
    held: Vec<Waiting<N::Window>>,
    /// Pass and part of each row.
    rows: BTreeMap<u64, (u64, usize)>,
    next_row: u64,
}

/// What came in: passes that are due, and what was prepared of earlier ones.
type Work<W> = (Vec<Pass>, Vec<Ready<W>>);

impl<N: RecogniserNetwork> Worker<N> {
    pub(super) fn new(
        shared: Arc<Shared<N::Window>>,
        network: N,
        load: Load<N>,
        ears: Ears<N::Window>,
    ) -> Result<Self, String> {
        let settings = BatchSettings {
            buckets: Vec::new(),
            max_batch_cost: JOINING,
            max_batch_jobs: JOBS,
            max_rider_cost: 0,
            patience: PerClass::new([
                Duration::from_secs(2),
                Duration::from_secs(2),
                Duration::from_secs(2),
                BACKGROUND_PATIENCE,
            ]),
            ..BatchSettings::default()
        };
        Ok(Self {
            shared,
            network,
            load,
            ears,
            started: Instant::now(),
            listening: 0,
            active: BTreeMap::new(),
            waiting: BatchQueue::new(settings).map_err(|error| error.to_string())?,
            held: Vec::new(),
            rows: BTreeMap::new(),
            next_row: 0,
        })
    }

    /// Works until the queue is closed.
    pub(super) fn serve(mut self) {
        while let Some((due, ready)) = self.wait() {
            self.drop_unwanted();
            for pass in due {
                self.listening += 1;
                self.ears.listen(pass, self.network.front_end());
            }
            for (pass, heard) in ready {
                self.listening -= 1;
                self.take(pass, heard);
            }
            self.guarded(Self::join);
            self.guarded(Self::step);
        }
    }

    /// What came in, at once when there is work, else when something comes. `None` at the end.
    fn wait(&self) -> Option<Work<N::Window>> {
        let mut state = self.shared.lock();
        loop {
            if state.queue.is_closed() {
                return None;
            }
            let mut due = Vec::new();
            while self.listening + due.len() < LISTENING
                && let Some(pass) = state.queue.next()
            {
                due.push(pass);
            }
            let ready = std::mem::take(&mut state.ready);
            let has_work =
                !self.rows.is_empty() || !self.waiting.is_empty() || !self.held.is_empty();
            if has_work || !due.is_empty() || !ready.is_empty() {
                return Some((due, ready));
            }
            state = self
                .shared
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Forgets passes that were replaced or whose session is gone.
    fn drop_unwanted(&mut self) {
        let unwanted: Vec<u64> = {
            let state = self.shared.lock();
            let active = self.active.iter();
            active
                .filter(|(_, active)| !state.queue.wants(&active.pass))
                .map(|(number, _)| *number)
                .collect()
        };
        for number in unwanted {
            self.forget(number);
        }
    }

    fn forget(&mut self, number: u64) -> Option<Active> {
        self.waiting.cancel_call(origin(number).call, Epoch(0));
        self.held.retain(|waiting| waiting.pass != number);
        let rows = self.rows.iter().filter(|(_, (pass, _))| *pass == number);
        let rows: Vec<u64> = rows.map(|(row, _)| *row).collect();
        for row in rows {
            self.rows.remove(&row);
            self.network.cancel(row);
        }
        self.active.remove(&number)
    }

    /// Takes the spectra of a pass.
    fn take(&mut self, pass: Pass, heard: Result<Heard<N::Window>, Deaf>) {
        let heard = match heard {
            Ok(heard) => heard,
            Err(Deaf::Failed(error)) => {
                let now = Instant::now();
                self.shared.lock().queue.complete(&pass, Err(error), now);
                return;
            }
            Err(Deaf::Panicked(reason)) => {
                tracing::error!(reason, "the front end of the recogniser panicked");
                self.shared.lock().queue.fail(pass.id, &reason);
                return;
            }
        };
        let Heard { parts, options } = heard;
        let samples = parts.iter().map(|part| (None, part.samples)).collect();
        let (number, class, kind) = (pass.number, pass.class(), pass.kind);
        self.active.insert(
            number,
            Active {
                pass,
                parts: samples,
            },
        );
        for (n, part) in parts.into_iter().enumerate() {
            let now = self.started.elapsed();
            let job = Job {
                origin: origin(number),
                class,
                deadline: now + kind.patience() * (n as u32 + 1),
                length: part.frames,
                work: Waiting {
                    pass: number,
                    part: n,
                    window: part.window,
                    frames: part.frames,
                    options: options.clone(),
                },
            };
            let refused = self.waiting.push(now, job).is_err();
            self.tell_shed();
            if refused {
                self.refuse(number);
                return;
            }
        }
    }

    /// There was no room for a pass, or no longer.
    fn refuse(&mut self, number: u64) {
        if let Some(active) = self.forget(number) {
            self.shared.lock().queue.refuse(&active.pass);
        }
    }

    fn tell_shed(&mut self) {
        for shed in self.waiting.take_shed() {
            self.refuse(shed.job.work.pass);
        }
    }

    /// Lets windows join while there are rows for them.
    fn join(&mut self) -> Result<(), NnError> {
        self.make_way();
        while self.network.free() > 0 {
            if self.held.is_empty() {
                let batch = self.waiting.pop(self.started.elapsed());
                self.tell_shed();
                let Some(batch) = batch else {
                    return Ok(());
                };
                self.held = batch.jobs.into_iter().map(|(_, job)| job.work).collect();
                let active = &self.active;
                self.held
                    .retain(|waiting| active.contains_key(&waiting.pass));
                // Only windows of one length are encoded together.
                self.held.sort_by_key(|waiting| waiting.frames);
            }
            let Some(frames) = self.held.first().map(|waiting| waiting.frames) else {
                continue;
            };
            let same = self.held.iter().take_while(|w| w.frames == frames).count();
            let count = same.min(self.network.free());
            let joining: Vec<_> = self.held.drain(..count).collect();
            self.join_together(joining)?;
        }
        Ok(())
    }

    /// When an end waits and every row is taken, work that is ahead of need gives up its rows.
    fn make_way(&mut self) {
        let urgent = self.waiting.metrics().waiting_jobs[Class::TurnCritical];
        if urgent == 0 || self.network.free() > 0 {
            return;
        }
        let ahead = self.rows.values().rev().find(|(pass, _)| {
            let active = self.active.get(pass);
            active.is_some_and(|active| active.pass.class() == Class::Speculative)
        });
        if let Some((pass, _)) = ahead.copied() {
            self.refuse(pass);
        }
    }

    fn join_together(&mut self, joining: Vec<Waiting<N::Window>>) -> Result<(), NnError> {
        let mut windows = Vec::with_capacity(joining.len());
        {
            let mut state = self.shared.lock();
            for waiting in &joining {
                self.next_row += 1;
                self.rows
                    .insert(self.next_row, (waiting.pass, waiting.part));
                windows.push((self.next_row, &waiting.window, waiting.options.clone()));
                if let Some(active) = self.active.get(&waiting.pass) {
                    state.queue.begun(&active.pass);
                }
            }
        }
        let rows: Vec<u64> = windows.iter().map(|(row, ..)| *row).collect();
        for (row, joined) in rows.into_iter().zip(self.network.join(windows)?) {
            if let Err(error) = joined {
                self.end_row(row, Err(error));
            }
        }
        Ok(())
    }

    /// Moves all rows on.
    fn step(&mut self) -> Result<(), NnError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        for (row, passage) in self.network.step()? {
            self.end_row(row, passage);
        }
        Ok(())
    }

    /// Takes what was heard in a row; tells, when it was the last of its pass.
    fn end_row(&mut self, row: u64, passage: Result<Passage, NnError>) {
        let Some((number, part)) = self.rows.remove(&row) else {
            return;
        };
        let Some(active) = self.active.get_mut(&number) else {
            return;
        };
        let outcome = match passage {
            Ok(passage) => {
                if let Some((slot, _)) = active.parts.get_mut(part) {
                    *slot = Some(passage);
                }
                if active.parts.iter().any(|(passage, _)| passage.is_none()) {
                    return;
                }
                let parts = std::mem::take(&mut active.parts).into_iter();
                let heard = parts.filter_map(|(passage, samples)| Some((passage?, samples)));
                Ok(Transcription::join(heard))
            }
            Err(error) => Err(error),
        };
        if let Some(active) = self.forget(number) {
            let mut state = self.shared.lock();
            state.queue.complete(&active.pass, outcome, Instant::now());
        }
    }

    /// Runs a part of the loop. When the computation fails, whoever has rows is told; when it
    /// panics, the model is loaded again as well.
    fn guarded(&mut self, part: fn(&mut Self) -> Result<(), NnError>) {
        let outcome = catch_unwind(AssertUnwindSafe(|| part(self)));
        let (reason, is_broken) = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(error)) => (crate::chat::in_full(&error), false),
            Err(panic) => (panic_message(panic.as_ref()), true),
        };
        tracing::error!(reason, is_broken, "the recogniser failed");
        let mut passes: Vec<u64> = self.rows.values().map(|(pass, _)| *pass).collect();
        passes.dedup();
        for number in passes {
            if let Some(active) = self.forget(number) {
                self.shared.lock().queue.fail(active.pass.id, &reason);
            }
        }
        if !is_broken {
            return;
        }
        match (self.load)() {
            Ok(fresh) => self.network = fresh,
            Err(reason) => {
                tracing::error!(reason, "the recogniser is gone");
                self.shared.lock().queue.close(&reason);
            }
        }
    }
}

/// A pass stands for a call of its own: what it gives up is given up by its number.
fn origin(pass: u64) -> Origin {
    let mut number = [0; 10];
    number[2..].copy_from_slice(&pass.to_be_bytes());
    Origin {
        call: CallId::new(Timestamp::from_micros(0), number),
        epoch: Epoch(0),
        tenant: TenantId(0),
    }
}
