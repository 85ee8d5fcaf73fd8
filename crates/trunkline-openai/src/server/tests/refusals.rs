//! What is not served, and how that is said.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};
use trunkline_inference::{ChatDelta, InferenceError};
use trunkline_types::Secret;

use super::super::{Limits, Served, router};
use super::{
    Chat, answer, hello, hello_with, json_of, post, post_bytes, refusal, saying, serving, text,
};

const PATH: &str = "/v1/chat/completions";

#[tokio::test]
async fn a_field_that_is_wrong_or_unknown_is_named() {
    let router = serving(&saying(&["x"]));
    let cases = [
        ("temperature", json!("hot")),
        ("temperature", json!(3.0)),
        ("top_p", json!(-1)),
        ("max_tokens", json!(-5)),
        ("max_completion_tokens", json!(0)),
        ("stop", json!(["a", "b", "c", "d", "e"])),
        ("n", json!(2)),
        ("logit_bias", json!({"5": 100})),
        ("presence_penalty", json!(1.0)),
        ("tool_choice", json!("required")),
        ("response_format", json!({"type": "yaml"})),
        (
            "response_format",
            json!({"type": "json_schema", "json_schema": {"schema": 5}}),
        ),
        ("guided_choice", json!([])),
        ("top_logprobs", json!(3)),
        ("stream_options", json!({"include_usage": true})),
        ("messages", json!([])),
        ("reasoning_effort", json!("high")),
        ("tempratur", json!(1)),
    ];
    for (field, value) in cases {
        let (status, error) = refusal(&router, post(PATH, &hello_with(field, value.clone()))).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{field}: {value}");
        assert_eq!(error["param"], field, "{error}");
        assert_eq!(error["type"], "invalid_request_error");
    }
}

#[tokio::test]
async fn a_message_that_is_wrong_is_named_by_its_place() {
    let router = serving(&saying(&["x"]));
    let cases = [
        json!({"content": "no role"}),
        json!({"role": "robot", "content": "x"}),
        json!({"role": "user"}),
        json!({"role": "user", "content": 5}),
        json!({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}),
        json!({"role": "user", "content": "x", "tool_calls": [{"id": "1", "function": {"name": "f"}}]}),
        json!({"role": "tool", "content": "x"}),
        json!({"role": "user", "content": "x", "mood": "good"}),
    ];
    for message in cases {
        let messages = json!([{"role": "user", "content": "fine"}, message]);
        let (status, error) = refusal(&router, post(PATH, &hello_with("messages", messages))).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(error["param"], "messages[1]", "{error}");
    }
}

