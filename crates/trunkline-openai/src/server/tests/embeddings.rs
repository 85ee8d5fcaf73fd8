//! Texts to vectors.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use trunkline_inference::{
    EmbedRequest, Embedder, Embeddings, InferenceError, ModelInfo, PendingEmbeddings,
};

use super::super::{Limits, Served, router};
use super::{answer, json_of, post, refusal};

/// The vector of a text is its length and a half.
struct Lengths;

impl Embedder for Lengths {
    fn info(&self) -> ModelInfo {
        super::info("lengths")
    }

    fn dimensions(&self) -> usize {
        2
    }

    fn embed(&self, request: EmbedRequest) -> Result<PendingEmbeddings, InferenceError> {
        let (answer, pending) = oneshot::channel();
        let vectors = request
            .texts
            .iter()
            .map(|text| vec![text.len() as f32, 0.5]);
        let vectors: Vec<Vec<f32>> = vectors.collect();
        let tokens = vectors.len() * 3;
        let compute = Duration::ZERO;
        answer
            .send(Ok(Embeddings {
                vectors,
                tokens,
                compute,
            }))
            .unwrap();
        Ok(pending)
    }
}

fn serving() -> Router {
    let served = Served {
        embedder: Some(Arc::new(Lengths)),
        ..Served::default()
    };
    router(served, Limits::default(), None)
}

fn ask(more: &Value) -> Value {
    let mut body = json!({"model": "lengths", "input": ["one", "three"]});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

#[tokio::test]
async fn each_text_gets_a_vector_as_numbers_or_as_openais_client_wants_it() {
    let router = serving();
    let list = json_of(answer(&router, post("/v1/embeddings", &ask(&json!({})))).await).await;
    assert_eq!(
        list["data"][1],
        json!({"object": "embedding", "index": 1, "embedding": [5.0, 0.5]})
    );
    assert_eq!(
        list["usage"],
        json!({"prompt_tokens": 6, "total_tokens": 6})
    );
    let body = ask(&json!({"input": "one", "encoding_format": "base64", "dimensions": 2}));
    let list = json_of(answer(&router, post("/v1/embeddings", &body)).await).await;
    assert_eq!(list["data"][0]["embedding"], "AABAQAAAAD8=");
}

#[tokio::test]
async fn what_is_no_text_or_no_encoding_is_refused() {
    let router = serving();
    for (more, param) in [
        (json!({"input": []}), "input"),
        (json!({"input": ["one", ""]}), "input"),
        (json!({"input": [[1, 2, 3]]}), "input"),
        (json!({"input": null}), "input"),
        (json!({"encoding_format": "hex"}), "encoding_format"),
        (json!({"dimensions": 1}), "dimensions"),
        (json!({"mood": "good"}), "mood"),
        (json!({"model": "other"}), "model"),
    ] {
        let (status, error) = refusal(&router, post("/v1/embeddings", &ask(&more))).await;
        assert_eq!(error["param"], param, "{error}");
        let expected = match param {
            "model" => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        };
        assert_eq!(status, expected);
    }
}
