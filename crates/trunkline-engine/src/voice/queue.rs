//! The clauses of all calls that wait for a voice, in one queue by class and deadline.
//!
//! The order is `trunkline-scheduler`'s. Whoever is no longer listened to makes room: a clause
//! whose stream was dropped is taken out before another is refused, and never spoken.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use trunkline_inference::{InferenceError, SpeechEvent, Tenant, Urgency};
use trunkline_scheduler::{
    BatchQueue, BatchSettings, Class, Epoch, Job, JobId, Origin, PerClass, TenantId,
};
use trunkline_types::{CallId, Timestamp};

use super::cache::Key;
use crate::EngineError;

/// A clause that is asked for as soon as possible counts as due this long after it came.
const SOON: Duration = Duration::from_millis(100);

/// A clause to be spoken.
#[derive(Debug)]
pub(super) struct Clause {
    pub(super) key: Key,
    pub(super) events: UnboundedSender<SpeechEvent>,
    /// Those who have clauses waiting have equal shares of the voice.
    pub(super) tenant: Tenant,
}

/// The measures of a voice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measures {
    /// Clauses of a batch. 1 for a voice that speaks one after the other.
    pub(super) batch: usize,
    /// Clauses that may wait.
    pub(super) waiting: usize,
    /// Bytes of a clause.
    pub(super) longest: usize,
}

#[derive(Debug)]
pub(super) struct ClauseQueue {
    model: String,
    state: Mutex<State>,
    changed: Condvar,
    began: Instant,
}

#[derive(Debug)]
struct State {
    queue: BatchQueue<Clause>,
    /// Where the waiting clauses are listened to.
    listeners: HashMap<JobId, UnboundedSender<SpeechEvent>>,
    clauses: u64,
    closed: Option<String>,
}

impl ClauseQueue {
    pub(super) fn new(model: &str, measures: Measures) -> Result<Self, EngineError> {
        let cost = measures.longest * measures.waiting;
        let settings = BatchSettings {
            buckets: Vec::new(),
            max_batch_cost: measures.longest * measures.batch,
            max_batch_jobs: measures.batch,
            max_rider_cost: measures.longest * measures.batch,
            max_waiting_jobs: measures.waiting,
            max_waiting_cost: cost,
            retry_after: Duration::from_millis(500),
            guaranteed_percent: PerClass::new([0, 20, 10, 5]),
            patience: PerClass::new([2, 2, 10, 60].map(Duration::from_secs)),
            fair_lead_cost: measures.longest as u64,
        };
        let queue = BatchQueue::new(settings).map_err(|error| EngineError::Start {
            name: model.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            model: model.to_owned(),
            state: Mutex::new(State {
                queue,
                listeners: HashMap::new(),
                clauses: 0,
                closed: None,
            }),
            changed: Condvar::new(),
            began: Instant::now(),
        })
    }

    /// Takes a clause in. `due` is from now on.
    pub(super) fn push(
        &self,
        clause: Clause,
        urgency: Urgency,
        due: Option<Duration>,
    ) -> Result<(), InferenceError> {
        let now = self.began.elapsed();
        let mut state = self.lock();
        if let Some(reason) = &state.closed {
            return Err(self.unavailable(reason));
        }
        state.forget_the_unheard();
        state.clauses += 1;
        let events = clause.events.clone();
        let job = Job {
            origin: Origin {
                // No call is told, so each clause stands for itself.
                call: CallId::new(Timestamp::from_micros(state.clauses), [0; 10]),
                epoch: Epoch(0),
                tenant: TenantId(clause.tenant.0),
            },
            class: class(urgency),
            deadline: now + due.unwrap_or(SOON),
            length: clause.key.text.len(),
            work: clause,
        };
        let pushed = state.queue.push(now, job);
        self.tell_the_shed(&mut state);
        match pushed {
            Ok(id) => {
                state.listeners.insert(id, events);
                drop(state);
                self.changed.notify_one();
                Ok(())
            }
            Err(_) => Err(self.overloaded()),
        }
    }

