//! `POST /v1/embeddings`: texts to vectors.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use trunkline_inference::EmbedRequest;

use super::fields::{Fields, wrong};
use super::{Refusal, Shared};

/// As OpenAI's.
const MOST_TEXTS: usize = 2048;

/// `input` is a text or a list of them. Tokens mean nothing to a client of another model.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Many(Vec<String>),
}

/// How the numbers travel. OpenAI's own client asks for the second.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    Float,
    /// Little-endian 32-bit floats.
    Base64,
}

#[derive(Debug, Serialize)]
pub(super) struct EmbeddingList {
    object: &'static str,
    data: Vec<EmbeddingItem>,
    model: String,
    usage: EmbeddingUsage,
}

#[derive(Debug, Serialize)]
struct EmbeddingItem {
    object: &'static str,
    index: usize,
    embedding: Numbers,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Numbers {
    Float(Vec<f32>),
    Base64(String),
}

#[derive(Debug, Serialize)]
struct EmbeddingUsage {
    prompt_tokens: usize,
    total_tokens: usize,
}

/// The handler.
pub(super) async fn embeddings(
    State(state): Shared,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<EmbeddingList>, Refusal> {
    let mut fields = Fields::read(body)?;
    let name: String = fields.need("model")?;
    let model = state.served.embedder.as_ref();
    let Some(model) = model.filter(|model| model.info().name == name) else {
        return Err(state.unknown_model(&name));
    };
    let texts = texts(&mut fields)?;
    let encoding = fields.take("encoding_format")?.unwrap_or(Encoding::Float);
    let dimensions = model.dimensions();
    if fields
        .take("dimensions")?
        .is_some_and(|wanted: usize| wanted != dimensions)
    {
        let why = format!("{name} has {dimensions} and no fewer");
        return Err(wrong("dimensions", &why));
    }
    fields.pass_over(&["user"]);
    fields.finish()?;
    let request = EmbedRequest {
        texts,
        urgency: super::urgency(&headers)?,
    };
    let embeddings = match model.embed(request)?.await {
        Ok(embeddings) => embeddings?,
        Err(_) => return Err(Refusal::gone(&name)),
    };
    let data = embeddings.vectors.into_iter().enumerate();
    Ok(Json(EmbeddingList {
        object: "list",
        data: data
            .map(|(index, vector)| EmbeddingItem {
                object: "embedding",
                index,
                embedding: numbers(vector, encoding),
            })
            .collect(),
        model: name,
        usage: EmbeddingUsage {
            prompt_tokens: embeddings.tokens,
            total_tokens: embeddings.tokens,
        },
    }))
}

fn texts(fields: &mut Fields) -> Result<Vec<String>, Refusal> {
    let texts = match fields.need("input")? {
        Input::One(text) => vec![text],
        Input::Many(texts) => texts,
    };
    if !(1..=MOST_TEXTS).contains(&texts.len()) || texts.iter().any(String::is_empty) {
        let why = format!("1 to {MOST_TEXTS} texts, none of them empty");
        return Err(wrong("input", &why));
    }
    Ok(texts)
}

fn numbers(vector: Vec<f32>, encoding: Encoding) -> Numbers {
    match encoding {
        Encoding::Float => Numbers::Float(vector),
        Encoding::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
            Numbers::Base64(STANDARD.encode(bytes))
        }
    }
}
