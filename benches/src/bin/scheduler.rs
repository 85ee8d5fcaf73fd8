//! How long a step takes to plan: the scheduler of token models against a planner that sorts all
//! rows at every step, in the same run, in turns.
//!
//! 256 rows decode, and as soon as one has its tokens another begins; then the same with 2,048
//! more that wait for prefill. A step is a plan, its completion and a token for each row that has
//! logits; the network takes no time. The sorting planner has queues, blocks and budget, but no
//! prefix cache, classes' shares, fairness, copy-on-write or preemption: it is the least that
//! could drive a network, not an equal.

#[path = "scheduler/sorting.rs"]
mod sorting;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Result;
use sorting::SortingPlanner;
use trunkline_benches::{Better, Report};
use trunkline_scheduler::{
    Class, Due, Epoch, Logits, Origin, Request, RowId, Salt, TenantId, Token, TokenScheduler,
    TokenSettings,
};
use trunkline_types::{CallId, Timestamp};

/// Rows that decode.
const ROWS: usize = 256;
/// Rows that wait, in the second half.
const WAITING: usize = 2048;
const PROMPT: usize = 200;
const ANSWER: usize = 100;
const BUDGET: usize = 512;
const BLOCK_TOKENS: usize = 32;
const BLOCKS: u32 = 8192;
/// Turns of each planner, and how long one is.
const TURNS: usize = 7;
const TURN: Duration = Duration::from_millis(400);

/// A prompt that shares nothing.
fn prompt(number: u32) -> Vec<Token> {
    (0..PROMPT as u32).map(|n| number * 1000 + n).collect()
}

/// When a row's first token is due; scattered, so that there is something to sort.
fn due(number: u32) -> Duration {
    Duration::from_millis(u64::from(number.wrapping_mul(2_654_435_761) >> 20))
}

/// Something that plans steps.
trait Planner {
    /// One more row.
    fn submit(&mut self, number: u32) -> Result<()>;
    /// Plans and completes a step. Returns how many tokens ran and how many rows finished.
    fn step(&mut self, now: Duration) -> Result<(usize, usize)>;
}

struct Ours {
    scheduler: TokenScheduler,
    answers: BTreeMap<RowId, usize>,
}

impl Ours {
    fn new() -> Result<Self> {
        let scheduler = TokenScheduler::new(TokenSettings {
            block_tokens: BLOCK_TOKENS,
            blocks: BLOCKS,
            max_rows: 2 * ROWS,
            prefill_tokens: BUDGET,
            max_waiting_rows: 2 * WAITING,
            max_waiting_tokens: 2 * WAITING * PROMPT,
            ..TokenSettings::default()
        })?;
        Ok(Self {
            scheduler,
            answers: BTreeMap::new(),
        })
    }
}

impl Planner for Ours {
    fn submit(&mut self, number: u32) -> Result<()> {
        self.scheduler.submit(
            Duration::ZERO,
            Request {
                origin: Origin {
                    call: CallId::new(Timestamp::from_micros(u64::from(number)), [0; 10]),
                    epoch: Epoch(0),
                    tenant: TenantId(number % 8),
                },
                class: Class::TurnCritical,
                due: Due::at(due(number)),
                prompt: prompt(number),
                logits: Logits::Last,
                max_new_tokens: ANSWER,
                pinned_prefix: 0,
                cache: Some(Salt(0)),
            },
        )?;
        Ok(())
    }

    fn step(&mut self, now: Duration) -> Result<(usize, usize)> {
        let plan = self.scheduler.plan(now)?;
        let stale = self.scheduler.complete(&plan, now)?;
        anyhow::ensure!(stale.is_empty() && !plan.is_empty());
        let mut finished = 0;
        for step in plan.steps().filter(|step| step.logits > 0) {
            let answered = self.answers.entry(step.row).or_default();
            *answered += 1;
            if *answered == ANSWER {
                self.answers.remove(&step.row);
                self.scheduler.finish(step.row)?;
                finished += 1;
            } else {
                self.scheduler.push(step.row, &[7], Logits::Last)?;
            }
        }
        Ok((black_box(&plan).tokens().len(), finished))
    }
}

/// A planner with its load.
struct Loaded<P> {
    planner: P,
    submitted: u32,
    now: Duration,
    /// Steps per second of each turn.
    rates: Vec<f64>,
}

impl<P: Planner> Loaded<P> {
    /// Submits so many rows beyond those that decode, and lets those get to decoding.
    fn new(planner: P, waiting: usize) -> Result<Self> {
        let mut loaded = Self {
            planner,
            submitted: 0,
            now: Duration::ZERO,
            rates: Vec::new(),
        };
        for _ in 0..ROWS {
            loaded.submit()?;
        }
        for _ in 0..ROWS * PROMPT / BUDGET {
            loaded.step()?;
        }
        for _ in 0..waiting {
            loaded.submit()?;
        }
        Ok(loaded)
    }

    fn submit(&mut self) -> Result<()> {
        self.submitted += 1;
        self.planner.submit(self.submitted)
    }

    /// A step, and a new row for each that has finished.
    fn step(&mut self) -> Result<usize> {
        self.now += Duration::from_millis(10);
        let (tokens, finished) = self.planner.step(self.now)?;
        for _ in 0..finished {
            self.submit()?;
        }
        Ok(tokens)
    }

    fn turn(&mut self) -> Result<()> {
        let (begin, mut steps) = (Instant::now(), 0.0);
        while begin.elapsed() < TURN {
            self.step()?;
            steps += 1.0;
        }
        self.rates.push(steps / begin.elapsed().as_secs_f64());
        Ok(())
    }

    fn median(&mut self) -> f64 {
        self.rates.sort_by(f64::total_cmp);
        self.rates[self.rates.len() / 2]
    }
}

/// Steps per second of ours and of the sorting planner.
fn race(waiting: usize) -> Result<(f64, f64)> {
    let mut ours = Loaded::new(Ours::new()?, waiting)?;
    let mut sorting = Loaded::new(SortingPlanner::new(), waiting)?;
    for _ in 0..TURNS {
        ours.turn()?;
        sorting.turn()?;
    }
    Ok((ours.median(), sorting.median()))
}

fn main() -> Result<()> {
    let mut report = Report::new("scheduler");
    // A step of 256 rows takes a device some 10 ms; planning may take a tenth of it.
    let goal = Some(1000.0);
    let unit = "1/s";
    let (ours, sorting) = race(0)?;
    report.add("plans_per_s", ours, unit, goal, Better::Higher);
    report.add("sorting_plans_per_s", sorting, unit, None, Better::Higher);
    report.add("ratio", ours / sorting, "", None, Better::Higher);
    let (ours, sorting) = race(WAITING)?;
    report.add("waiting_plans_per_s", ours, unit, goal, Better::Higher);
    let name = "waiting_sorting_plans_per_s";
    report.add(name, sorting, unit, None, Better::Higher);
    report.add("waiting_ratio", ours / sorting, "", None, Better::Higher);
    println!("{}", report.finish()?.display());
    Ok(())
}
