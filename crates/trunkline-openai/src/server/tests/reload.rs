//! Exchanging a model over HTTP.

use super::*;
use crate::server::{Reload, ReloadError, Reloaded};

/// Exchanges as the test says.
struct Exchange(Result<&'static str, ReloadError>, Asked<Option<String>>);

impl Reload for Exchange {
    fn reload(&self, name: &str, with: Option<&str>) -> Result<Reloaded, ReloadError> {
        self.1.lock().unwrap().push(with.map(str::to_owned));
        self.0.clone().map(|model| Reloaded {
            id: name.to_owned(),
            model: model.to_owned(),
            took_ms: 7,
        })
    }
}

fn exchanging(result: Result<&'static str, ReloadError>) -> (Router, Asked<Option<String>>) {
    let asked = Asked::default();
    let served = Served {
        chat: Some(Arc::new(saying(&["x"]))),
        reload: Some(Arc::new(Exchange(result, Arc::clone(&asked)))),
        ..Served::default()
    };
    (router(served, Limits::default(), None), asked)
}

const PATH: &str = "/v1/models/talker/reload";

#[tokio::test]
async fn a_model_is_exchanged_for_itself_or_for_another() {
    let (router, asked) = exchanging(Ok("other"));
    for request in [
        post_bytes(PATH, Vec::new()),
        post(PATH, &json!({"model": "other"})),
    ] {
        let response = answer(&router, request).await;
        assert_eq!(response.status(), StatusCode::OK);
        let expected = json!({"id": "talker", "model": "other", "took_ms": 7});
        assert_eq!(json_of(response).await, expected);
    }
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked, [None, Some("other".to_owned())]);
}

#[tokio::test]
async fn why_a_model_is_not_exchanged_is_told_apart() {
    let reason = || "because".to_owned();
    for (error, status, code) in [
        (ReloadError::Wrong(reason()), 400, Value::Null),
        (
            ReloadError::Conflict(reason()),
            409,
            json!("reload_under_way"),
        ),
        (
            ReloadError::NoMemory(reason()),
            507,
            json!("insufficient_memory"),
        ),
        (
            ReloadError::Failed(reason()),
            500,
            json!("model_does_not_start"),
        ),
    ] {
        let (router, _) = exchanging(Err(error));
        let (told, error) = refusal(&router, post(PATH, &json!({}))).await;
        assert_eq!((told.as_u16(), &error["code"]), (status, &code), "{error}");
        assert_eq!(error["message"], "because");
    }
    let (router, asked) = exchanging(Ok("other"));
    let unknown = post("/v1/models/nobody/reload", &json!({}));
    assert_eq!(refusal(&router, unknown).await.0, StatusCode::NOT_FOUND);
    let odd = post(PATH, &json!({"with": "other"}));
    assert_eq!(refusal(&router, odd).await.0, StatusCode::BAD_REQUEST);
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn where_anybody_may_ask_nobody_can_exchange() {
    let router = serving(&saying(&["x"]));
    let (status, error) = refusal(&router, post(PATH, &json!({}))).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("engine.api_key_file"), "{message}");
}
