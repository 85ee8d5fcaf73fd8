use serde_json::{Value, json};
use trunkline_inference::Constraint;

use super::*;

const BEGINNING: &str = "Once upon a time, there was a little girl named Lily. She loved to play \
                         outside in the sun. One day, she saw a big red ball in the park.";

#[test]
fn a_reply_streams_and_ends_with_its_figures() {
    let bench = Bench::new();
    let said = bench.say(ask(BEGINNING, 12));
    let end = said.end.unwrap();
    assert_eq!(
        (end.finish, end.reply, end.cached),
        (FinishReason::Length, 12, 0)
    );
    assert!(end.prompt > 30 && said.deltas.len() > 6);
    let whole = bench.say(ask(BEGINNING, 400));
    assert!(whole.text.starts_with(&said.text));
    let end = whole.end.unwrap();
    // The context ends before 400 tokens, if the story does not.
    assert!(end.prompt + end.reply <= bench.chat.model.context());
    assert!(end.cached > 0 && end.cached.is_multiple_of(BLOCK_TOKENS));
}

#[test]
fn the_text_ends_before_a_stop_string() {
    let bench = Bench::new();
    let whole = bench.say(ask(BEGINNING, 60)).text;
    let stop = whole.split_whitespace().nth(6).unwrap().to_owned();
    let said = bench.say(ChatRequest {
        stop: vec![stop.clone()],
        ..ask(BEGINNING, 60)
    });
    assert_eq!(said.text, whole[..whole.find(&stop).unwrap()]);
    assert_eq!(said.end.unwrap().finish, FinishReason::Stop);
}

#[test]
fn dropping_the_stream_frees_its_row_before_the_next_step() {
    let (bench, permit) = Bench::gated();
    let stream = bench.chat.generate(ask(BEGINNING, 100)).unwrap();
    for _ in 0..3 {
        permit.send(()).unwrap();
    }
    for _ in 0..2 {
        bench.steps.recv().unwrap();
    }
    drop(stream);
    let other = bench.chat.generate(ask("The cat", 5)).unwrap();
    // The step that was under way when the stream was dropped may still have its row.
    for _ in 0..20 {
        permit.send(()).unwrap();
    }
    let said = hear(other);
    assert_eq!(said.end.unwrap().reply, 5);
    let steps: Vec<Vec<usize>> = bench.steps.try_iter().collect();
    let others = steps.iter().filter(|rows| rows.len() != 1).count();
    assert!(others <= 1, "{steps:?}");
    assert!(steps.len() <= 7, "{steps:?}");
}

#[test]
fn rows_of_many_calls_share_a_step() {
    let (bench, permit) = Bench::gated();
    let streams: Vec<ChatStream> = (0..6)
        .map(|n| {
            bench
                .chat
                .generate(ask(&format!("{n} {BEGINNING}"), 4))
                .unwrap()
        })
        .collect();
    for _ in 0..40 {
        permit.send(()).unwrap();
    }
    for stream in streams {
        assert_eq!(hear(stream).end.unwrap().reply, 4);
    }
    let steps: Vec<Vec<usize>> = bench.steps.try_iter().collect();
    assert!(steps.iter().any(|rows| *rows == [1; 6]), "{steps:?}");
}

