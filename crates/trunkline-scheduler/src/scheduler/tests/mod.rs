//! What a caller relies on, one behaviour at a time.

mod classes;
mod memory;
mod rows;

use std::time::Duration;

use crate::tests::{call, ms, request};
use crate::*;

/// Blocks of 4 tokens, and room for all.
fn settings() -> TokenSettings {
    TokenSettings {
        block_tokens: 4,
        blocks: 64,
        max_pinned_blocks: 8,
        max_row_tokens: 128,
        max_rows: 16,
        prefill_tokens: 32,
        min_prefill_tokens: 4,
        max_decode_tokens: 8,
        fair_lead_tokens: 1000,
        ..TokenSettings::default()
    }
}

fn scheduler() -> TokenScheduler {
    TokenScheduler::new(settings()).unwrap()
}

/// `len` tokens that no other `kind` begins with.
fn tokens(kind: u32, len: usize) -> Vec<Token> {
    (0..len).map(|n| kind * 1000 + n as u32).collect()
}

fn of_class(class: Class, prompt: &[Token]) -> Request {
    Request {
        class,
        ..request(prompt)
    }
}

/// Runs one step and returns who ran which positions.
fn step(scheduler: &mut TokenScheduler, now: Duration) -> Vec<(RowId, std::ops::Range<usize>)> {
    let plan = scheduler.plan(now).unwrap();
    scheduler.complete(&plan, now).unwrap();
    let steps = plan.steps();
    steps
        .map(|step| (step.row, step.start..step.start + step.tokens.len()))
        .collect()
}

/// Runs steps until a row has been given logits. Whoever gets some takes one token.
fn run_to_first_token(scheduler: &mut TokenScheduler, row: RowId) {
    for _ in 0..100 {
        let plan = scheduler.plan(Duration::ZERO).unwrap();
        scheduler.complete(&plan, Duration::ZERO).unwrap();
        let mut done = false;
        for step in plan.steps().filter(|step| step.logits > 0) {
            scheduler.push(step.row, &[99], Logits::Last).unwrap();
            done |= step.row == row;
        }
        if done {
            return;
        }
    }
    panic!("{row} never got its logits");
}
