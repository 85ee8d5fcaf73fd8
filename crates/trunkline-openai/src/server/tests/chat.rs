//! Replies, whole and streamed.

use axum::http::StatusCode;
use serde_json::{Value, json};
use trunkline_inference::{
    ChatCapabilities, ChatDelta, ChatRole, Constraint, FinishReason, LogProb, TokenLogProb,
    ToolCall, Urgency,
};

use super::{Chat, answer, done, hello, hello_with, json_of, post, saying, serving, text};

const PATH: &str = "/v1/chat/completions";

fn able() -> ChatCapabilities {
    ChatCapabilities {
        tools: true,
        constraints: true,
        logprobs: Some(5),
        min_p: true,
        context_tokens: Some(2048),
    }
}

/// The data of the events of a stream.
async fn events(chat: &Chat, body: &Value) -> Vec<String> {
    let response = answer(&serving(chat), post(PATH, body)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let events = text(response).await;
    events
        .split_terminator("\n\n")
        .map(|event| event.strip_prefix("data: ").unwrap().to_owned())
        .collect()
}

fn parsed(events: &[String]) -> Vec<Value> {
    events
        .iter()
        .filter(|event| *event != "[DONE]")
        .map(|event| serde_json::from_str(event).unwrap())
        .collect()
}

#[tokio::test]
async fn a_reply_in_one_piece_has_its_text_its_end_and_its_figures() {
    let chat = saying(&["Hello ", "Susan."]);
    let reply = json_of(answer(&serving(&chat), post(PATH, &hello())).await).await;
    assert_eq!(reply["object"], "chat.completion");
    assert!(reply["id"].as_str().unwrap().starts_with("chatcmpl-"));
    let choice = &reply["choices"][0];
    assert_eq!(choice["message"]["content"], "Hello Susan.");
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(reply["usage"]["total_tokens"], 15);
    assert_eq!(reply["usage"]["prompt_tokens_details"]["cached_tokens"], 5);
}

#[tokio::test]
async fn what_is_asked_for_reaches_the_model() {
    let chat = Chat {
        capabilities: able(),
        ..saying(&["x"])
    };
    let body = json!({
        "model": "talker",
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "What "}, {"type": "text", "text": "now?"}]},
        ],
        "max_completion_tokens": 7, "temperature": 0.5, "top_p": 0.9, "min_p": 0.05,
        "repetition_penalty": 1.1, "seed": 3, "stop": "\n", "logprobs": true, "top_logprobs": 2,
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
        "user": "somebody",
    });
    let mut request = post(PATH, &body);
    let headers = request.headers_mut();
    headers.insert("trunkline-urgency", "turn_critical".parse().unwrap());
    assert_eq!(answer(&serving(&chat), request).await.status(), 200);
    let asked = chat.asked.lock().unwrap()[0].clone();
    assert_eq!(asked.messages[0].role, ChatRole::System);
    assert_eq!(asked.messages[1].content, "What now?");
    assert_eq!((asked.max_tokens, asked.sampling.seed), (7, 3));
    assert_eq!(
        (asked.sampling.temperature, asked.sampling.min_p),
        (0.5, 0.05)
    );
    assert_eq!(
        (asked.stop, asked.logprobs),
        (vec!["\n".to_owned()], Some(2))
    );
    let schema = Constraint::JsonSchema(json!({"type": "object"}));
    assert_eq!(asked.constraint, Some(schema));
    assert_eq!(asked.urgency, Urgency::TurnCritical);
}

#[tokio::test]
async fn without_wishes_a_reply_is_sampled_and_may_fill_the_context() {
    let chat = Chat {
        capabilities: able(),
        ..saying(&["x"])
    };
    for _ in 0..2 {
        answer(&serving(&chat), post(PATH, &hello())).await;
    }
    let asked = chat.asked.lock().unwrap();
    assert_eq!(
        (asked[0].sampling.temperature, asked[0].max_tokens),
        (1.0, 2048)
    );
    assert_eq!(asked[0].urgency, Urgency::Playing);
    assert_ne!(asked[0].sampling.seed, asked[1].sampling.seed);
}

#[tokio::test]
async fn a_stream_begins_with_the_role_and_ends_with_its_mark() {
    let chat = saying(&["Hello ", "Susan."]);
    let body = hello_with("stream", json!(true));
    let events = events(&chat, &body).await;
    assert_eq!(events.last().unwrap(), "[DONE]");
    let chunks = parsed(&events);
    assert_eq!(chunks.len(), 4);
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chunks[1]["choices"][0]["delta"]["content"], "Hello ");
    assert_eq!(chunks[2]["choices"][0]["delta"]["content"], "Susan.");
    assert_eq!(chunks[3]["choices"][0]["finish_reason"], "stop");
    let is_same = |chunk: &Value| chunk["id"] == chunks[0]["id"] && chunk.get("usage").is_none();
    assert!(chunks.iter().all(is_same));
}

