//! `POST /v1/audio/speech`: text to sound, clause by clause.
//!
//! Each clause is asked for while the one before it is being sent, so the answer has no gaps and
//! never runs far ahead of its listener. Dropping the answer cancels both.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::json;
use trunkline_inference::{
    InferenceError, SpeechEvent, SpeechRequest, SpeechStream, Synthesizer, Urgency,
    split_into_clauses,
};

use super::fields::{Fields, wrong};
use super::{Refusal, Shared};
use crate::sound::{Encoder, Format};

/// As OpenAI's.
const MOST_LETTERS: usize = 4096;
/// OpenAI's clients cannot leave the voice out; this is what says that it does not matter.
const ANY_VOICE: &str = "default";

/// What is being spoken.
struct Speaking {
    voice: Arc<dyn Synthesizer>,
    /// What each clause is asked with, but for its text.
    request: SpeechRequest,
    clauses: VecDeque<String>,
    /// The clause that is being sent and the next one.
    now: SpeechStream,
    next: Option<Result<SpeechStream, InferenceError>>,
    /// Audio of the first clause that was waited for.
    ahead: Option<SpeechEvent>,
    encoder: Encoder,
    over: bool,
}

/// The handler.
pub(super) async fn speech(
    State(state): Shared,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let mut fields = Fields::read(body)?;
    let name: String = fields.need("model")?;
    let voice = state.served.voice.clone();
    let voice = voice
        .filter(|voice| voice.info().name == name)
        .ok_or_else(|| state.unknown_model(&name))?;
    let format = format(&mut fields)?;
    let (mut request, clauses) = request(fields, super::urgency(&headers)?)?;
    request.tenant = super::tenant(&headers)?;
    let encoder = Encoder::new(format).map_err(|error| Refusal::internal(error.to_string()))?;
    let speaking = Speaking::begin(voice, request, clauses, encoder).await?;
    let body = Body::from_stream(stream::unfold(speaking, |mut speaking| async move {
        let piece = speaking.piece().await?;
        Some((piece, speaking))
    }));
    Ok(([(header::CONTENT_TYPE, format.media_type())], body).into_response())
}

fn format(fields: &mut Fields) -> Result<Format, Refusal> {
    let word: Option<String> = fields.take("response_format")?;
    // OpenAI's own default is MP3, which has no encoder here.
    let word = word.unwrap_or_else(|| "wav".to_owned());
    Format::of(&word).ok_or_else(|| wrong("response_format", "it must be wav, pcm or opus"))
}

fn request(
    mut fields: Fields,
    urgency: Urgency,
) -> Result<(SpeechRequest, VecDeque<String>), Refusal> {
    let input: String = fields.need("input")?;
    if input.chars().count() > MOST_LETTERS {
        return Err(wrong("input", &format!("more than {MOST_LETTERS} letters")));
    }
    let voice: Option<String> = fields.take("voice")?;
    let request = SpeechRequest {
        voice: voice.filter(|voice| voice != ANY_VOICE),
        speed: fields.number("speed", 0.25, 4.0)?.unwrap_or(1.0),
        urgency,
        ..SpeechRequest::default()
    };
    fields.only("instructions", &[json!("")])?;
    fields.only("stream_format", &[json!("audio")])?;
    fields.finish()?;
    let clauses: VecDeque<String> = split_into_clauses(&input).into();
    match clauses.is_empty() {
        true => Err(wrong("input", "there is nothing to say in it")),
        false => Ok((request, clauses)),
    }
}

impl Speaking {
    /// Asks for the first clause and waits for the beginning of its sound, so that what cannot
    /// be spoken gets a status of its own.
    async fn begin(
        voice: Arc<dyn Synthesizer>,
        request: SpeechRequest,
        mut clauses: VecDeque<String>,
        encoder: Encoder,
    ) -> Result<Self, Refusal> {
        let first = SpeechRequest {
            text: clauses.pop_front().unwrap_or_default(),
            ..request.clone()
        };
        let mut now = voice.synthesize(first)?;
        let ahead = match now.events.recv().await {
            Some(SpeechEvent::Failed(error)) => return Err(error.into()),
            None => return Err(Refusal::gone(&voice.info().name)),
            ahead => ahead,
        };
        let mut speaking = Self {
            request: SpeechRequest {
                urgency: request.urgency.max(Urgency::Playing),
                ..request
            },
            voice,
            clauses,
            now,
            next: None,
            ahead,
            encoder,
            over: false,
        };
        speaking.ask_ahead();
        Ok(speaking)
    }

    fn ask_ahead(&mut self) {
        self.next = self.clauses.pop_front().map(|text| {
            self.voice.synthesize(SpeechRequest {
                text,
                ..self.request.clone()
            })
        });
    }

    /// The next bytes, `None` at the end. An error breaks the answer off.
    async fn piece(&mut self) -> Option<Result<Bytes, InferenceError>> {
        while !self.over {
            let event = match self.ahead.take() {
                Some(event) => Some(event),
                None => self.now.events.recv().await,
            };
            match self.encode(event) {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Some(Ok(bytes.into())),
                Err(error) => {
                    self.over = true;
                    tracing::warn!(%error, "speech broke off");
                    return Some(Err(error));
                }
            }
        }
        None
    }

    fn encode(&mut self, event: Option<SpeechEvent>) -> Result<Vec<u8>, InferenceError> {
        let model = || self.voice.info().name;
        let failed = |error: opus_pure::Error| InferenceError::Failed {
            model: model(),
            reason: error.to_string(),
        };
        match event {
            Some(SpeechEvent::Audio(pcm)) => self.encoder.push(&pcm).map_err(failed),
            Some(SpeechEvent::Done { .. }) => match self.next.take() {
                Some(next) => {
                    self.now = next?;
                    self.ask_ahead();
                    Ok(self.encoder.end_clause())
                }
                None => {
                    self.over = true;
                    self.encoder.finish().map_err(failed)
                }
            },
            Some(SpeechEvent::Failed(error)) => Err(error),
            None => Err(InferenceError::Unavailable {
                model: model(),
                reason: "it stopped within a clause".to_owned(),
            }),
        }
    }
}
