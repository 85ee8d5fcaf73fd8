//! Does what a hasty caller might do, in any order, and knows what each row should see.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::network::{Network, alone, sample};
use super::{call, ms};
use crate::*;

pub(crate) const VOCABULARY: u32 = 5;

/// One thing to do. Numbers that choose among rows wrap around.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Submit {
        call: u8,
        class: u8,
        salt: Option<u8>,
        /// Which of the common beginnings, and how much of it.
        common: (u8, usize),
        rest: Vec<Token>,
        logits: u8,
        pinned: usize,
        new_tokens: usize,
        due_ms: u64,
    },
    Extend(u8, Vec<Token>),
    Retract(u8, u8),
    Close(u8),
    Fork(u8),
    /// Forced tokens with all their logits.
    Force(u8, Vec<Token>),
    Promote(u8, u8),
    Deadline(u8, u64),
    Finish(u8),
    Cancel(u8),
    CancelCall(u8, u32),
    Unpin(u8),
    Pass(u64),
    /// Plan a step; it is run at once, or when it completes.
    Plan {
        at_once: bool,
    },
    Complete,
    Abandon,
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let tokens = || prop::collection::vec(0..VOCABULARY, 0..9);
    prop_oneof![
        4 => submit(),
        2 => (any::<u8>(), tokens()).prop_map(|(row, tokens)| Op::Extend(row, tokens)),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(row, to)| Op::Retract(row, to)),
        2 => any::<u8>().prop_map(Op::Close),
        1 => any::<u8>().prop_map(Op::Fork),
        1 => (any::<u8>(), tokens()).prop_map(|(row, tokens)| Op::Force(row, tokens)),
        1 => (any::<u8>(), 0..4_u8).prop_map(|(row, class)| Op::Promote(row, class)),
        1 => (any::<u8>(), 0..400_u64).prop_map(|(row, due)| Op::Deadline(row, due)),
        1 => any::<u8>().prop_map(Op::Finish),
        1 => any::<u8>().prop_map(Op::Cancel),
        1 => (0..4_u8, 0..3_u32).prop_map(|(call, epoch)| Op::CancelCall(call, epoch)),
        1 => (0..2_u8).prop_map(Op::Unpin),
        1 => (0..300_u64).prop_map(Op::Pass),
        8 => any::<bool>().prop_map(|at_once| Op::Plan { at_once }),
        8 => Just(Op::Complete),
        1 => Just(Op::Abandon),
    ]
}

fn submit() -> impl Strategy<Value = Op> {
    (
        (0..4_u8, 0..4_u8, prop::option::weighted(0.9, 0..2_u8)),
        (
            (0..2_u8, 0..30_usize),
            prop::collection::vec(0..VOCABULARY, 0..20),
        ),
        (0..4_u8, 0..24_usize, 0..12_usize, 0..400_u64),
    )
        .prop_map(
            |((call, class, salt), (common, rest), (logits, pinned, new_tokens, due_ms))| {
                Op::Submit {
                    call,
                    class,
                    salt,
                    common,
                    rest,
                    logits,
                    pinned,
                    new_tokens,
                    due_ms,
                }
            },
        )
}

/// What the driver knows of a row.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) salt: Option<Salt>,
    pub(crate) tokens: Vec<Token>,
    open: bool,
    /// Tokens that may be pushed.
    left: usize,
    /// Positions whose logits are wanted.
    wanted: BTreeSet<usize>,
    max_new_tokens: usize,
}

/// A step in flight.
struct Flight {
    plan: Plan,
    /// Rows and their tokens and salts when it was planned.
    rows: Vec<(RowId, Vec<Token>, Option<Salt>)>,
    logits: Option<Vec<Vec<u64>>>,
    /// Rows that were retracted since, and to where.
    stale: BTreeMap<RowId, usize>,
}

pub(crate) struct Driver {
    pub(crate) scheduler: TokenScheduler,
    pub(crate) rows: BTreeMap<RowId, Known>,
    pub(crate) now: Duration,
    /// What was planned, as text.
    pub(crate) trace: String,
    network: Network,
    flight: Option<Flight>,
    epoch: u32,
}

