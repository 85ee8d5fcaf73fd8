use serde_json::json;
use trunkline_inference::{Constraint, Tool};

use super::*;

fn refusal(bench: &Bench, request: ChatRequest) -> InferenceError {
    bench.chat.generate(request).unwrap_err()
}

#[test]
fn what_cannot_be_served_is_the_request_s_fault_and_said_at_once() {
    let bench = Bench::new();
    let mut odd = ask("x", 1);
    odd.sampling.temperature = f32::NAN;
    let tool = |parameters| ChatRequest {
        tools: vec![Tool {
            name: "look".to_owned(),
            description: String::new(),
            parameters,
        }],
        ..ask("x", 1)
    };
    let form = |constraint| ChatRequest {
        constraint: Some(constraint),
        ..ask("x", 1)
    };
    let never = json!({ "type": "integer", "minimum": 2, "maximum": 1 });
    for request in [
        odd,
        tool(json!({ "properties": { "at": false }, "required": ["at"] })),
        ChatRequest {
            constraint: Some(Constraint::JsonObject),
            ..tool(json!({}))
        },
        ChatRequest {
            constraint: Some(Constraint::ToolCall(Some("listen".to_owned()))),
            ..tool(json!({}))
        },
        form(Constraint::ToolCall(None)),
        ask(&"word ".repeat(600), 1),
        form(Constraint::JsonSchema(never)),
        form(Constraint::Choice(Vec::new())),
    ] {
        let error = refusal(&bench, request);
        assert!(
            matches!(error, InferenceError::BadRequest { .. }),
            "{error}"
        );
        assert!(!error.is_retryable());
    }
    for options in [vec![], vec![" ".to_owned()]] {
        let request = ChoiceRequest {
            options,
            ..choice("x", None)
        };
        let error = bench.chat.choose(request).unwrap_err();
        assert!(
            matches!(error, InferenceError::BadRequest { .. }),
            "{error}"
        );
    }
}

#[test]
fn a_panic_answers_all_that_is_open_and_the_next_one_is_served() {
    let (bench, permit) = Bench::gated();
    let open: Vec<ChatStream> = (0..3)
        .map(|_| bench.chat.generate(ask("The cat", 50)).unwrap())
        .collect();
    let pending = bench.chat.choose(choice("The dog", None)).unwrap();
    for _ in 0..3 {
        permit.send(()).unwrap();
    }
    for _ in 0..3 {
        bench.steps.recv().unwrap();
    }
    bench.panic.store(true, Ordering::SeqCst);
    for _ in 0..40 {
        permit.send(()).unwrap();
    }
    for stream in open {
        let error = hear(stream).end.unwrap_err();
        assert!(error.is_retryable() && error.to_string().contains("a bug in the model"));
    }
    // It may have been decided before.
    if let Err(error) = pending.blocking_recv().unwrap() {
        assert!(error.is_retryable(), "{error}");
    }
    assert_eq!(bench.say(ask("The cat", 5)).end.unwrap().reply, 5);
}

#[test]
fn a_full_worker_refuses_and_a_shut_down_one_answers_all() {
    let (bench, permit) = Bench::gated();
    let running = bench.chat.generate(ask("The cat", 50)).unwrap();
    permit.send(()).unwrap();
    bench.steps.recv().unwrap();
    let mut open = vec![running];
    let refused = loop {
        match bench.chat.generate(ask("The dog", 50)) {
            Ok(stream) => open.push(stream),
            Err(error) => break error,
        }
        // The worker may have taken one load of orders before it stopped in its second step.
        assert!(open.len() <= 2 * MAX_ORDERS + 1);
    };
    assert!(matches!(refused, InferenceError::Overloaded { .. }));
    let Bench { chat, .. } = bench;
    drop(chat);
    drop(permit);
    for stream in open {
        let error = hear(stream).end.unwrap_err();
        assert!(error.is_retryable(), "{error}");
    }
}

#[test]
fn more_than_may_wait_is_refused_and_the_rest_is_served() {
    let (bench, permit) = Bench::gated();
    let first = bench.chat.generate(ask("The cat", 2)).unwrap();
    permit.send(()).unwrap();
    bench.steps.recv().unwrap();
    // All of these come in before two more steps are over; at each, eight rows may wait.
    let streams: Vec<ChatStream> = (0..100)
        .map(|_| bench.chat.generate(ask("The dog", 2)).unwrap())
        .collect();
    for _ in 0..200 {
        permit.send(()).unwrap();
    }
    assert!(hear(first).end.is_ok());
    let ends: Vec<_> = streams.into_iter().map(|stream| hear(stream).end).collect();
    let served = ends.iter().filter(|end| end.is_ok()).count();
    assert!((1..=16).contains(&served), "{served}");
    for end in ends.into_iter().filter_map(Result::err) {
        assert!(matches!(end, InferenceError::Overloaded { .. }), "{end}");
    }
}
