//! `POST /v1/choices`: which of a closed list of replies fits best. Ours, not OpenAI's: the
//! workflow's decisions are scored, which no endpoint of OpenAI's can do exactly.
//!
//! Takes `model`, `messages`, `options` (texts) and `neutral` (messages, optional); answers
//! `best` (an index), `probabilities` (one per option) and `compute_ms`. What they mean stands
//! at [`trunkline_inference::ChoiceRequest`].

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use serde_json::{Map, Value};
use trunkline_inference::ChoiceRequest;

use super::chat::read_messages;
use super::fields::{Fields, wrong};
use super::{Refusal, Shared};
use crate::wire::Choice;

/// Far more than a workflow's node has edges.
const MOST_OPTIONS: usize = 256;

/// The handler.
pub(super) async fn choices(
    State(state): Shared,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Choice>, Refusal> {
    let mut fields = Fields::read(body)?;
    let name: String = fields.need("model")?;
    let model = state.served.chat.as_ref();
    let Some(model) = model.filter(|model| model.info().name == name) else {
        return Err(state.unknown_model(&name));
    };
    let messages: Vec<Map<String, Value>> = fields.need("messages")?;
    let neutral: Option<Vec<Map<String, Value>>> = fields.take("neutral")?;
    let options: Vec<String> = fields.need("options")?;
    if !(1..=MOST_OPTIONS).contains(&options.len()) {
        return Err(wrong("options", &format!("1 to {MOST_OPTIONS} texts")));
    }
    fields.finish()?;
    let request = ChoiceRequest {
        messages: read_messages("messages", messages)?,
        options,
        neutral: neutral
            .map(|messages| read_messages("neutral", messages))
            .transpose()?,
        urgency: super::urgency(&headers)?,
    };
    match model.choose(request)?.await {
        Ok(result) => Ok(Json(result?.into())),
        Err(_) => Err(Refusal::gone(&name)),
    }
}
