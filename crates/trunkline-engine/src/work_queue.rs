//! A bounded queue between those who ask and the threads that work.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// First in, first out; background work comes last.
#[derive(Debug)]
pub(crate) struct WorkQueue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    limit: usize,
}

#[derive(Debug)]
struct State<T> {
    urgent: VecDeque<T>,
    background: VecDeque<T>,
    closed: Option<String>,
    /// Closed, but what waits is still to be done.
    finishing: bool,
}

/// Why a job was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no room.
    Full,
    /// Nobody works here any more, for this reason.
    Closed(String),
}

impl<T> WorkQueue<T> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            state: Mutex::new(State {
                urgent: VecDeque::new(),
                background: VecDeque::new(),
                closed: None,
                finishing: false,
            }),
            changed: Condvar::new(),
            limit,
        }
    }

    pub(crate) fn push(&self, job: T) -> Result<(), Refusal> {
        self.add(job, |state| &mut state.urgent)
    }

    /// For work that nobody waits for.
    pub(crate) fn push_background(&self, job: T) -> Result<(), Refusal> {
        self.add(job, |state| &mut state.background)
    }

    /// As [`WorkQueue::push_background`], for work that takes nothing and frees something: it is
    /// taken even where there is no room.
    pub(crate) fn push_release(&self, job: T) {
        let mut state = self.lock();
        if state.closed.is_none() {
            state.background.push_back(job);
            drop(state);
            self.changed.notify_one();
        }
    }

    fn add(&self, job: T, lane: fn(&mut State<T>) -> &mut VecDeque<T>) -> Result<(), Refusal> {
        let mut state = self.lock();
        if let Some(reason) = &state.closed {
            return Err(Refusal::Closed(reason.clone()));
        }
        let lane = lane(&mut state);
        if lane.len() >= self.limit {
            return Err(Refusal::Full);
        }
        lane.push_back(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Everything there is, in order, background work last; waits for something if `wait`.
    /// `None` when the queue is closed, or is finishing and has nothing to wait for.
    pub(crate) fn take_all(&self, wait: bool) -> Option<Vec<T>> {
        let mut state = self.lock();
        loop {
            if state.closed.is_some() && !state.finishing {
                return None;
            }
            let State {
                urgent, background, ..
            } = &mut *state;
            if !wait || !urgent.is_empty() || !background.is_empty() {
                return Some(urgent.drain(..).chain(background.drain(..)).collect());
            }
            if state.finishing {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Refuses everything from now on; what was taken is still done.
    pub(crate) fn finish(&self, reason: &str) {
        let mut state = self.lock();
        if state.closed.is_none() {
            state.closed = Some(reason.to_owned());
            state.finishing = true;
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Whether it was told to finish.
    pub(crate) fn is_finishing(&self) -> bool {
        self.lock().finishing
    }

    /// Refuses everything from now on and hands back what was waiting.
    pub(crate) fn close(&self, reason: &str) -> Vec<T> {
        let mut state = self.lock();
        state.closed.get_or_insert_with(|| reason.to_owned());
        state.finishing = false;
        let waiting = state.urgent.drain(..).collect();
        state.background.clear();
        drop(state);
        self.changed.notify_all();
        waiting
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // The state is whole between statements; a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the worker panicked".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urgent_work_goes_first_in_order_and_a_full_queue_refuses() {
        let queue = WorkQueue::new(2);
        queue.push_background(9).unwrap();
        queue.push(1).unwrap();
        queue.push(2).unwrap();
        assert_eq!(queue.push(3), Err(Refusal::Full));
        assert_eq!(queue.take_all(true), Some(vec![1, 2, 9]));
    }

    #[test]
    fn what_frees_something_is_taken_by_a_full_queue() {
        let queue = WorkQueue::new(1);
        queue.push_background(1).unwrap();
        assert_eq!(queue.push_background(2), Err(Refusal::Full));
        queue.push_release(3);
        assert_eq!(queue.take_all(false), Some(vec![1, 3]));
    }

    #[test]
    fn all_is_taken_at_once_and_nothing_where_nobody_waits() {
        let queue = WorkQueue::new(2);
        queue.push_background(9).unwrap();
        queue.push(1).unwrap();
        assert_eq!(queue.take_all(true), Some(vec![1, 9]));
        assert_eq!(queue.take_all(false), Some(Vec::new()));
        queue.close("gone");
        assert_eq!(queue.take_all(true), None);
    }

    #[test]
    fn a_finishing_queue_takes_no_more_and_ends_when_all_is_done() {
        let queue = WorkQueue::new(2);
        queue.push(1).unwrap();
        queue.finish("old");
        assert_eq!(queue.push(2), Err(Refusal::Closed("old".to_owned())));
        assert_eq!(queue.take_all(true), Some(vec![1]));
        // There may be work left from what was taken.
        assert_eq!(queue.take_all(false), Some(Vec::new()));
        assert_eq!(queue.take_all(true), None);
    }

    #[test]
    fn a_closed_queue_hands_back_what_waited_and_says_why() {
        let queue = WorkQueue::new(2);
        queue.push(1).unwrap();
        assert_eq!(queue.close("gone"), [1]);
        assert_eq!(queue.take_all(true), None);
        assert_eq!(queue.push(2), Err(Refusal::Closed("gone".to_owned())));
    }
}
