use super::*;

#[test]
fn prefill_goes_by_class_then_deadline() {
    let mut scheduler = scheduler();
    let mut submit = |class, due, kind| {
        let request = Request {
            due: Due::at(ms(due)),
            ..of_class(class, &tokens(kind, 8))
        };
        scheduler.submit(ms(0), request).unwrap()
    };
    let background = submit(Class::Background, 10, 1);
    let late = submit(Class::TurnCritical, 300, 2);
    let early = submit(Class::TurnCritical, 200, 3);
    let speculative = submit(Class::Speculative, 20, 4);
    let ran: Vec<RowId> = step(&mut scheduler, ms(0))
        .into_iter()
        .map(|(row, _)| row)
        .collect();
    assert_eq!(ran, [early, late, speculative, background]);
}

#[test]
fn lower_classes_get_their_share_of_every_step() {
    let mut scheduler = scheduler();
    for kind in 0..10 {
        let urgent = request(&tokens(kind, 100));
        scheduler.submit(ms(0), urgent).unwrap();
    }
    let mut lower = Vec::new();
    for class in [Class::Playing, Class::Speculative, Class::Background] {
        for kind in [20, 40] {
            let kind = kind + class as u32;
            let row = scheduler.submit(ms(0), of_class(class, &tokens(kind, 100)));
            lower.push((class, row.unwrap()));
        }
    }
    for _ in 0..3 {
        let ran = step(&mut scheduler, ms(0));
        let tokens = |class: Class| -> usize {
            let of_class = ran.iter().filter(|(row, _)| lower.contains(&(class, *row)));
            of_class.map(|(_, positions)| positions.len()).sum()
        };
        // 20, 10 and 5 percent of 32.
        assert_eq!(tokens(Class::Playing), 6);
        assert_eq!(tokens(Class::Speculative), 3);
        assert_eq!(tokens(Class::Background), 1);
    }
}

#[test]
fn what_nobody_waits_for_does_not_make_a_step_long() {
    let mut scheduler = TokenScheduler::new(TokenSettings {
        speculative_tokens: 8,
        ..settings()
    })
    .unwrap();
    let prompts = [tokens(1, 30), tokens(2, 30)];
    let rows = prompts.map(|prompt| {
        let ahead = of_class(Class::Speculative, &prompt);
        scheduler.submit(ms(0), ahead).unwrap()
    });
    let [first, second] = rows;
    assert_eq!(step(&mut scheduler, ms(0)), [(first, 0..8)]);
    // The turn of the second one ends: it has a step for itself but for what the other is sure of.
    scheduler
        .promote(ms(0), second, Class::TurnCritical, Due::at(ms(50)))
        .unwrap();
    assert_eq!(
        step(&mut scheduler, ms(0)),
        [(second, 0..29), (first, 8..11)]
    );
}

/// Rows that decode, and steps of known time, so that the scheduler knows what a step takes.
fn talking(scheduler: &mut TokenScheduler, class: Class, rows: usize) -> Vec<RowId> {
    let rows: Vec<RowId> = (0..rows)
        .map(|kind| {
            let request = of_class(class, &tokens(100 + kind as u32, 5 + kind));
            scheduler.submit(ms(0), request).unwrap()
        })
        .collect();
    let mut now = ms(0);
    for _ in 0..6 {
        let plan = scheduler.plan(now).unwrap();
        // 1 ms and 1 ms for each token.
        now += ms(1 + plan.tokens().len() as u64);
        scheduler.complete(&plan, now).unwrap();
        for step in plan.steps().filter(|step| step.logits > 0) {
            scheduler.push(step.row, &[1], Logits::Last).unwrap();
        }
    }
    rows
}

#[test]
fn the_prefill_budget_shrinks_when_a_playing_row_is_about_to_starve() {
    let mut scheduler = scheduler();
    let rows = talking(&mut scheduler, Class::Playing, 5);
    let now = ms(1000);
    for row in &rows {
        let far = Due::at(now + ms(5000));
        scheduler.set_deadline(*row, far).unwrap();
    }
    let budget = |scheduler: &mut TokenScheduler| {
        let plan = scheduler.plan(now).unwrap();
        scheduler.abandon(&plan).unwrap();
        plan.prefill_budget()
    };
    assert_eq!(budget(&mut scheduler), 32);
    // 24 ms: 1 for the step, 5 for the decode rows, which leaves 18 tokens.
    let due = |at: u64, tokens| Due {
        at: now + ms(at),
        tokens,
    };
    scheduler.set_deadline(rows[3], due(24, 1)).unwrap();
    assert!((17..=18).contains(&budget(&mut scheduler)));
    // Three tokens by 72 ms is the same pace.
    scheduler.set_deadline(rows[3], due(72, 3)).unwrap();
    assert!((17..=18).contains(&budget(&mut scheduler)));
    // However late, prefill does not stop.
    scheduler.set_deadline(rows[3], due(0, 1)).unwrap();
    assert_eq!(budget(&mut scheduler), 4);
}