#[tokio::test]
async fn a_stream_says_what_it_took_when_asked() {
    let mut body = hello_with("stream", json!(true));
    body["stream_options"] = json!({"include_usage": true});
    let chunks = parsed(&events(&saying(&["x"]), &body).await);
    let last = chunks.last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["completion_tokens"], 3);
}

#[tokio::test]
async fn tools_and_log_probabilities_come_whole_and_streamed() {
    let one = |text: &str| LogProb {
        bytes: text.as_bytes().to_vec(),
        log_prob: -0.5,
    };
    let chat = Chat {
        capabilities: able(),
        deltas: vec![
            ChatDelta::LogProbs(vec![TokenLogProb {
                token: one("a"),
                top: vec![one("a"), one("b")],
            }]),
            ChatDelta::ToolCall(ToolCall {
                id: "call_1".to_owned(),
                name: "book".to_owned(),
                arguments: "{\"day\":\"monday\"}".to_owned(),
            }),
            done(FinishReason::ToolCalls),
        ],
        ..Chat::default()
    };
    let mut body = hello();
    body["tools"] = json!([{"type": "function", "function": {"name": "book", "parameters": {"type": "object"}}}]);
    body["tool_choice"] = json!({"type": "function", "function": {"name": "book"}});
    let whole = json_of(answer(&serving(&chat), post(PATH, &body)).await).await;
    let choice = &whole["choices"][0];
    assert_eq!(choice["message"]["content"], Value::Null);
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(
        (&call["type"], &call["function"]["name"]),
        (&json!("function"), &json!("book"))
    );
    assert_eq!(choice["finish_reason"], "tool_calls");
    let figures = &choice["logprobs"]["content"][0];
    assert_eq!(
        (&figures["token"], &figures["bytes"]),
        (&json!("a"), &json!([97]))
    );
    assert_eq!(figures["top_logprobs"][1]["token"], "b");
    let asked = chat.asked.lock().unwrap()[0].clone();
    assert_eq!(
        asked.constraint,
        Some(Constraint::ToolCall(Some("book".to_owned())))
    );
    assert_eq!(asked.tools[0].name, "book");

    body["stream"] = json!(true);
    let chunks = parsed(&events(&chat, &body).await);
    assert_eq!(
        chunks[1]["choices"][0]["logprobs"]["content"][0]["logprob"],
        -0.5
    );
    let call = &chunks[2]["choices"][0]["delta"]["tool_calls"][0];
    assert_eq!((&call["index"], &call["id"]), (&json!(0), &json!("call_1")));
    assert_eq!(call["function"]["arguments"], "{\"day\":\"monday\"}");
}

#[tokio::test]
async fn a_conversation_with_tools_is_understood_as_clients_send_it_back() {
    let chat = Chat {
        capabilities: able(),
        ..saying(&["x"])
    };
    let body = json!({"model": "talker", "messages": [
        {"role": "user", "content": "Book me in."},
        {"role": "assistant", "content": null, "refusal": null, "annotations": [], "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "book", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
    ]});
    assert_eq!(
        answer(&serving(&chat), post(PATH, &body)).await.status(),
        200
    );
    let asked = chat.asked.lock().unwrap()[0].clone();
    assert_eq!(asked.messages[1].tool_calls[0].name, "book");
    assert_eq!(asked.messages[2].tool_call_id.as_deref(), Some("c1"));
}

#[tokio::test]
async fn how_many_tools_may_be_called_reaches_the_model() {
    let chat = Chat {
        capabilities: able(),
        ..saying(&["x"])
    };
    let mut body = hello();
    body["tools"] = json!([{"type": "function", "function": {"name": "book"}}]);
    for (field, value, expected) in [
        ("tool_choice", json!("auto"), (1, None, false)),
        ("parallel_tool_calls", json!(false), (1, None, true)),
        (
            "tool_choice",
            json!("required"),
            (1, Some(Constraint::ToolCall(None)), true),
        ),
        ("tool_choice", json!("none"), (0, None, true)),
    ] {
        body[field] = value;
        let response = answer(&serving(&chat), post(PATH, &body)).await;
        assert_eq!(response.status(), 200);
        let asked = chat.asked.lock().unwrap().pop().unwrap();
        let told = (asked.tools.len(), asked.constraint, asked.one_tool_call);
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn a_choice_is_scored() {
    let body = json!({"model": "talker", "options": ["yes", "no"],
        "messages": [{"role": "user", "content": "well?"}]});
    let chosen = json_of(answer(&serving(&saying(&[])), post("/v1/choices", &body)).await).await;
    assert_eq!(chosen["best"], 1);
    assert_eq!(chosen["probabilities"], json!([0.5, 0.5]));
}
