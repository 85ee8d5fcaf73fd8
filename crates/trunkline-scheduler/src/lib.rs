//! What runs next on a device that many calls share.
//!
//! Every model of the engine is driven by one thread:
//!
//! 1. take the commands that came in: [`submit`](TokenScheduler::submit),
//!    [`extend`](TokenScheduler::extend), [`cancel_call`](TokenScheduler::cancel_call), …
//! 2. [`plan`](TokenScheduler::plan) a step; tell those whose rows were
//!    [shed](TokenScheduler::take_shed). An empty plan means: wait for a command;
//! 3. do the plan's [copies](Plan::copies), then run its [rows](Plan::steps) through the network;
//! 4. [`complete`](TokenScheduler::complete) the plan;
//! 5. sample from the logits that the plan asked for, but not those of rows that
//!    `complete` calls stale, [`push`](TokenScheduler::push) the tokens, or [`finish`](TokenScheduler::finish) the row, and publish.
//!
//! No timer makes a batch: the next one forms while the last one runs.
//!
//! [`TokenScheduler`] is for models that go token by token over a KV cache (language models,
//! Whisper's decoder); [`BatchQueue`] for stateless work of known cost (Whisper's encoder,
//! speech synthesis by clause); [`SlotPool`] for memory of one size per row.
//!
//! # What is promised
//! - **Order**: by [`Class`], then fair between tenants, then the earliest deadline. All decode
//!   rows run in each step, and prefill in chunks under a budget, which shrinks when a playing row
//!   would else starve.
//! - **No starvation**: each class with work has a guaranteed share of each step, and a deadline
//!   can push a row back no further than the class's patience. Speculative and background rows
//!   that wait longer than that are shed with a reason.
//! - **A step can always proceed**: cached blocks are evicted, speculative rows shed and later
//!   arrivals preempted until the most urgent row has its blocks.
//! - **Determinism**: the same calls in the same order give the same plans.
//!
//! Pure by rule, though it stands in layer 1: no clock (time is an argument, a [`Duration`]
//! since the start of the thread), no randomness, no I/O, no tensors. It does not sample, does not
//! own weights or caches, and does not know what a token means.
//!
//! # A row's way
//! ```
//! use std::time::Duration;
//! use trunkline_scheduler::*;
//! use trunkline_types::{CallId, Timestamp};
//!
//! # fn main() -> Result<(), SchedulerError> {
//! let mut scheduler = TokenScheduler::new(TokenSettings::default())?;
//! let now = Duration::ZERO;
//! let row = scheduler.submit(now, Request {
//!     origin: Origin {
//!         call: CallId::new(Timestamp::from_micros(0), [0; 10]),
//!         epoch: Epoch(0),
//!         tenant: TenantId(0),
//!     },
//!     class: Class::TurnCritical,
//!     due: Due::at(now + Duration::from_millis(300)),
//!     prompt: vec![1, 15, 27],
//!     logits: Logits::Last,
//!     max_new_tokens: 100,
//!     pinned_prefix: 0,
//!     cache: Some(Salt(0)),
//! })?;
//! for sampled in [7, 8, 2] {
//!     let plan = scheduler.plan(now)?;
//!     for step in plan.steps() {
//!         // Run step.tokens from position step.start with the caches in step.blocks.
//!         assert_eq!((step.row, step.logits), (row, 1));
//!     }
//!     let stale = scheduler.complete(&plan, now)?;
//!     for step in plan.steps().filter(|step| step.logits > 0 && !stale.contains(&step.row)) {
//!         scheduler.push(step.row, &[sampled], Logits::Last)?;
//!     }
//! }
//! scheduler.finish(row)?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Duration`]: std::time::Duration
#![forbid(unsafe_code)]

mod batch;
mod blocks;
mod class;
mod error;
mod fair;
mod hash;
mod metrics;
mod plan;
mod request;
mod row;
mod scheduler;
mod settings;
mod slots;
mod step_time;
#[cfg(test)]
mod tests;

pub use batch::{Batch, BatchMetrics, BatchQueue, BatchSettings, Job, JobId, Refused, ShedJob};
pub use class::{Class, PerClass};
pub use error::SchedulerError;
pub use metrics::Metrics;
pub use plan::{BlockCopy, BlockId, Plan, PlannedRow, RowId, RowStep};
pub use request::{Due, Epoch, Logits, Origin, Request, Salt, ShedReason, TenantId, Token};
pub use scheduler::{Shed, TokenScheduler};
pub use settings::TokenSettings;
pub use slots::{SlotId, SlotPool};
