use super::*;

fn pinned(salt: u64, prompt: &[Token], prefix: usize) -> Request {
    Request {
        pinned_prefix: prefix,
        cache: Some(Salt(salt)),
        ..request(prompt)
    }
}

/// A prompt of a common beginning and its own end.
fn prompt(common: usize, own: u32) -> Vec<Token> {
    let mut prompt = tokens(1, common);
    prompt.extend(tokens(own, 3));
    prompt
}

#[test]
fn a_prefix_is_computed_once_and_then_shared() {
    let mut scheduler = scheduler();
    let first = scheduler.submit(ms(0), request(&prompt(20, 2))).unwrap();
    step(&mut scheduler, ms(0));
    scheduler.finish(first).unwrap();
    let second = scheduler.submit(ms(0), request(&prompt(20, 3))).unwrap();
    assert_eq!(step(&mut scheduler, ms(0)), [(second, 20..23)]);
    assert_eq!(scheduler.metrics().cache_hit_tokens, 20);
}

#[test]
fn rows_that_come_together_compute_their_common_prefix_once() {
    let mut scheduler = scheduler();
    let rows: Vec<RowId> = (2..6)
        .map(|own| scheduler.submit(ms(0), request(&prompt(20, own))).unwrap())
        .collect();
    assert_eq!(step(&mut scheduler, ms(0)), [(rows[0], 0..23)]);
    let ran = step(&mut scheduler, ms(0));
    assert_eq!(ran, [1, 2, 3].map(|n| (rows[n], 20..23)));
}

#[test]
fn another_salt_or_none_shares_nothing() {
    let mut scheduler = scheduler();
    scheduler
        .submit(ms(0), pinned(0, &prompt(20, 2), 0))
        .unwrap();
    step(&mut scheduler, ms(0));
    let other = scheduler
        .submit(ms(0), pinned(1, &prompt(20, 2), 0))
        .unwrap();
    assert_eq!(step(&mut scheduler, ms(0)), [(other, 0..23)]);
    let without = Request {
        cache: None,
        ..request(&prompt(20, 2))
    };
    let without = scheduler.submit(ms(0), without).unwrap();
    assert_eq!(step(&mut scheduler, ms(0)), [(without, 0..23)]);
}

#[test]
fn a_pinned_prefix_outlives_the_pressure_that_evicts_others() {
    let mut scheduler = scheduler();
    for (salt, prefix) in [(0, 16), (1, 0)] {
        let row = scheduler.submit(ms(0), pinned(salt, &prompt(16, 2), prefix));
        step(&mut scheduler, ms(0));
        scheduler.finish(row.unwrap()).unwrap();
    }
    assert_eq!(scheduler.metrics().blocks_pinned, 4);
    for n in 10..20 {
        let row = scheduler.submit(ms(0), request(&tokens(n, 100))).unwrap();
        run_to_first_token(&mut scheduler, row);
        scheduler.finish(row).unwrap();
    }
    let row = scheduler
        .submit(ms(0), pinned(0, &prompt(16, 3), 16))
        .unwrap();
    assert_eq!(step(&mut scheduler, ms(0)), [(row, 16..19)]);
    let row = scheduler
        .submit(ms(0), pinned(1, &prompt(16, 3), 0))
        .unwrap();
    assert_eq!(step(&mut scheduler, ms(0)), [(row, 0..19)]);
}

#[test]
fn pins_beyond_the_limit_loosen_the_one_used_longest_ago() {
    let mut scheduler = scheduler();
    // Room for two of four blocks.
    for kind in [1, 2, 1, 3] {
        let row = scheduler.submit(ms(0), pinned(0, &tokens(kind, 17), 16));
        step(&mut scheduler, ms(0));
        scheduler.finish(row.unwrap()).unwrap();
    }
    assert_eq!(scheduler.metrics().blocks_pinned, 8);
    assert_eq!(scheduler.unpin(Salt(0)), 2);
    let metrics = scheduler.metrics();
    assert_eq!((metrics.blocks_pinned, metrics.blocks_used), (0, 0));
}

#[test]
fn out_of_blocks_speculative_rows_are_shed_before_anyone_is_preempted() {
    let mut scheduler = scheduler();
    let rows: Vec<RowId> = [Class::Background, Class::Speculative]
        .into_iter()
        .zip([1, 2])
        .map(|(class, kind)| {
            let row = scheduler.submit(ms(0), of_class(class, &tokens(kind, 100)));
            let row = row.unwrap();
            run_to_first_token(&mut scheduler, row);
            row
        })
        .collect();
    let urgent = scheduler.submit(ms(0), request(&tokens(3, 100))).unwrap();
    run_to_first_token(&mut scheduler, urgent);
    let shed = scheduler.take_shed();
    assert_eq!(shed[0].row, rows[1]);
    assert_eq!(shed[0].reason, ShedReason::OutOfBlocks);
    assert!(!scheduler.is_current(rows[1]));
    // 100 tokens were computed for nothing.
    assert!(scheduler.metrics().wasted_speculative_tokens >= 100);
    // Of the three rows of 26 blocks, two fit in 64.
    assert!(scheduler.is_current(rows[0]));
    assert_eq!(scheduler.metrics().preempted, 0);
}

#[test]
fn the_latest_arrival_is_preempted_and_computed_again() {
    let mut scheduler = scheduler();
    let rows: Vec<RowId> = (1..4)
        .map(|kind| {
            let playing = of_class(Class::Playing, &tokens(kind, 60));
            let row = scheduler.submit(ms(0), playing).unwrap();
            run_to_first_token(&mut scheduler, row);
            row
        })
        .collect();
    assert_eq!(scheduler.metrics().preempted, 0);
    let urgent = scheduler.submit(ms(0), request(&tokens(9, 100))).unwrap();
    run_to_first_token(&mut scheduler, urgent);
    assert_eq!(scheduler.metrics().preempted, 1);
    let positions = |row: RowId| scheduler.row(row).unwrap().computed;
    assert_eq!(positions(rows[2]), 0);
    assert!(positions(rows[0]) > 0 && positions(rows[1]) > 0);
    // Once there is room it goes on where it was, with the same tokens.
    scheduler.finish(urgent).unwrap();
    run_to_first_token(&mut scheduler, rows[2]);
    let (prompt, answer) = scheduler.tokens(rows[2]).unwrap().split_at(60);
    assert_eq!(prompt, tokens(3, 60));
    assert!(answer.len() > 1 && answer.iter().all(|token| *token == 99));
}

#[test]
fn a_parent_with_nothing_to_do_gives_its_blocks_to_children_that_have() {
    let small = TokenSettings {
        blocks: 9,
        max_pinned_blocks: 0,
        max_row_tokens: 36,
        ..settings()
    };
    let mut scheduler = TokenScheduler::new(small).unwrap();
    let parent = scheduler.submit(ms(0), request(&tokens(1, 18))).unwrap();
    step(&mut scheduler, ms(0));
    let child = scheduler.fork(parent).unwrap();
    scheduler.push(child, &[5], Logits::Last).unwrap();
    // The child's 9 blocks are all there are, and its parent has one of its own.
    for _ in 0..15 {
        run_to_first_token(&mut scheduler, child);
    }
    scheduler.check();
    assert_eq!(scheduler.metrics().preempted, 1);
    assert_eq!(scheduler.tokens(child).unwrap().len(), 34);
    assert!(scheduler.is_current(parent));
}
