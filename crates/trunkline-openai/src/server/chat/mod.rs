//! `POST /v1/chat/completions`.
//!
//! The first piece of the reply is waited for before anything is answered, so that a prompt that
//! is too long or a model that is busy gets its own status instead of a stream that breaks off.

mod messages;
mod request;
mod stream;
mod whole;

use std::collections::VecDeque;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::Response;
use trunkline_inference::{ChatDelta, ChatStream};

pub(super) use messages::read as read_messages;

use super::fields::Fields;
use super::{Refusal, Shared, new_id, unix_seconds};

/// What stands in every answer to one request.
struct Heading {
    id: String,
    created: u64,
    model: String,
}

/// A reply of which the first pieces are there.
struct Begun {
    ahead: VecDeque<ChatDelta>,
    stream: ChatStream,
}

impl Begun {
    /// Waits for the first piece.
    async fn wait(mut stream: ChatStream, model: &str) -> Result<Self, Refusal> {
        match stream.deltas.recv().await {
            Some(ChatDelta::Failed(error)) => Err(error.into()),
            Some(delta) => Ok(Self {
                ahead: VecDeque::from([delta]),
                stream,
            }),
            None => Err(Refusal::gone(model)),
        }
    }

    async fn next(&mut self) -> Option<ChatDelta> {
        match self.ahead.pop_front() {
            Some(delta) => Some(delta),
            None => self.stream.deltas.recv().await,
        }
    }
}

/// The handler.
pub(super) async fn completions(
    State(state): Shared,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let mut fields = Fields::read(body)?;
    let name: String = fields.need("model")?;
    let model = state.served.chat.as_ref();
    let Some(model) = model.filter(|model| model.info().name == name) else {
        return Err(state.unknown_model(&name));
    };
    let capabilities = model.capabilities();
    let mut asked = request::read(fields, &capabilities, super::urgency(&headers)?)?;
    asked.request.tenant = super::tenant(&headers)?;
    capabilities.check(&name, &asked.request)?;
    let stream = model.generate(asked.request)?;
    let heading = Heading {
        id: new_id("chatcmpl-")?,
        created: unix_seconds(),
        model: name,
    };
    let begun = Begun::wait(stream, &heading.model).await?;
    match asked.streamed {
        Some(streamed) => Ok(stream::answer(heading, begun, streamed)),
        None => whole::answer(heading, begun).await,
    }
}