    /// Waits for clauses to speak together; `None` when the queue is closed.
    pub(super) fn pop(&self) -> Option<Vec<Clause>> {
        let mut state = self.lock();
        loop {
            if state.closed.is_some() {
                return None;
            }
            state.forget_the_unheard();
            let batch = state.queue.pop(self.began.elapsed());
            self.tell_the_shed(&mut state);
            if let Some(batch) = batch {
                let jobs = batch.jobs.into_iter().map(|(id, job)| {
                    state.listeners.remove(&id);
                    job.work
                });
                return Some(jobs.collect());
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Refuses everything from now on, and what was waiting.
    pub(super) fn close(&self, reason: &str) {
        let mut state = self.lock();
        state.closed.get_or_insert_with(|| reason.to_owned());
        let error = self.unavailable(reason);
        for (_, events) in state.listeners.drain() {
            // Nobody listens any more when this fails.
            let _ = events.send(SpeechEvent::Failed(error.clone()));
        }
        drop(state);
        self.changed.notify_all();
    }

    fn tell_the_shed(&self, state: &mut State) {
        for shed in state.queue.take_shed() {
            state.listeners.remove(&shed.id);
            let failed = SpeechEvent::Failed(self.overloaded());
            let _ = shed.job.work.events.send(failed);
        }
    }

    fn overloaded(&self) -> InferenceError {
        InferenceError::Overloaded {
            model: self.model.clone(),
        }
    }

    fn unavailable(&self, reason: &str) -> InferenceError {
        InferenceError::Unavailable {
            model: self.model.clone(),
            reason: reason.to_owned(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The voice speaks outside the lock, so its panic cannot spoil the queue.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget_the_unheard(&mut self) {
        let Self {
            queue, listeners, ..
        } = self;
        listeners.retain(|id, events| {
            let is_heard = !events.is_closed();
            if !is_heard {
                queue.cancel(*id);
            }
            is_heard
        });
    }
}

fn class(urgency: Urgency) -> Class {
    match urgency {
        Urgency::TurnCritical => Class::TurnCritical,
        Urgency::Playing => Class::Playing,
        Urgency::Speculative => Class::Speculative,
        Urgency::Background => Class::Background,
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    type Events = mpsc::UnboundedReceiver<SpeechEvent>;

    fn queue(batch: usize, waiting: usize) -> ClauseQueue {
        let measures = Measures {
            batch,
            waiting,
            longest: 100,
        };
        ClauseQueue::new("voice", measures).unwrap()
    }

    fn push(
        queue: &ClauseQueue,
        text: &str,
        urgency: Urgency,
        due_ms: Option<u64>,
    ) -> Result<Events, InferenceError> {
        let (events, heard) = mpsc::unbounded_channel();
        let key = Key::new("slt", text, 1.0);
        let due = due_ms.map(Duration::from_millis);
        let tenant = Tenant(0);
        let clause = Clause {
            key,
            events,
            tenant,
        };
        queue.push(clause, urgency, due)?;
        Ok(heard)
    }

    fn popped(queue: &ClauseQueue) -> Vec<String> {
        let batch = queue.pop().unwrap();
        batch.into_iter().map(|clause| clause.key.text).collect()
    }

    #[test]
    fn who_waits_in_silence_goes_first_and_in_a_class_the_earliest_deadline() {
        let queue = queue(1, 9);
        let _heard = [
            push(&queue, "rest", Urgency::Background, None),
            push(&queue, "later", Urgency::Playing, Some(1500)),
            push(&queue, "sooner", Urgency::Playing, Some(500)),
            push(&queue, "now", Urgency::TurnCritical, None),
        ];
        let order: Vec<String> = (0..4).flat_map(|_| popped(&queue)).collect();
        assert_eq!(order, ["now", "sooner", "later", "rest"]);
    }

    #[test]
    fn a_tenant_with_much_to_say_does_not_keep_another_waiting() {
        let queue = queue(1, 99);
        let mut heard = Vec::new();
        // Each clause is as long as the lead that a tenant may have.
        for (tenant, count) in [(1, 20), (2, 2)] {
            for at in 0..count {
                let (events, listener) = mpsc::unbounded_channel();
                heard.push(listener);
                let text = format!("{tenant} {at:0>98}");
                let clause = Clause {
                    key: Key::new("slt", &text, 1.0),
                    events,
                    tenant: Tenant(tenant),
                };
                queue.push(clause, Urgency::Playing, None).unwrap();
            }
        }
        let first: Vec<String> = (0..6).flat_map(|_| popped(&queue)).collect();
        let of_the_other = first.iter().filter(|text| text.starts_with('2'));
        assert_eq!(of_the_other.count(), 2, "{first:?}");
    }

    #[test]
    fn a_voice_that_speaks_together_gets_them_together() {
        let queue = queue(3, 9);
        let _heard: Vec<_> = ["a", "b", "c", "d"]
            .map(|text| push(&queue, text, Urgency::Playing, None))
            .into();
        assert_eq!(popped(&queue).len(), 3);
        assert_eq!(popped(&queue).len(), 1);
    }

    #[test]
    fn what_nobody_listens_to_makes_room_and_is_never_spoken() {
        let queue = queue(1, 2);
        let gone = push(&queue, "gone", Urgency::Playing, None).unwrap();
        let _kept = push(&queue, "kept", Urgency::Playing, None).unwrap();
        let refused = push(&queue, "refused", Urgency::Playing, None);
        assert!(matches!(refused, Err(InferenceError::Overloaded { .. })));
        drop(gone);
        let _new = push(&queue, "new", Urgency::Playing, None).unwrap();
        assert_eq!([popped(&queue), popped(&queue)], [["kept"], ["new"]]);
    }

    #[test]
    fn speculation_is_displaced_by_what_a_caller_waits_for_and_told_so() {
        let queue = queue(1, 1);
        let mut guess = push(&queue, "guess", Urgency::Speculative, None).unwrap();
        let _needed = push(&queue, "needed", Urgency::TurnCritical, None).unwrap();
        let told = guess.try_recv().unwrap();
        assert!(matches!(
            told,
            SpeechEvent::Failed(InferenceError::Overloaded { .. })
        ));
        assert_eq!(popped(&queue), ["needed"]);
    }

    #[test]
    fn a_closed_queue_tells_who_waits_and_refuses_the_rest() {
        let queue = queue(1, 9);
        let mut waiting = push(&queue, "waiting", Urgency::Playing, None).unwrap();
        queue.close("gone");
        assert!(matches!(
            waiting.try_recv().unwrap(),
            SpeechEvent::Failed(InferenceError::Unavailable { .. })
        ));
        assert!(queue.pop().is_none());
        assert!(push(&queue, "new", Urgency::Playing, None).is_err());
    }
}
