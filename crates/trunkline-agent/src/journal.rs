//! Carries what a call must not lose to the store, off the call's path.
//!
//! One task serves all calls of the node. A call appends and goes on; the task writes what has
//! gathered several times a second, each call's entries in one transaction. A write that fails
//! is tried again; while the store is full or locked entries wait in memory and are counted.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use trunkline_store::{EventRow, Store, TranscriptLine, TurnRecord};
use trunkline_types::CallId;

/// How long entries gather before they are written: well under the second that a crash may cost.
const GATHER: Duration = Duration::from_millis(200);

/// How long to wait after a failed write.
const RETRY: Duration = Duration::from_secs(1);

/// How often a write is tried before its entries are given up: long enough to make room on a full
/// disk, short enough that a store which is gone for good does not hold its calls for ever.
const ATTEMPTS: u32 = 60;

/// How long the last entries may take when the appliance stops.
const LAST_WRITE: Duration = Duration::from_secs(10);

enum Entry {
    Event(CallId, EventRow),
    Turn(Box<TurnRecord>),
    Transcript(CallId, TranscriptLine),
    Flush(oneshot::Sender<()>),
}

/// The pen of a call.
#[derive(Clone)]
pub(crate) struct Journal(mpsc::UnboundedSender<Entry>);

impl Journal {
    /// Starts the task.
    pub(crate) fn start(store: Store) -> Self {
        let (sender, entries) = mpsc::unbounded_channel();
        tokio::spawn(write_until_closed(store, entries));
        Self(sender)
    }

    pub(crate) fn event(&self, call: CallId, row: EventRow) {
        let _ = self.0.send(Entry::Event(call, row));
    }

    pub(crate) fn turn(&self, turn: TurnRecord) {
        let _ = self.0.send(Entry::Turn(Box::new(turn)));
    }

    pub(crate) fn transcript(&self, call: CallId, line: TranscriptLine) {
        let _ = self.0.send(Entry::Transcript(call, line));
    }

    /// As [`Journal::flush`], but an appliance that stops does not wait for a store that is gone.
    pub(crate) async fn flush_at_last(&self) {
        if tokio::time::timeout(LAST_WRITE, self.flush())
            .await
            .is_err()
        {
            tracing::error!("the appliance stops with entries of calls unwritten");
        }
    }

    /// Returns when all that was appended before is written.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.0.send(Entry::Flush(done)).is_ok() {
            let _ = written.await;
        }
    }
}

#[derive(Default)]
struct Batch {
    events: BTreeMap<CallId, Vec<EventRow>>,
    turns: Vec<TurnRecord>,
    transcript: Vec<(CallId, TranscriptLine)>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Batch {
    fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Event(call, row) => self.events.entry(call).or_default().push(row),
            Entry::Turn(turn) => self.turns.push(*turn),
            Entry::Transcript(call, line) => self.transcript.push((call, line)),
            Entry::Flush(done) => self.waiting.push(done),
        }
    }

    async fn write(self, store: &Store) {
        for (call, rows) in &self.events {
            attempt(|| store.append_events(*call, rows)).await;
        }
        for turn in &self.turns {
            attempt(|| store.append_turn(turn)).await;
        }
        for (call, line) in &self.transcript {
            attempt(|| store.append_transcript(*call, line)).await;
        }
        for done in self.waiting {
            let _ = done.send(());
        }
    }
}

async fn write_until_closed(store: Store, mut entries: mpsc::UnboundedReceiver<Entry>) {
    while let Some(first) = entries.recv().await {
        let mut batch = Batch::default();
        batch.add(first);
        let gathered = tokio::time::Instant::now() + GATHER;
        while batch.waiting.is_empty() {
            match tokio::time::timeout_at(gathered, entries.recv()).await {
                Ok(Some(entry)) => batch.add(entry),
                Ok(None) | Err(_) => break,
            }
        }
        batch.write(&store).await;
    }
}

async fn attempt<F, T, E>(write: impl Fn() -> F)
where
    F: Future<Output = Result<T, E>>,
    E: std::fmt::Display,
{
    for tried in 1..=ATTEMPTS {
        match write().await {
            Ok(_) => return,
            Err(error) if tried < ATTEMPTS => {
                tracing::warn!(%error, tried, "the store refused a write; trying again");
                tokio::time::sleep(RETRY).await;
            }
            Err(error) => {
                tracing::error!(%error, "entries of a call are lost: the store refused them");
                metrics::counter!(trunkline_telemetry::names::JOURNAL_ENTRIES_LOST_TOTAL)
                    .increment(1);
            }
        }
    }
}
