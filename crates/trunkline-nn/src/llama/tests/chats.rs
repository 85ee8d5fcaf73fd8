//! Conversations: prefixes kept, replies streamed, options scored.

use super::made::{LLAMA, QWEN_2};
use super::*;

fn chat(kept: usize) -> Chat {
    Chat::new(Arc::new(made::load(LLAMA, ComputePlan::Dense)), kept).unwrap()
}

fn user(content: &str) -> Message {
    Message {
        role: Role::User,
        content: content.to_owned(),
    }
}

fn options(max_tokens: usize) -> GenerateOptions {
    GenerateOptions {
        max_tokens,
        ..GenerateOptions::default()
    }
}

fn finish(mut reply: Reply<'_>) -> (String, Usage) {
    let mut text = String::new();
    loop {
        match reply.step().unwrap() {
            Step::Quiet => {}
            Step::Text(more) => text.push_str(&more),
            Step::Done(usage) => return (text, usage),
        }
    }
}

fn say(chat: &mut Chat, messages: &[Message], options: &GenerateOptions) -> (String, Usage) {
    finish(chat.generate(messages, options).unwrap())
}

#[test]
fn a_known_beginning_is_not_computed_again_and_changes_nothing() {
    let mut chat = chat(4);
    let first = [user("hello there, who are you and what do you do")];
    let (text, usage) = say(&mut chat, &first, &options(12));
    assert_eq!(usage.cached_tokens, 0);
    let again = say(&mut chat, &first, &options(12));
    assert_eq!(again.0, text);
    assert_eq!(again.1.cached_tokens, usage.prompt_tokens - 1);
    let second = [first[0].clone(), user("go on")];
    let warm = say(&mut chat, &second, &options(12));
    assert!(warm.1.cached_tokens > 40);
    let cold = say(&mut self::chat(1), &second, &options(12));
    assert_eq!(warm.0, cold.0);
}

#[test]
fn conversations_that_part_keep_what_is_theirs() {
    let mut chat = chat(3);
    let shared = "one beginning that both of these conversations have, long enough to keep";
    let a = [user(shared), user("the first goes here with its own words")];
    let b = [
        user(shared),
        user("and the other goes there with other words"),
    ];
    let cold: Vec<String> = [&a, &b]
        .iter()
        .map(|messages| say(&mut self::chat(1), &messages[..], &options(6)).0)
        .collect();
    say(&mut chat, &a, &options(6));
    let (_, usage) = say(&mut chat, &b, &options(6));
    assert!(usage.cached_tokens > shared.len());
    for (messages, cold) in [&a, &b].iter().zip(&cold) {
        let (text, usage) = say(&mut chat, &messages[..], &options(6));
        assert_eq!(&text, cold);
        assert_eq!(usage.cached_tokens, usage.prompt_tokens - 1);
    }
}

#[test]
fn a_dropped_reply_keeps_what_was_computed() {
    let mut chat = chat(2);
    let messages = [user(&"words ".repeat(60))];
    let mut reply = chat.generate(&messages, &options(8)).unwrap();
    assert_eq!(reply.step().unwrap(), Step::Quiet);
    drop(reply);
    let (text, usage) = say(&mut chat, &messages, &options(8));
    assert_eq!(usage.cached_tokens, CHUNK);
    assert_eq!(text, say(&mut self::chat(1), &messages, &options(8)).0);
}

#[test]
fn the_text_ends_before_a_stop_string() {
    let messages = [user("tell me")];
    let (whole, _) = say(&mut chat(1), &messages, &options(40));
    let letters: Vec<char> = whole.chars().collect();
    let stop: String = letters[5..8].iter().collect();
    let stopped = GenerateOptions {
        stop: vec![stop.clone()],
        ..options(40)
    };
    let (text, usage) = say(&mut chat(1), &messages, &stopped);
    assert_eq!(text, whole[..whole.find(&stop).unwrap()]);
    assert!(usage.reply_tokens < 40);
}

#[test]
fn scores_are_the_probabilities_of_saying_it() {
    let mut chat = Chat::new(Arc::new(made::load(QWEN_2, ComputePlan::Dense)), 4).unwrap();
    let messages = [user("which one")];
    let options: Vec<String> = ["yes", "no", "perhaps so"].map(str::to_owned).to_vec();
    let scores = chat.score(&messages, &options).unwrap();
    let model = chat.model.clone();
    for (option, score) in options.iter().zip(&scores) {
        let prompt = model.vocabulary.prompt(&messages).unwrap();
        let reply = model.vocabulary.reply(option).unwrap();
        assert_eq!(score.tokens, reply.len());
        let logits = logits_of(&model.network, &[prompt.clone(), reply.clone()].concat());
        let expected: f32 = reply
            .iter()
            .zip(&logits[prompt.len() - 1..])
            .map(|(token, logits)| {
                let total: f32 = logits.iter().map(|logit| logit.exp()).sum();
                logits[*token as usize] - total.ln()
            })
            .sum();
        assert!((score.log_prob - expected).abs() < 1e-3);
    }
    // The order of the options and what was scored before are nobody's concern.
    let turned: Vec<String> = options.iter().rev().cloned().collect();
    for (score, turned) in scores
        .iter()
        .zip(chat.score(&messages, &turned).unwrap().iter().rev())
    {
        assert!((score.log_prob - turned.log_prob).abs() < 1e-4);
    }
}

#[test]
fn a_choice_has_probabilities_that_sum_to_one() {
    let mut chat = chat(4);
    let options: Vec<String> = ["yes", "no", "maybe"].map(str::to_owned).to_vec();
    let neutral = [user("")];
    for neutral in [None, Some(&neutral[..])] {
        let choice = chat.choose(&[user("so?")], &options, neutral).unwrap();
        let total: f32 = choice.probabilities.iter().sum();
        assert!((total - 1.0).abs() < 1e-5);
        let top = choice.probabilities[choice.best];
        assert!(choice.probabilities.iter().all(|p| *p <= top));
    }
    // Where nothing differs from the neutral context, nothing is likelier.
    let even = chat.choose(&neutral, &options, Some(&neutral)).unwrap();
    assert!(
        even.probabilities
            .iter()
            .all(|p| (p - 1.0 / 3.0).abs() < 1e-4)
    );
}

#[test]
fn requests_that_cannot_be_served_are_refused() {
    let mut chat = chat(2);
    let long = [user(&"x".repeat(600))];
    let error = chat.generate(&long, &options(1)).err().unwrap().to_string();
    assert!(error.contains("the context holds"), "{error}");
    let none = chat.score(&[user("so?")], &[]).unwrap_err();
    assert!(matches!(none, NnError::NoOptions));
    let empty = chat.score(&[user("so?")], &[" ".to_owned()]).unwrap_err();
    assert!(matches!(empty, NnError::NoOptions));
}

#[test]
fn a_reply_ends_where_the_context_ends() {
    let mut chat = chat(1);
    let (_, usage) = say(&mut chat, &[user(&"x".repeat(460))], &options(1000));
    assert!(usage.prompt_tokens + usage.reply_tokens <= chat.model().context());
}
