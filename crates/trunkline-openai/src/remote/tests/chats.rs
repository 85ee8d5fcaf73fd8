//! Replies and choices, as endpoints are asked for them and as they answer.

use serde_json::{Value, json};
use trunkline_inference::{
    ChatDelta, ChatMessage, ChatModel, ChatRequest, ChatRole, ChoiceRequest, Constraint,
    FinishReason, Sampling, Tenant, Tool, ToolCall, Urgency,
};

use super::stand_in::{Act, End, StandIn, end, error, event, reply, word};
use super::{deltas, hello, pool, remote, yes_or_no};

#[tokio::test]
async fn a_reply_streams_and_ends_with_the_endpoints_figures() {
    let far = StandIn::with([Act::Pieces(
        vec![word("Hel"), word("lo."), end()],
        End::Well,
    )])
    .await;
    let chat = remote(&pool(&[&far.url]));
    let got = deltas(chat.generate(hello()).unwrap()).await;
    assert_eq!(
        got[..2],
        [
            ChatDelta::Text("Hel".to_owned()),
            ChatDelta::Text("lo.".to_owned())
        ]
    );
    let ChatDelta::Done {
        finish,
        prompt_tokens,
        reply_tokens,
        ..
    } = &got[2]
    else {
        panic!("{got:?}");
    };
    assert_eq!(
        (*finish, *prompt_tokens, *reply_tokens),
        (FinishReason::Stop, 9, 4)
    );
    let asked = far.asked()[0].clone();
    assert_eq!(asked.path(), "/v1/chat/completions");
    let body = asked.json();
    assert_eq!(
        (&body["model"], &body["max_tokens"]),
        (&json!("talker"), &json!(5))
    );
    assert_eq!(
        body["messages"],
        json!([{"role": "user", "content": "hello"}])
    );
    assert!(
        body.get("min_p").is_none() && body.get("tools").is_none(),
        "{body}"
    );
}

#[tokio::test]
async fn everything_that_is_asked_for_travels() {
    let far = StandIn::with([reply("x")]).await;
    let mut answered = ChatMessage::new(ChatRole::Tool, "done");
    answered.tool_call_id = Some("c1".to_owned());
    let mut called = ChatMessage::assistant("");
    called.tool_calls = vec![ToolCall {
        id: "c1".to_owned(),
        name: "book".to_owned(),
        arguments: "{}".to_owned(),
    }];
    let request = ChatRequest {
        messages: vec![called, answered],
        max_tokens: 3,
        sampling: Sampling {
            temperature: 0.5,
            top_p: 0.9,
            min_p: 0.1,
            repetition_penalty: 1.2,
            seed: u64::MAX,
        },
        stop: vec!["\n".to_owned()],
        tools: vec![Tool {
            name: "book".to_owned(),
            description: "books".to_owned(),
            parameters: json!({"type": "object"}),
        }],
        constraint: Some(Constraint::ToolCall(Some("book".to_owned()))),
        logprobs: Some(2),
        urgency: Urgency::Speculative,
        one_tool_call: true,
        tenant: Tenant(7),
    };
    deltas(remote(&pool(&[&far.url])).generate(request).unwrap()).await;
    let asked = far.asked()[0].clone();
    assert!(
        asked.head.contains("trunkline-urgency: speculative"),
        "{}",
        asked.head
    );
    assert!(asked.head.contains("trunkline-tenant: 7"), "{}", asked.head);
    let body = asked.json();
    assert_eq!(body["parallel_tool_calls"], false);
    assert_eq!((&body["seed"], &body["stop"]), (&json!(-1), &json!(["\n"])));
    assert_eq!(
        body["tools"][0]["function"]["parameters"],
        json!({"type": "object"})
    );
    assert_eq!(body["tool_choice"]["function"]["name"], "book");
    assert_eq!(
        (&body["logprobs"], &body["top_logprobs"]),
        (&json!(true), &json!(2))
    );
    assert_eq!(
        body["messages"][0]["tool_calls"][0]["function"]["name"],
        "book"
    );
    assert_eq!(body["messages"][1]["tool_call_id"], "c1");
}

#[tokio::test]
async fn calls_of_tools_in_pieces_are_handed_on_whole() {
    let piece = |call: Value| event(&json!({"choices": [{"delta": {"tool_calls": [call]}}]}));
    let far = StandIn::with([Act::Pieces(
        vec![
            piece(json!({"index": 0, "id": "c1", "type": "function", "function": {"name": "book", "arguments": ""}})),
            piece(json!({"index": 0, "function": {"arguments": "{\"day\""}})),
            piece(json!({"index": 0, "function": {"arguments": ":1}"}})),
            piece(json!({"index": 1, "id": "c2", "function": {"name": "bye"}})),
            event(&json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})),
            b"data: [DONE]\n\n".to_vec(),
        ],
        End::Well,
    )])
    .await;
    let got = deltas(remote(&pool(&[&far.url])).generate(hello()).unwrap()).await;
    let call = |id: &str, name: &str, arguments: &str| {
        ChatDelta::ToolCall(ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        })
    };
    assert_eq!(
        got[..2],
        [call("c1", "book", "{\"day\":1}"), call("c2", "bye", "")]
    );
    assert!(matches!(
        got[2],
        ChatDelta::Done {
            finish: FinishReason::ToolCalls,
            ..
        }
    ));
}