#[test]
fn more_decode_rows_than_places_take_turns_and_leave_room_for_prefill() {
    let few = TokenSettings {
        max_rows: 8,
        ..settings()
    };
    let mut scheduler = TokenScheduler::new(few).unwrap();
    let mut rows = Vec::new();
    for class in [Class::Playing, Class::Background] {
        rows.extend(talking(&mut scheduler, class, 8));
    }
    let long = scheduler
        .submit(ms(500), request(&tokens(50, 100)))
        .unwrap();
    let mut runs = vec![0; rows.len()];
    let mut now = ms(500);
    for _ in 0..6 {
        let plan = scheduler.plan(now).unwrap();
        assert_eq!(plan.rows().len(), 8);
        assert!(plan.rows()[0].row == long);
        now += ms(10);
        scheduler.complete(&plan, now).unwrap();
        for step in plan.steps().filter(|step| step.logits > 0) {
            let place = rows.iter().position(|row| *row == step.row).unwrap();
            runs[place] += 1;
            scheduler.push(step.row, &[1], Logits::Last).unwrap();
        }
        scheduler.retract(long, 0).unwrap();
        scheduler.extend(now, long, &tokens(51, 100)).unwrap();
    }
    // Six places of eight for the playing ones, one for background.
    assert!(
        runs[..8].iter().all(|count| (4..=5).contains(count)),
        "{runs:?}"
    );
    assert_eq!(runs[8..].iter().sum::<i32>(), 6);
    assert!(runs[8..].iter().all(|count| *count <= 1));
}

#[test]
fn when_too_much_waits_speculative_rows_make_room_for_urgent_ones() {
    let few = TokenSettings {
        max_waiting_rows: 3,
        ..settings()
    };
    let mut scheduler = TokenScheduler::new(few).unwrap();
    let mut submit = |class| scheduler.submit(ms(0), of_class(class, &tokens(1, 8)));
    let background = submit(Class::Background).unwrap();
    let older = submit(Class::Speculative).unwrap();
    let newer = submit(Class::Speculative).unwrap();
    let refused = submit(Class::Speculative).unwrap_err();
    assert!(
        matches!(refused, SchedulerError::Overloaded { retry_after } if !retry_after.is_zero())
    );
    for _ in 0..3 {
        submit(Class::TurnCritical).unwrap();
    }
    assert!(submit(Class::TurnCritical).is_err());
    let shed: Vec<_> = scheduler.take_shed();
    let order: Vec<RowId> = shed.iter().map(|shed| shed.row).collect();
    assert_eq!(order, [newer, older, background]);
    assert!(shed.iter().all(|shed| shed.reason == ShedReason::Displaced));
    let metrics = scheduler.metrics();
    assert_eq!(metrics.refused[Class::Speculative], 1);
    assert_eq!(metrics.shed[Class::Speculative], 2);
    assert_eq!(metrics.waiting_rows[Class::TurnCritical], 3);
}

#[test]
fn too_many_waiting_tokens_are_refused_like_too_many_rows() {
    let few = TokenSettings {
        max_waiting_tokens: 100,
        ..settings()
    };
    let mut scheduler = TokenScheduler::new(few).unwrap();
    scheduler.submit(ms(0), request(&tokens(1, 60))).unwrap();
    assert!(scheduler.submit(ms(0), request(&tokens(2, 60))).is_err());
    // What has begun does not wait.
    step(&mut scheduler, ms(0));
    scheduler.submit(ms(0), request(&tokens(2, 60))).unwrap();
    assert_eq!(scheduler.metrics().waiting_tokens, 60);
}

#[test]
fn a_thousand_requests_at_once_are_refused_without_growth() {
    let mut scheduler = scheduler();
    let mut admitted = 0;
    for _ in 0..1000 {
        admitted += usize::from(scheduler.submit(ms(0), request(&tokens(1, 8))).is_ok());
    }
    assert_eq!(admitted, settings().max_waiting_rows);
    assert_eq!(scheduler.metrics().live_rows, admitted);
}

#[test]
fn what_waited_in_vain_is_shed_with_the_reason() {
    let none = TokenSettings {
        max_rows: 8,
        ..settings()
    };
    let mut scheduler = TokenScheduler::new(none).unwrap();
    let speculative = of_class(Class::Speculative, &tokens(1, 8));
    let row = scheduler.submit(ms(0), speculative).unwrap();
    let urgent = scheduler.submit(ms(0), request(&tokens(2, 8))).unwrap();
    let plan = scheduler.plan(ms(2001)).unwrap();
    assert_eq!(plan.rows()[0].row, urgent);
    let shed = scheduler.take_shed();
    assert_eq!(
        (shed[0].row, shed[0].reason),
        (row, ShedReason::WaitedTooLong)
    );
    assert_eq!(shed[0].origin.call, call(0));
}

#[test]
fn a_far_deadline_pushes_a_row_back_no_longer_than_patience() {
    let mut scheduler = scheduler();
    let patient = Request {
        due: Due::at(ms(3_600_000)),
        ..request(&tokens(1, 8))
    };
    let patient = scheduler.submit(ms(0), patient).unwrap();
    let mut now = ms(0);
    for kind in 2..1000 {
        // Each step is full of rows that were due before they came.
        let overdue = Request {
            due: Due::at(ms(0)),
            ..request(&tokens(kind, 32))
        };
        scheduler.submit(now, overdue).unwrap();
        let ran = step(&mut scheduler, now);
        now += ms(10);
        for (row, _) in ran {
            scheduler.finish(row).unwrap();
            if row == patient {
                assert!((ms(2000)..ms(2020)).contains(&now), "{now:?}");
                return;
            }
        }
    }
    panic!("it starves");
}
