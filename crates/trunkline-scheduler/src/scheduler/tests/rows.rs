use super::*;

#[test]
fn a_long_prompt_is_prefilled_in_chunks_and_its_last_token_gives_logits() {
    let mut scheduler = scheduler();
    let row = scheduler.submit(ms(0), request(&tokens(1, 70))).unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let plan = scheduler.plan(ms(0)).unwrap();
        for step in plan.steps() {
            assert_eq!(step.row, row);
            seen.push((step.start, step.tokens.len(), step.logits));
        }
        scheduler.complete(&plan, ms(0)).unwrap();
    }
    assert_eq!(seen, [(0, 32, 0), (32, 32, 0), (64, 6, 1)]);
    assert!(scheduler.plan(ms(0)).unwrap().is_empty());
}

#[test]
fn decode_rows_run_one_token_each_beside_a_full_prefill_budget() {
    let mut scheduler = scheduler();
    let talking: Vec<RowId> = (0..5)
        .map(|n| {
            let row = scheduler.submit(ms(0), request(&tokens(n, 5))).unwrap();
            run_to_first_token(&mut scheduler, row);
            row
        })
        .collect();
    let long = scheduler.submit(ms(0), request(&tokens(9, 100))).unwrap();
    let ran = step(&mut scheduler, ms(0));
    assert_eq!(ran.len(), 6);
    let decoded = ran
        .iter()
        .filter(|(row, positions)| talking.contains(row) && positions.len() == 1);
    assert_eq!(decoded.count(), 5);
    assert!(ran.contains(&(long, 0..32)));
}

#[test]
fn scoring_reads_the_logits_of_all_forced_tokens() {
    let mut scheduler = scheduler();
    let row = scheduler.submit(ms(0), request(&tokens(1, 6))).unwrap();
    step(&mut scheduler, ms(0));
    let choices = [scheduler.fork(row).unwrap(), scheduler.fork(row).unwrap()];
    for choice in choices {
        let left = scheduler.push(choice, &[1, 2, 3], Logits::All).unwrap();
        assert_eq!(left, 13);
    }
    let plan = scheduler.plan(ms(0)).unwrap();
    for step in plan.steps() {
        assert_eq!((step.start, step.tokens.len(), step.logits), (6, 3, 3));
    }
    // Prompt blocks are shared; the partial one is copied for whom it is not the last owner's.
    let tables: Vec<_> = plan.steps().map(|step| step.blocks.to_vec()).collect();
    assert_eq!(tables.len(), 2);
    assert_eq!(tables[0][0], tables[1][0]);
    assert_ne!(tables[0][1], tables[1][1]);
    assert_eq!(plan.copies().len(), 2);
}

#[test]
fn an_open_prompt_is_prefilled_without_logits_until_it_is_closed() {
    let mut scheduler = scheduler();
    let open = Request {
        logits: Logits::None,
        class: Class::Speculative,
        ..request(&tokens(1, 10))
    };
    let row = scheduler.submit(ms(0), open).unwrap();
    let plan = scheduler.plan(ms(0)).unwrap();
    assert_eq!(plan.steps().next().unwrap().logits, 0);
    scheduler.complete(&plan, ms(0)).unwrap();
    // The partial transcript changes: the last four tokens were other words.
    scheduler.retract(row, 6).unwrap();
    scheduler.extend(ms(1), row, &[501, 502]).unwrap();
    assert_eq!(step(&mut scheduler, ms(1)), [(row, 6..8)]);
    assert_eq!(scheduler.metrics().wasted_speculative_tokens, 4);
    // The turn ends: only the header of the answer is left to run.
    scheduler.extend(ms(2), row, &[600]).unwrap();
    scheduler
        .promote(ms(2), row, Class::TurnCritical, Due::at(ms(100)))
        .unwrap();
    scheduler.close_prompt(ms(2), row).unwrap();
    let plan = scheduler.plan(ms(2)).unwrap();
    let step = plan.steps().next().unwrap();
    assert_eq!((step.start, step.tokens, step.logits), (8, &[600][..], 1));
}

#[test]
fn an_open_prompt_becomes_a_request_with_tokens_to_follow() {
    let mut scheduler = scheduler();
    let open = Request {
        logits: Logits::None,
        class: Class::Speculative,
        max_new_tokens: 0,
        ..request(&tokens(1, 10))
    };
    let row = scheduler.submit(ms(0), open).unwrap();
    step(&mut scheduler, ms(0));
    let too_long = scheduler.allow(row, 119);
    assert!(matches!(too_long, Err(SchedulerError::TooLong { .. })));
    scheduler.allow(row, 2).unwrap();
    scheduler.close_prompt(ms(1), row).unwrap();
    assert_eq!(scheduler.push(row, &[7], Logits::Last).unwrap(), 1);
    assert_eq!(scheduler.push(row, &[8], Logits::Last).unwrap(), 0);
    assert_eq!(
        scheduler.allow(row, 3),
        Err(SchedulerError::PromptClosed(row))
    );
}