impl Driver {
    pub(crate) fn new(settings: TokenSettings) -> Self {
        Self {
            network: Network::new(settings.blocks, settings.block_tokens),
            scheduler: TokenScheduler::new(settings).unwrap(),
            rows: BTreeMap::new(),
            now: Duration::ZERO,
            trace: String::new(),
            flight: None,
            epoch: 0,
        }
    }

    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Plan { at_once } => self.plan(*at_once),
            Op::Complete => self.complete(),
            Op::Abandon => self.abandon(),
            Op::Pass(millis) => self.now += ms(*millis),
            Op::CancelCall(number, back) => {
                let up_to = Epoch(self.epoch.saturating_sub(*back));
                for row in self.scheduler.cancel_call(call(*number), up_to) {
                    assert!(self.rows.remove(&row).is_some());
                }
            }
            Op::Unpin(salt) => {
                self.scheduler.unpin(Salt(u64::from(*salt)));
            }
            Op::Submit { .. } => self.submit(op),
            _ => self.on_row(op),
        }
        self.collect_shed();
        self.scheduler.check();
    }

    fn submit(&mut self, op: &Op) {
        let Op::Submit {
            call: number,
            class,
            salt,
            common,
            rest,
            logits,
            pinned,
            new_tokens,
            due_ms,
        } = op
        else {
            return;
        };
        // Two beginnings that differ late.
        let beginning = |which: u8, len: usize| {
            (0..len).map(move |n| {
                if n == 20 {
                    u32::from(which)
                } else {
                    n as u32 % VOCABULARY
                }
            })
        };
        let mut prompt: Vec<Token> = beginning(common.0, common.1).collect();
        prompt.extend(rest);
        self.epoch += 1;
        let logits = match logits {
            0 => Logits::None,
            1 => Logits::All,
            _ => Logits::Last,
        };
        let request = Request {
            origin: Origin {
                call: call(*number),
                epoch: Epoch(self.epoch),
                tenant: TenantId(u32::from(number % 3)),
            },
            class: Class::ALL[usize::from(*class)],
            due: Due::at(self.now + ms(*due_ms)),
            prompt: prompt.clone(),
            logits,
            max_new_tokens: *new_tokens,
            pinned_prefix: *pinned,
            cache: salt.map(|salt| Salt(u64::from(salt))),
        };
        let known = Known {
            salt: request.cache,
            open: logits == Logits::None,
            left: *new_tokens,
            wanted: match logits {
                Logits::None => BTreeSet::new(),
                Logits::Last => prompt.len().checked_sub(1).into_iter().collect(),
                Logits::All => (0..prompt.len()).collect(),
            },
            tokens: prompt,
            max_new_tokens: *new_tokens,
        };
        match self.scheduler.submit(self.now, request) {
            Ok(row) => assert!(self.rows.insert(row, known).is_none()),
            Err(SchedulerError::EmptyPrompt) => assert!(known.tokens.is_empty() && !known.open),
            Err(SchedulerError::TooLong { .. } | SchedulerError::Overloaded { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn nth(&self, number: u8) -> Option<RowId> {
        let count = self.rows.len().max(1);
        self.rows.keys().nth(usize::from(number) % count).copied()
    }

    fn on_row(&mut self, op: &Op) {
        let (Op::Extend(number, _)
        | Op::Retract(number, _)
        | Op::Close(number)
        | Op::Fork(number)
        | Op::Force(number, _)
        | Op::Promote(number, _)
        | Op::Deadline(number, _)
        | Op::Finish(number)
        | Op::Cancel(number)) = op
        else {
            return;
        };
        let Some(row) = self.nth(*number) else {
            return;
        };
        let known = self.rows.get_mut(&row).unwrap();
        let scheduler = &mut self.scheduler;
        match op {
            Op::Extend(_, tokens) => match scheduler.extend(self.now, row, tokens) {
                Ok(()) => known.tokens.extend(tokens),
                Err(SchedulerError::PromptClosed(_)) => assert!(!known.open),
                Err(error) => assert!(matches!(error, SchedulerError::TooLong { .. })),
            },
            Op::Retract(_, to) => {
                let to = usize::from(*to) % (known.tokens.len() + 1);
                scheduler.retract(row, to).unwrap();
                known.tokens.truncate(to);
                known.open = true;
                known.left = known.max_new_tokens;
                known.wanted.clear();
                if let Some(flight) = &mut self.flight {
                    let stale = flight.stale.entry(row).or_insert(to);
                    *stale = to.min(*stale);
                }
            }
            Op::Close(_) => match scheduler.close_prompt(self.now, row) {
                Ok(()) if known.open => {
                    known.open = false;
                    known.left = known.max_new_tokens;
                    known.wanted = BTreeSet::from([known.tokens.len() - 1]);
                    if let Some(flight) = &mut self.flight {
                        // It ran without its logits.
                        let to = known.tokens.len() - 1;
                        let stale = flight.stale.entry(row).or_insert(to);
                        *stale = to.min(*stale);
                    }
                }
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error, SchedulerError::EmptyPrompt);
                    assert!(known.tokens.is_empty());
                }
            },
            Op::Fork(_) => {
                let known = known.clone();
                if let Ok(child) = scheduler.fork(row) {
                    self.rows.insert(child, known);
                }
            }
            Op::Force(_, tokens) => {
                let len = known.tokens.len();
                match scheduler.push(row, tokens, Logits::All) {
                    Ok(left) => {
                        known.tokens.extend(tokens);
                        known.wanted.extend(len..known.tokens.len());
                        known.left -= tokens.len();
                        assert_eq!(left, known.left);
                    }
                    Err(SchedulerError::PromptOpen(_)) => assert!(known.open),
                    Err(_) => assert!(tokens.len() > known.left),
                }
            }
            Op::Promote(_, class) => {
                let due = Due::at(self.now + ms(50));
                let class = Class::ALL[usize::from(*class)];
                scheduler.promote(self.now, row, class, due).unwrap();
            }
            Op::Deadline(_, due) => {
                let at = self.now + ms(*due);
                scheduler.set_deadline(row, Due { at, tokens: 3 }).unwrap();
            }
            Op::Finish(_) => {
                scheduler.finish(row).unwrap();
                self.rows.remove(&row);
            }
            _ => {
                scheduler.cancel(row).unwrap();
                self.rows.remove(&row);
                assert_eq!(scheduler.cancel(row), Err(SchedulerError::UnknownRow(row)));
            }
        }
    }

    pub(crate) fn collect_shed(&mut self) {
        for shed in self.scheduler.take_shed() {
            assert!(self.rows.remove(&shed.row).is_some());
        }
    }

    fn plan(&mut self, at_once: bool) {
        if self.flight.is_some() {
            let again = self.scheduler.plan(self.now);
            assert!(matches!(again, Err(SchedulerError::StepInFlight(_))));
            return;
        }
        let plan = self.scheduler.plan(self.now).unwrap();
        self.collect_shed();
        self.trace.push_str(&format!("{plan:?}\n"));
        if plan.is_empty() {
            return;
        }
        self.check_plan(&plan);
        let rows: Vec<_> = plan
            .rows()
            .iter()
            .map(|planned| {
                let known = &self.rows[&planned.row];
                (planned.row, known.tokens.clone(), known.salt)
            })
            .collect();
        let salts: Vec<_> = rows.iter().map(|(_, _, salt)| *salt).collect();
        let logits = at_once.then(|| self.network.run(&plan, &salts));
        self.flight = Some(Flight {
            plan,
            rows,
            logits,
            stale: BTreeMap::new(),
        });
    }

    /// The tokens are the row's, no block is written by one row and seen by another.
    fn check_plan(&self, plan: &Plan) {
        let block_tokens = self.scheduler.settings().block_tokens;
        let mut seen = BTreeSet::new();
        let mut readers: BTreeMap<BlockId, usize> = BTreeMap::new();
        for step in plan.steps() {
            assert!(seen.insert(step.row), "twice in one step");
            for block in step.blocks {
                *readers.entry(*block).or_default() += 1;
            }
        }
        for copy in plan.copies() {
            assert!(!plan.copies().iter().any(|other| other.to == copy.from));
        }
        for step in plan.steps() {
            let end = step.start + step.tokens.len();
            let known = &self.rows[&step.row];
            assert_eq!(step.tokens, &known.tokens[step.start..end]);
            assert_eq!(step.blocks.len(), end.div_ceil(block_tokens));
            for block in &step.blocks[step.start / block_tokens..] {
                assert_eq!(readers[block], 1, "written and read in one step");
            }
        }
        assert!(plan.rows().len() <= self.scheduler.settings().max_rows);
    }

    fn complete(&mut self) {
        let Some(mut flight) = self.flight.take() else {
            return;
        };
        let salts: Vec<_> = flight.rows.iter().map(|(_, _, salt)| *salt).collect();
        let logits = flight
            .logits
            .take()
            .unwrap_or_else(|| self.network.run(&flight.plan, &salts));
        let ranges: Vec<_> = flight
            .plan
            .steps()
            .map(|step| (step.start, step.start + step.tokens.len()))
            .collect();
        self.now += ms(1 + flight.plan.tokens().len() as u64);
        let stale = self.scheduler.complete(&flight.plan, self.now).unwrap();
        for (((row, tokens, salt), (_, end)), logits) in
            flight.rows.into_iter().zip(ranges).zip(logits)
        {
            let right = alone(salt, &tokens);
            for (back, got) in logits.iter().rev().enumerate() {
                assert_eq!(*got, right[end - 1 - back], "a row saw another's blocks");
            }
            let valid = flight.stale.get(&row).copied().unwrap_or(end).min(end);
            let is_stale = valid < end || self.rows.get(&row).is_none_or(|known| known.open);
            assert!(stale.contains(&row) <= is_stale);
            assert!(is_stale <= stale.contains(&row) || logits.is_empty());
            if let Some(known) = self.rows.get_mut(&row) {
                let first = end - logits.len();
                let due: Vec<usize> = known.wanted.range(..valid).copied().collect();
                assert!(
                    due.iter().all(|position| *position >= first),
                    "wanted {due:?} and got {first}..{end}"
                );
                for position in due {
                    known.wanted.remove(&position);
                }
                let at_end = !is_stale && end == known.tokens.len();
                if at_end && !logits.is_empty() && known.left > 0 {
                    let token = sample(right[end - 1], VOCABULARY);
                    known.left = self.scheduler.push(row, &[token], Logits::Last).unwrap();
                    known.wanted.insert(known.tokens.len());
                    known.tokens.push(token);
                }
            }
        }
    }

    fn abandon(&mut self) {
        let Some(flight) = self.flight.take() else {
            return;
        };
        // One that never began may not even have made its copies.
        if flight.logits.is_none() {
            self.network.fail(&flight.plan);
        }
        self.scheduler.abandon(&flight.plan).unwrap();
    }

    /// Completes what is in flight and runs until no row has anything to do. Returns the steps.
    pub(crate) fn settle(&mut self) -> usize {
        for steps in 0..2_000 {
            self.complete();
            self.plan(true);
            self.collect_shed();
            self.scheduler.check();
            if self.flight.is_none() {
                return steps;
            }
        }
        panic!("it never comes to rest\n{}", self.scheduler.outline());
    }

    /// Panics where a row was left without the logits that it waits for.
    pub(crate) fn check_served(&self) {
        for (row, known) in &self.rows {
            assert!(
                known.wanted.is_empty(),
                "{row} waits for {:?}\n{}",
                known.wanted,
                self.scheduler.outline()
            );
        }
    }
}
