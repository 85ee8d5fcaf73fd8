//! Rows that share a step: each comes out as if it were alone.

use super::made::{LLAMA, LLAMA_3, MISTRAL, QWEN_2, QWEN_3, Shape};
use super::*;

const TOLERANCE: f32 = 1e-5;

/// A row of a test: how much of it is known, how much is new.
struct Case {
    tokens: Vec<u32>,
    known: usize,
    blocks: Vec<u32>,
}

fn case(seed: u32, known: usize, new: usize) -> Case {
    let tokens = (0..(known + new) as u32).map(|n| (n * 53 + seed * 97 + 7) % 256);
    Case {
        tokens: tokens.collect(),
        known,
        blocks: Vec::new(),
    }
}

/// Decoding rows, the beginning of a prompt, and its middle.
fn cases() -> Vec<Case> {
    let sizes = [
        (40, 1),
        (0, 70),
        (31, 1),
        (32, 1),
        (64, 33),
        (5, 3),
        (100, 1),
        (0, 1),
    ];
    let cases = sizes.iter().zip(0..);
    cases
        .map(|((known, new), seed)| case(seed, *known, *new))
        .collect()
}

/// Deals blocks out to the cases in turns, so that those of a row are not next to one another.
fn deal(cases: &mut [Case], block_tokens: usize) -> usize {
    let mut dealt = 0;
    for round in 0..8 {
        for case in &mut *cases {
            if round * block_tokens < case.tokens.len() {
                case.blocks.push(dealt);
                dealt += 1;
            }
        }
    }
    dealt as usize
}

fn rows<'a>(cases: &'a [Case], part: impl Fn(&Case) -> std::ops::Range<usize>) -> Vec<Row<'a>> {
    let cases = cases.iter();
    cases
        .map(|case| Row {
            tokens: &case.tokens[part(case)],
            start: part(case).start,
            blocks: &case.blocks,
            logits: usize::MAX,
        })
        .collect()
}

#[test]
fn a_row_among_others_is_the_row_alone() {
    let windowed = Shape {
        window: Some(24),
        ..MISTRAL
    };
    for shape in [LLAMA, LLAMA_3, QWEN_2, QWEN_3, MISTRAL, windowed] {
        // Packed weights do not even differ in the last bit.
        let held = [
            (ComputePlan::Dense, TOLERANCE, 32),
            (ComputePlan::Packed, 0.0, 16),
        ];
        for (plan, tolerance, block_tokens) in held {
            let network = made::load(shape, plan).network;
            let mut cases = cases();
            let blocks = deal(&mut cases, block_tokens);
            let mut pool = network.new_pool(blocks, block_tokens).unwrap();
            let known: Vec<Row<'_>> = rows(&cases, |case| 0..case.known);
            let known: Vec<_> = known
                .into_iter()
                .filter(|row| !row.tokens.is_empty())
                .collect();
            network.step(&mut pool, &known).unwrap();
            let new = rows(&cases, |case| case.known..case.tokens.len());
            let together = network.step(&mut pool, &new).unwrap();
            for (at, case) in cases.iter().enumerate() {
                let mut alone = Sequence::in_blocks_of(&network, block_tokens);
                if case.known > 0 {
                    alone.extend(&case.tokens[..case.known]);
                }
                let alone = alone.extend(&case.tokens[case.known..]);
                assert_eq!(together.of(at).len(), alone.len());
                for (found, expected) in together.of(at).zip(&alone) {
                    assert_close(found, expected, tolerance);
                    assert_eq!(likeliest(found), likeliest(expected));
                }
            }
        }
    }
}

#[test]
fn only_what_is_wanted_is_given() {
    let network = made::load(LLAMA, ComputePlan::Dense).network;
    let mut pool = network.new_pool(3, 32).unwrap();
    let tokens = [1, 2, 3];
    let row = |block: &'static [u32], logits| Row {
        tokens: &tokens,
        start: 0,
        blocks: block,
        logits,
    };
    let asked = [row(&[0], 3), row(&[1], 0), row(&[2], 1)];
    let mut logits = network.step(&mut pool, &asked).unwrap();
    assert_eq!([0, 1, 2, 3].map(|row| logits.of(row).len()), [3, 0, 1, 0]);
    let last = logits.of(0).last().unwrap().to_vec();
    assert_close(logits.of(2).next().unwrap(), &last, TOLERANCE);
    assert_eq!(logits.last_mut(2).unwrap().len(), last.len());
    assert!(logits.last_mut(1).is_none());
}

#[test]
fn rows_may_share_a_beginning_and_part_with_a_copied_block() {
    let network = made::load(QWEN_2, ComputePlan::Dense).network;
    let mut pool = network.new_pool(8, 16).unwrap();
    let common = case(1, 0, 40).tokens;
    let row = |tokens, start, blocks| Row {
        tokens,
        start,
        blocks,
        logits: usize::MAX,
    };
    network
        .step(&mut pool, &[row(&common, 0, &[7, 2, 5])])
        .unwrap();
    // The third block is half full: each continuation writes into a copy of its own.
    pool.copy_block(5, 0).unwrap();
    pool.copy_block(5, 1).unwrap();
    let (first, second, third) = ([3, 4], [5, 6, 7], [8]);
    let found = network
        .step(
            &mut pool,
            &[
                row(&first, 40, &[7, 2, 0]),
                row(&second, 40, &[7, 2, 1]),
                row(&third, 40, &[7, 2, 5]),
            ],
        )
        .unwrap();
    for (at, continuation) in [&first[..], &second, &third].into_iter().enumerate() {
        let direct = logits_of(&network, &[&common, continuation].concat());
        for (found, expected) in found.of(at).zip(&direct[common.len()..]) {
            assert_close(found, expected, TOLERANCE);
        }
    }
}

#[test]
fn rows_that_cannot_be_are_refused_before_anything_is_computed() {
    let network = made::load(LLAMA, ComputePlan::Dense).network;
    let mut pool = network.new_pool(2, 32).unwrap();
    let mut refusal = |tokens: &[u32], start, blocks: &[u32]| {
        let row = Row {
            tokens,
            start,
            blocks,
            logits: 1,
        };
        network.step(&mut pool, &[row]).unwrap_err()
    };
    let outside = refusal(&[1], 0, &[2]);
    assert!(matches!(
        outside,
        NnError::OutsidePool {
            block: 2,
            blocks: 2
        }
    ));
    let missing = refusal(&[1], 32, &[0]);
    assert!(matches!(
        missing,
        NnError::BlocksMissing {
            blocks: 1,
            needed: 2
        }
    ));
    assert!(matches!(
        refusal(&[], 0, &[0]),
        NnError::PromptTooLong { .. }
    ));
    assert!(matches!(
        refusal(&[1], 512, &[0]),
        NnError::PromptTooLong { .. }
    ));
    assert!(matches!(refusal(&[9_999], 0, &[0]), NnError::Tokenizer(_)));
    assert!(pool.copy_block(0, 2).is_err());
}