#[tokio::test]
async fn what_the_model_cannot_do_is_refused_and_never_left_out() {
    let router = serving(&saying(&["x"]));
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let cases = [
        ("tools", tools, "tools"),
        ("logprobs", json!(true), "log-probabilities"),
        (
            "response_format",
            json!({"type": "json_object"}),
            "constrained",
        ),
        ("min_p", json!(0.1), "min_p"),
    ];
    for (field, value, named) in cases {
        let (status, error) = refusal(&router, post(PATH, &hello_with(field, value))).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(named), "{message}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_json_are_told_why() {
    let router = serving(&saying(&["x"]));
    let cases: [(&[u8], &str); 5] = [
        (b"", "not JSON"),
        (b"{\"model\": ", "not JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b"{\"model\": \"\xff\xfe\"}", "not UTF-8 from byte 11"),
        (b"{}", "model: it is missing"),
    ];
    for (body, expected) in cases {
        let (status, error) = refusal(&router, post_bytes(PATH, body.to_vec())).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(expected), "{message}");
    }
    let (status, _) = refusal(&router, post_bytes(PATH, vec![b' '; 5 << 20])).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn unknown_models_paths_and_methods_are_refused_in_the_same_shape() {
    let router = serving(&saying(&["x"]));
    let (status, error) = refusal(&router, post(PATH, &hello_with("model", json!("gpt-5")))).await;
    assert_eq!(
        (status, &error["code"]),
        (StatusCode::NOT_FOUND, &json!("model_not_found"))
    );
    assert!(
        error["message"].as_str().unwrap().contains("talker"),
        "{error}"
    );
    let speech = json!({"model": "talker", "input": "hello", "voice": "x"});
    let (status, error) = refusal(&router, post("/v1/audio/speech", &speech)).await;
    assert_eq!(
        (status, &error["param"]),
        (StatusCode::NOT_FOUND, &json!("model"))
    );
    let (status, error) = refusal(&router, post("/v1/completions", &json!({}))).await;
    assert_eq!(
        (status, &error["code"]),
        (StatusCode::NOT_FOUND, &json!("unknown_url"))
    );
    let get = Request::get(PATH).body(Body::empty()).unwrap();
    assert_eq!(
        refusal(&router, get).await.0,
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[tokio::test]
async fn the_errors_of_a_model_become_statuses_that_tell_whether_to_try_again() {
    let model = || "talker".to_owned();
    let reason = || "because".to_owned();
    let cases = [
        (InferenceError::Overloaded { model: model() }, 429, true),
        (
            InferenceError::BadRequest {
                model: model(),
                reason: reason(),
            },
            400,
            false,
        ),
        (
            InferenceError::Unavailable {
                model: model(),
                reason: reason(),
            },
            503,
            true,
        ),
        (
            InferenceError::TimedOut {
                model: model(),
                reason: reason(),
            },
            504,
            false,
        ),
        (
            InferenceError::Failed {
                model: model(),
                reason: reason(),
            },
            500,
            false,
        ),
    ];
    for (error, status, is_again) in cases {
        let at_once = Chat {
            refuses: Some(error.clone()),
            ..Chat::default()
        };
        let first = Chat {
            deltas: vec![ChatDelta::Failed(error.clone())],
            ..Chat::default()
        };
        for (chat, stream) in [
            (&at_once, false),
            (&at_once, true),
            (&first, false),
            (&first, true),
        ] {
            let body = hello_with("stream", json!(stream));
            let response = answer(&serving(chat), post(PATH, &body)).await;
            assert_eq!(response.status(), status, "{error}");
            assert_eq!(
                response.headers().contains_key(header::RETRY_AFTER),
                is_again
            );
            assert!(json_of(response).await["error"]["message"].is_string());
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_the_error_and_without_its_mark() {
    let failed = InferenceError::Failed {
        model: "talker".to_owned(),
        reason: "secret detail".to_owned(),
    };
    let gone = Chat {
        deltas: vec![ChatDelta::Text("Hel".to_owned())],
        ..Chat::default()
    };
    let mut broken = gone.clone();
    broken.deltas.push(ChatDelta::Failed(failed));
    for chat in [gone, broken] {
        let body = hello_with("stream", json!(true));
        let events = text(answer(&serving(&chat), post(PATH, &body)).await).await;
        let last = events.trim_end().rsplit("data: ").next().unwrap();
        let last: Value = serde_json::from_str(last).unwrap();
        assert_eq!(last["error"]["type"], "server_error");
        assert!(
            !events.contains("[DONE]") && !events.contains("secret detail"),
            "{events}"
        );
    }
}

#[tokio::test]
async fn with_a_key_only_health_is_open_to_all() {
    let served = Served {
        chat: Some(Arc::new(saying(&["x"]))),
        ..Served::default()
    };
    let key = Secret::new("sesame".to_owned());
    let router = router(served, Limits::default(), Some(key));
    let get = |path: &str, authorization: &str| {
        Request::get(path)
            .header(header::AUTHORIZATION, authorization)
            .body(Body::empty())
            .unwrap()
    };
    assert_eq!(answer(&router, get("/health", "")).await.status(), 200);
    for wrong in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer sesam",
        "Basic sesame",
        "sesame",
    ] {
        let (status, error) = refusal(&router, get("/v1/models", wrong)).await;
        assert_eq!(
            (status, &error["code"]),
            (StatusCode::UNAUTHORIZED, &json!("invalid_api_key"))
        );
        assert_eq!(
            refusal(&router, post(PATH, &hello())).await.0,
            StatusCode::UNAUTHORIZED
        );
    }
    assert_eq!(
        answer(&router, get("/v1/models", "Bearer sesame"))
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn models_are_listed_and_told_one_by_one() {
    let router = serving(&saying(&["x"]));
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    let list = json_of(answer(&router, get("/v1/models")).await).await;
    assert_eq!(
        (&list["object"], &list["data"][0]["id"]),
        (&json!("list"), &json!("talker"))
    );
    let one = json_of(answer(&router, get("/v1/models/talker")).await).await;
    assert_eq!(
        (&one["object"], &one["owned_by"]),
        (&json!("model"), &json!("stand-in"))
    );
    assert_eq!(
        refusal(&router, get("/v1/models/other")).await.0,
        StatusCode::NOT_FOUND
    );
}