#[tokio::test]
async fn a_reply_from_a_list_is_asked_for_by_schema_and_unwrapped() {
    let pieces = vec![word("{\"choice\": "), word("\"no\"}"), end()];
    let far = StandIn::with([Act::Pieces(pieces, End::Well)]).await;
    let request = ChatRequest {
        constraint: Some(Constraint::Choice(vec!["yes".to_owned(), "no".to_owned()])),
        ..hello()
    };
    let got = deltas(remote(&pool(&[&far.url])).generate(request).unwrap()).await;
    assert_eq!(got[0], ChatDelta::Text("no".to_owned()));
    let schema = far.asked()[0].json()["response_format"]["json_schema"]["schema"].take();
    assert_eq!(schema["properties"]["choice"]["enum"], json!(["yes", "no"]));
}

/// A reply of one letter with the log-probabilities of some.
fn letters(likely: &[(&str, f32)]) -> Act {
    let top: Vec<Value> = likely
        .iter()
        .map(|(token, probability)| json!({"token": token, "logprob": probability.ln()}))
        .collect();
    let figures = json!({"token": "A", "logprob": 0.0, "top_logprobs": top});
    let body = json!({"choices": [{
        "message": {"role": "assistant", "content": "A"},
        "logprobs": {"content": [figures]},
    }]});
    Act::Status(200, "", body.to_string())
}

async fn chosen(
    chat: &super::RemoteChat,
    request: ChoiceRequest,
) -> trunkline_inference::ChoiceResult {
    chat.choose(request).unwrap().await.unwrap().unwrap()
}

#[tokio::test]
async fn our_own_endpoint_scores_a_choice() {
    let body = json!({"best": 1, "probabilities": [0.25, 0.75], "compute_ms": 1.0});
    let far = StandIn::with([Act::Status(200, "", body.to_string())]).await;
    let result = chosen(&remote(&pool(&[&far.url])), yes_or_no()).await;
    assert_eq!((result.best, result.probabilities), (1, vec![0.25, 0.75]));
    assert_eq!(far.asked()[0].path(), "/v1/choices");
}

#[tokio::test]
async fn elsewhere_letters_are_scored_and_what_does_not_work_is_not_tried_again() {
    let likely = [("B", 0.6), (" A", 0.2)];
    let far = StandIn::with([error(404, ""), letters(&likely), letters(&likely)]).await;
    let chat = remote(&pool(&[&far.url]));
    for _ in 0..2 {
        let result = chosen(&chat, yes_or_no()).await;
        assert_eq!(result.best, 1);
        assert!((result.probabilities[1] - 0.75).abs() < 1e-5, "{result:?}");
    }
    let asked = far.asked();
    assert_eq!(asked.len(), 3);
    let question = asked[2].json()["messages"][0]["content"].take();
    assert!(
        question.as_str().unwrap().contains("A) yes\nB) no"),
        "{question}"
    );
}

#[tokio::test]
async fn a_neutral_conversation_takes_out_what_is_likely_anyway_and_is_asked_once() {
    let spoken = [("A", 0.5), ("B", 0.4)];
    let unspoken = [("A", 0.8), ("B", 0.1)];
    let script = [
        error(404, ""),
        letters(&spoken),
        letters(&unspoken),
        letters(&spoken),
    ];
    let far = StandIn::with(script).await;
    let chat = remote(&pool(&[&far.url]));
    let request = ChoiceRequest {
        neutral: Some(vec![ChatMessage::user("")]),
        ..yes_or_no()
    };
    for _ in 0..2 {
        assert_eq!(chosen(&chat, request.clone()).await.best, 1);
    }
    assert_eq!((far.asked().len(), far.rest()), (4, 0));
}

#[tokio::test]
async fn without_log_probabilities_the_reply_is_constrained_to_the_options() {
    let content = json!({"choice": "no"}).to_string();
    let body = json!({"choices": [{"message": {"role": "assistant", "content": content}}]});
    let plain = || Act::Status(200, "", body.to_string());
    let far = StandIn::with([error(404, ""), error(400, ""), plain(), plain()]).await;
    let chat = remote(&pool(&[&far.url]));
    for _ in 0..2 {
        let result = chosen(&chat, yes_or_no()).await;
        assert_eq!((result.best, result.probabilities), (1, vec![0.0, 1.0]));
    }
    assert_eq!(far.rest(), 0);
}
