//! What a model says it cannot do is refused, and nothing else is.

use serde_json::json;

use crate::{
    ChatCapabilities, ChatMessage, ChatRequest, ChatRole, Constraint, InferenceError, Sampling,
    Tool, TranscribeOptions, TranscriberCapabilities,
};

fn reason(outcome: Result<(), InferenceError>) -> String {
    match outcome {
        Err(InferenceError::BadRequest { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

fn beyond_text() -> Vec<(ChatRequest, &'static str)> {
    let tool = Tool {
        name: "book".to_owned(),
        description: String::new(),
        parameters: json!({"type": "object"}),
    };
    let with_tool = ChatRequest {
        tools: vec![tool],
        ..ChatRequest::default()
    };
    let with_answer = ChatRequest {
        messages: vec![ChatMessage::new(ChatRole::Tool, "booked")],
        ..ChatRequest::default()
    };
    let with_constraint = ChatRequest {
        constraint: Some(Constraint::JsonObject),
        ..ChatRequest::default()
    };
    let with_logprobs = ChatRequest {
        logprobs: Some(5),
        ..ChatRequest::default()
    };
    let with_min_p = ChatRequest {
        sampling: Sampling {
            min_p: 0.1,
            ..Sampling::default()
        },
        ..ChatRequest::default()
    };
    vec![
        (with_tool, "tools"),
        (with_answer, "tools"),
        (with_constraint, "constrained"),
        (with_logprobs, "log-probabilities"),
        (with_min_p, "min_p"),
    ]
}

#[test]
fn a_model_that_only_writes_text_refuses_everything_else_by_name() {
    let nothing = ChatCapabilities::default();
    assert_eq!(nothing.check("m", &ChatRequest::default()), Ok(()));
    for (request, named) in beyond_text() {
        let why = reason(nothing.check("m", &request));
        assert!(why.contains(named), "{why:?} should name {named}");
    }
}

#[test]
fn a_model_that_can_do_it_all_refuses_only_too_many_alternatives() {
    let everything = ChatCapabilities {
        tools: true,
        constraints: true,
        logprobs: Some(5),
        min_p: true,
        context_tokens: None,
    };
    for (request, _) in beyond_text() {
        assert_eq!(everything.check("m", &request), Ok(()));
    }
    let greedy = ChatRequest {
        logprobs: Some(6),
        ..ChatRequest::default()
    };
    assert!(reason(everything.check("m", &greedy)).contains("at most 5"));
}

#[test]
fn a_recogniser_refuses_words_a_dictionary_and_a_language_that_it_does_not_know() {
    let english = TranscriberCapabilities {
        languages: vec!["en".to_owned()],
        ..TranscriberCapabilities::default()
    };
    let plain = TranscribeOptions::default();
    let of = |language: &str| TranscribeOptions {
        language: Some(language.to_owned()),
        ..plain.clone()
    };
    assert_eq!(english.check("m", &plain), Ok(()));
    assert_eq!(english.check("m", &of("en")), Ok(()));
    assert!(reason(english.check("m", &of("fr"))).contains("only en"));
    let words = TranscribeOptions {
        words: true,
        ..plain.clone()
    };
    assert!(reason(english.check("m", &words)).contains("words"));
    let dictionary = TranscribeOptions {
        phrases: vec!["KYC".to_owned()],
        ..plain
    };
    assert!(reason(english.check("m", &dictionary)).contains("dictionary"));
}

#[test]
fn messages_of_words_are_written_as_before_tools_were_known() {
    let written = serde_json::to_string(&ChatMessage::user("hello")).unwrap();
    assert_eq!(written, r#"{"role":"user","content":"hello"}"#);
    let read: ChatMessage = serde_json::from_str(&written).unwrap();
    assert_eq!(read, ChatMessage::user("hello"));
}