#[test]
fn a_prompt_that_was_all_computed_when_it_closes_runs_its_last_token_again() {
    let mut scheduler = scheduler();
    let open = Request {
        logits: Logits::None,
        ..request(&tokens(1, 9))
    };
    let row = scheduler.submit(ms(0), open).unwrap();
    step(&mut scheduler, ms(0));
    scheduler.close_prompt(ms(0), row).unwrap();
    let plan = scheduler.plan(ms(0)).unwrap();
    let step = plan.steps().next().unwrap();
    assert_eq!((step.start, step.tokens.len(), step.logits), (8, 1, 1));
}

#[test]
fn barge_in_keeps_what_was_spoken() {
    let mut scheduler = scheduler();
    let row = scheduler.submit(ms(0), request(&tokens(1, 8))).unwrap();
    for _ in 0..6 {
        run_to_first_token(&mut scheduler, row);
    }
    // Two of the six tokens were heard.
    scheduler.retract(row, 10).unwrap();
    scheduler.extend(ms(0), row, &tokens(2, 3)).unwrap();
    scheduler.close_prompt(ms(0), row).unwrap();
    assert_eq!(step(&mut scheduler, ms(0)), [(row, 10..13)]);
    assert_eq!(scheduler.push(row, &[1], Logits::Last), Ok(15));
}

#[test]
fn cancel_in_flight_takes_effect_at_the_next_step_and_frees_blocks_after_this_one() {
    let mut scheduler = scheduler();
    let row = scheduler.submit(ms(0), request(&tokens(1, 8))).unwrap();
    let plan = scheduler.plan(ms(0)).unwrap();
    assert_eq!(scheduler.cancel_call(call(0), Epoch(0)), [row]);
    assert!(!scheduler.is_current(row));
    assert_eq!(scheduler.metrics().blocks_used, 2);
    assert_eq!(scheduler.complete(&plan, ms(0)), Ok(vec![row]));
    assert_eq!(scheduler.metrics().blocks_used, 0);
    assert!(scheduler.plan(ms(0)).unwrap().is_empty());
}

#[test]
fn cancel_reaches_earlier_epochs_and_no_later_one_nor_another_call() {
    let mut scheduler = scheduler();
    let mut submit = |number, epoch| {
        let mut request = request(&tokens(1, 4));
        request.origin.call = call(number);
        request.origin.epoch = Epoch(epoch);
        scheduler.submit(ms(0), request).unwrap()
    };
    let rows = [submit(1, 0), submit(1, 1), submit(1, 2), submit(2, 0)];
    assert_eq!(scheduler.cancel_call(call(1), Epoch(1)), rows[..2]);
    assert!(scheduler.is_current(rows[2]) && scheduler.is_current(rows[3]));
}

#[test]
fn a_failed_step_is_run_again() {
    let mut scheduler = scheduler();
    let row = scheduler.submit(ms(0), request(&tokens(1, 8))).unwrap();
    let plan = scheduler.plan(ms(0)).unwrap();
    scheduler.abandon(&plan).unwrap();
    assert_eq!(
        scheduler.complete(&plan, ms(0)),
        Err(SchedulerError::NotInFlight(0))
    );
    assert_eq!(step(&mut scheduler, ms(0)), [(row, 0..8)]);
}

#[test]
fn tokens_beyond_the_limit_and_operations_in_the_wrong_state_are_typed_errors() {
    let mut scheduler = scheduler();
    let submit =
        |scheduler: &mut TokenScheduler, len| scheduler.submit(ms(0), request(&tokens(1, len)));
    let too_long = SchedulerError::TooLong {
        tokens: 129,
        limit: 128,
    };
    assert_eq!(submit(&mut scheduler, 113), Err(too_long));
    assert_eq!(submit(&mut scheduler, 0), Err(SchedulerError::EmptyPrompt));
    let row = submit(&mut scheduler, 8).unwrap();
    let closed = Err(SchedulerError::PromptClosed(row));
    assert_eq!(scheduler.extend(ms(0), row, &[1]), closed);
    assert_eq!(
        scheduler.push(row, &[1; 17], Logits::Last),
        Err(SchedulerError::TooLong {
            tokens: 25,
            limit: 24
        })
    );
    assert_eq!(
        scheduler.retract(row, 9),
        Err(SchedulerError::BeyondEnd { to: 9, len: 8 })
    );
    scheduler.retract(row, 3).unwrap();
    let open = Err(SchedulerError::PromptOpen(row));
    assert_eq!(scheduler.push(row, &[1], Logits::Last), open);
    scheduler.finish(row).unwrap();
    let unknown = Err(SchedulerError::UnknownRow(row));
    assert_eq!(scheduler.finish(row), unknown);
    let reused = submit(&mut scheduler, 8).unwrap();
    assert_eq!(reused.index(), row.index());
    assert_eq!(scheduler.cancel(row), unknown);
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let no_room = TokenSettings {
        max_row_tokens: 256,
        ..settings()
    };
    assert!(matches!(
        TokenScheduler::new(no_room),
        Err(SchedulerError::Settings(rule)) if rule.contains("longest row")
    ));
}
