//! `GET /v1/audio/transcriptions/live`: a WebSocket on which audio goes in while it is spoken and
//! text comes out while it is recognised. Ours, not OpenAI's.
//!
//! The query says how: `model`; `rate`, 16000 or 8000 samples a second (16000 when absent);
//! `language`; `words=true`; and `phrase`, which may come again and again, for the dictionary.
//!
//! | the client sends | meaning |
//! | --- | --- |
//! | a binary message | audio: mono signed 16-bit little-endian, in whole samples |
//! | `{"type":"finish"}` | the utterance is over; further audio begins the next one |
//! | `{"type":"cancel"}` | the utterance is given up |
//!
//! | the server sends | meaning |
//! | --- | --- |
//! | `{"type":"partial", "text", "stable_bytes", "audio_ms"}` | the text so far; its first `stable_bytes` bytes are not expected to change |
//! | `{"type":"final", "text", "audio_ms", "compute_ms", "mean_log_prob", "no_speech_prob", "language", "segments"}` | the text of the utterance; finals come in the order of their utterances |
//! | `{"type":"error", "error"}` | the utterance failed; `error` as everywhere |
//!
//! A client that sends nothing for a minute, or what cannot be understood, is told so and the
//! connection is closed.

mod conversation;
mod question;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{RawQuery, State, WebSocketUpgrade};
use axum::response::Response;
use std::sync::Arc;

use super::{Refusal, Shared};
use conversation::Conversation;

/// A second of audio at a time is plenty.
const LONGEST_MESSAGE: usize = 256 << 10;

/// The handler.
pub(super) async fn live(
    State(state): Shared,
    RawQuery(query): RawQuery,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let question = question::read(query.as_deref().unwrap_or_default())?;
    let transcriber = state.served.transcriber.clone();
    let transcriber = transcriber
        .filter(|model| model.info().name == question.model)
        .ok_or_else(|| state.unknown_model(&question.model))?;
    let capabilities = transcriber.capabilities();
    capabilities.check(&question.model, &question.options)?;
    let socket = socket.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    // The answer to the upgrade is over at once; this place is held as long as the conversation.
    let permit = Arc::clone(&state.room)
        .try_acquire_owned()
        .map_err(|_| Refusal::busy("too many requests are being served already".to_owned()))?;
    Ok(socket
        .max_message_size(LONGEST_MESSAGE)
        .on_upgrade(async move |socket| {
            let _held = permit;
            Conversation::new(socket, transcriber, question).run().await;
        }))
}