#[test]
fn a_choice_is_what_saying_each_option_would_have_scored() {
    let bench = Bench::new();
    let model = &bench.chat.model;
    let score = |said: &str, option: &str| -> f32 {
        let prompt = encode::prompt(model, &[ChatMessage::user(said)], 9).unwrap();
        let reply = model.reply(option).unwrap();
        let mut pool = model.new_pool(16, BLOCK_TOKENS).unwrap();
        let tokens = [prompt, reply.clone()].concat();
        let row = Row {
            tokens: &tokens,
            start: 0,
            blocks: &[3, 1, 4, 15, 9, 2, 6, 5],
            logits: reply.len() + 1,
        };
        let logits = model.step(&mut pool, &[row]).unwrap();
        let lines = logits.of(0).zip(&reply);
        lines
            .map(|(line, token)| trunkline_nn::llama::log_prob_of(line, *token))
            .sum()
    };
    for neutral in [None, Some("Once upon a time,")] {
        let request = choice(BEGINNING, neutral);
        let weights = request.options.iter().map(|option| {
            let general = neutral.map_or(0.0, |neutral| score(neutral, option));
            (score(BEGINNING, option) - general).exp()
        });
        let weights: Vec<f32> = weights.collect();
        let total: f32 = weights.iter().sum();
        let found = chosen(bench.chat.choose(request).unwrap());
        assert!((found.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        for (found, weight) in found.probabilities.iter().zip(&weights) {
            assert!(
                (found - weight / total).abs() < 1e-3,
                "{found}, {}",
                weight / total
            );
        }
        let top = found.probabilities[found.best];
        assert!(found.probabilities.iter().all(|share| *share <= top));
    }
}

fn near(a: &trunkline_inference::ChoiceResult, b: &trunkline_inference::ChoiceResult) {
    for (a, b) in a.probabilities.iter().zip(&b.probabilities) {
        assert!((a - b).abs() < 1e-4, "{a}, {b}");
    }
}

#[test]
fn neutral_scores_are_computed_once_and_may_be_computed_ahead() {
    let bench = Bench::new();
    let request = || choice(BEGINNING, Some("Once upon a time,"));
    let tokens = || bench.steps.try_iter().flatten().sum::<usize>();
    let cold = chosen(bench.chat.choose(request()).unwrap());
    let first = tokens();
    let warm = chosen(bench.chat.choose(request()).unwrap());
    let second = tokens();
    near(&cold, &warm);
    assert!(second < first, "{second} tokens after {first}");
    let other = Bench::new();
    let neutral = request().neutral.unwrap();
    other.chat.warm_up_choice(&neutral, &request().options);
    let chosen = chosen(other.chat.choose(request()).unwrap());
    near(&chosen, &cold);
}

#[test]
fn a_warmed_up_beginning_is_known_and_stays() {
    let bench = Bench::new();
    let system = ChatMessage::system(BEGINNING);
    bench.chat.warm_up(std::slice::from_ref(&system));
    // It is one step, which is over when the next one begins.
    bench.steps.recv().unwrap();
    for n in 0..3 {
        let request = ChatRequest {
            messages: vec![system.clone(), ChatMessage::user(format!("{n} more"))],
            max_tokens: 2,
            ..ChatRequest::default()
        };
        let end = bench.say(request).end.unwrap();
        assert!(end.cached >= BLOCK_TOKENS, "{end:?}");
    }
}

#[test]
fn what_is_expected_is_computed_before_it_is_asked() {
    let (bench, permit) = Bench::gated();
    let (first, _) = BEGINNING.split_at(90);
    let mut ahead = bench.chat.anticipate();
    ahead.expect(&[ChatMessage::user(first)]);
    // A partial transcript that will turn out otherwise, and its correction.
    ahead.expect(&[ChatMessage::user(format!("{first} dog and the cat and"))]);
    ahead.expect(&[ChatMessage::user(BEGINNING)]);
    for _ in 0..60 {
        permit.send(()).unwrap();
    }
    let mut computed = 0;
    let length = bench
        .chat
        .model
        .prompt(&encode::to_messages(&[ChatMessage::user(BEGINNING)]));
    let length = length.unwrap().len();
    while computed < length {
        computed += bench.steps.recv().unwrap().iter().sum::<usize>();
    }
    drop(ahead);
    let said = bench.say(ask(BEGINNING, 8));
    let end = said.end.unwrap();
    assert!(end.cached + BLOCK_TOKENS >= end.prompt - 1, "{end:?}");
    let cold = Bench::new().say(ask(BEGINNING, 8));
    assert_eq!((cold.text, cold.end.unwrap().cached), (said.text, 0));
}

/// Expects `texts` one after the other, each computed before the next.
fn foretell(bench: &Bench, texts: &[String]) -> Box<dyn trunkline_inference::Anticipation> {
    let mut ahead = bench.chat.anticipate();
    let mut known: Vec<u32> = Vec::new();
    // Of what was asked before.
    let _ = bench.steps.try_iter().count();
    for text in texts {
        let messages = [ChatMessage::user(text.as_str())];
        let prompt = bench
            .chat
            .model
            .open_prompt(&encode::to_messages(&messages));
        let prompt = prompt.unwrap();
        let shared = prompt.iter().zip(&known).take_while(|(a, b)| a == b);
        let mut missing = prompt.len() - shared.count();
        ahead.expect(&messages);
        while missing > 0 {
            missing -= bench.steps.recv().unwrap().iter().sum::<usize>();
        }
        known = prompt;
    }
    ahead
}

#[test]
fn a_request_goes_on_where_the_conversation_has_come_to() {
    let cold = Bench::new().say(ask(BEGINNING, 8));
    let bench = Bench::new();
    let (heard, _) = BEGINNING.split_at(BEGINNING.len() - 4);
    let misheard = format!("{} dog and a cat.", &BEGINNING[..90]);
    let ahead = foretell(&bench, &[misheard, heard.to_owned()]);
    let stream = bench.chat.generate(ask(BEGINNING, 8)).unwrap();
    let account = ahead.end().unwrap().blocking_recv().unwrap();
    let said = hear(stream);
    let end = said.end.unwrap();
    // Not only whole blocks: all but the last word and what follows it.
    assert!(end.prompt - end.cached <= 6, "{end:?}");
    assert_eq!(said.text, cold.text);
    assert_eq!(account.used, end.cached);
    assert!(account.computed > account.used, "{account:?}");
    // The same again, from the cache.
    let again = bench.say(ask(BEGINNING, 8));
    assert_eq!(again.text, cold.text);
}

#[test]
fn a_choice_goes_on_where_the_conversation_has_come_to() {
    let request = || choice(BEGINNING, Some("Once upon a time,"));
    let cold = chosen(Bench::new().chat.choose(request()).unwrap());
    let bench = Bench::new();
    let ahead = foretell(&bench, &[BEGINNING.to_owned()]);
    let pending = bench.chat.choose(request()).unwrap();
    let account = ahead.end().unwrap().blocking_recv().unwrap();
    near(&chosen(pending), &cold);
    assert_eq!(account.used, account.computed);
}

#[test]
fn what_was_expected_in_vain_is_told_and_changes_nothing() {
    let bench = Bench::new();
    let ahead = foretell(&bench, &["The cat sat on the mat and".to_owned()]);
    let stream = bench.chat.generate(ask(BEGINNING, 8)).unwrap();
    let account = ahead.end().unwrap().blocking_recv().unwrap();
    assert!(account.computed > 5 && account.used == 0, "{account:?}");
    let cold = Bench::new().say(ask(BEGINNING, 8));
    assert_eq!(hear(stream).text, cold.text);
    // A turn that comes to nothing.
    drop(foretell(&bench, &["Tom and Lily".to_owned()]));
    assert!(bench.say(ask("Tom and", 3)).end.is_ok());
}

#[test]
fn a_reply_has_the_form_that_was_asked_for() {
    let bench = Bench::new();
    let schema = json!({
        "type": "object",
        "properties": { "toy": { "enum": ["ball", "doll"] }, "red": { "type": "boolean" } },
        "required": ["toy", "red"],
        "additionalProperties": false
    });
    let asked = |constraint| ChatRequest {
        constraint: Some(constraint),
        ..ask(BEGINNING, 200)
    };
    let said = bench.say(asked(Constraint::JsonSchema(schema)));
    let value: Value = serde_json::from_str(&said.text).unwrap();
    assert!(value["red"].is_boolean(), "{}", said.text);
    assert_eq!(said.end.unwrap().finish, FinishReason::Stop);
    let texts = ["in the garden", "at home"].map(str::to_owned).to_vec();
    let said = bench.say(asked(Constraint::Choice(texts.clone())));
    assert!(texts.contains(&said.text), "{}", said.text);
}

#[test]
fn log_probabilities_are_those_of_the_tokens_said() {
    let bench = Bench::new();
    let said = bench.say(ChatRequest {
        logprobs: Some(3),
        ..ask(BEGINNING, 10)
    });
    let mut figures = Vec::new();
    for delta in &said.deltas {
        if let ChatDelta::LogProbs(more) = delta {
            figures.extend(more.clone());
        }
    }
    assert_eq!(figures.len(), 10);
    let bytes: Vec<u8> = figures
        .iter()
        .flat_map(|one| one.token.bytes.clone())
        .collect();
    assert_eq!(String::from_utf8(bytes).unwrap().trim(), said.text.trim());
    for one in &figures {
        // Greedy: what is said is the likeliest.
        assert_eq!(one.token, one.top[0]);
        assert!(
            one.top
                .windows(2)
                .all(|two| two[0].log_prob >= two[1].log_prob)
        );
        assert!(one.top.iter().map(|top| top.log_prob.exp()).sum::<f32>() <= 1.0 + 1e-5);
    }
}
