//! `POST /v1/audio/transcriptions`: a file to text.

mod answer;
mod form;

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::multipart::MultipartRejection;
use axum::extract::{Multipart, State};
use axum::http::HeaderMap;
use axum::response::Response;
use trunkline_inference::{
    TranscribeOptions, Transcriber, TranscriberInput, TranscriptEvent, TranscriptionSession,
    Urgency,
};

use super::{Refusal, Shared};
use crate::sound::{SoundError, decode};
use answer::Heard;
use form::Form;

/// How long a client may take to send a file.
const UPLOAD_WITHIN: Duration = Duration::from_secs(60);

/// The handler.
pub(super) async fn transcriptions(
    State(state): Shared,
    headers: HeaderMap,
    body: Result<Multipart, MultipartRejection>,
) -> Result<Response, Refusal> {
    let body = body.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let urgency = super::urgency(&headers)?;
    let (form, options, pcm, transcriber) = {
        // Held while the file is in memory.
        let _upload = state.uploads.acquire().await;
        let mut form = tokio::time::timeout(UPLOAD_WITHIN, form::read(body))
            .await
            .map_err(|_| Refusal::bad_request("the file took longer than a minute to arrive"))??;
        let transcriber = state.served.transcriber.clone();
        let transcriber = transcriber
            .filter(|model| model.info().name == form.model)
            .ok_or_else(|| state.unknown_model(&form.model))?;
        let options = options(&form, &*transcriber, urgency)?;
        let file = std::mem::take(&mut form.file);
        let pcm = decoded(&state, file, &*transcriber).await?;
        (form, options, pcm, transcriber)
    };
    let session = transcriber.open(options)?;
    let heard = hear(session, pcm, &form.model).await?;
    Ok(answer::answer(&form, heard))
}

/// What is asked of the model, if it can do that.
fn options(
    form: &Form,
    transcriber: &dyn Transcriber,
    urgency: Urgency,
) -> Result<TranscribeOptions, Refusal> {
    let capabilities = transcriber.capabilities();
    let options = TranscribeOptions {
        language: form.language.clone(),
        partials: false,
        words: form.words,
        // Without times of its own a transcript is one part, which is no less true.
        segments: form.wants_times() && capabilities.segments,
        prompt: form.prompt.clone(),
        phrases: form.phrases.clone(),
        temperature: form.temperature,
        urgency,
    };
    capabilities.check(&form.model, &options)?;
    Ok(options)
}

/// The audio of the file, decoded apart from the async runtime.
async fn decoded(
    state: &super::State,
    file: Bytes,
    transcriber: &dyn Transcriber,
) -> Result<Vec<i16>, Refusal> {
    let longest = transcriber.capabilities().max_audio;
    let longest = longest.map_or(state.limits.audio, |own| own.min(state.limits.audio));
    let _core = state.decoders.acquire().await;
    tokio::task::spawn_blocking(move || decode(&file, longest))
        .await
        // A decoder that stumbles over a file is as good as one that refuses it.
        .unwrap_or_else(|_| Err(SoundError::Corrupt("it makes no sense".to_owned())))
        .map_err(|error| {
            let code = match error {
                SoundError::Empty => "audio_empty",
                SoundError::Unknown => "audio_format_unknown",
                SoundError::Corrupt(_) => "audio_corrupt",
                SoundError::TooLong(_) => "audio_too_long",
            };
            super::fields::wrong("file", &error.to_string()).code(code)
        })
}

/// The final transcript.
async fn hear(
    mut session: TranscriptionSession,
    pcm: Vec<i16>,
    model: &str,
) -> Result<Heard, Refusal> {
    // A worker that is gone ends the events, which is seen below.
    let _ = session.audio.send(TranscriberInput::Audio(pcm));
    let _ = session.audio.send(TranscriberInput::Finish);
    loop {
        match session.events.recv().await {
            Some(TranscriptEvent::Partial { .. }) => {}
            Some(TranscriptEvent::Final {
                text,
                mean_log_prob,
                no_speech_prob,
                audio,
                detail,
                ..
            }) => {
                return Ok(Heard {
                    text,
                    mean_log_prob,
                    no_speech_prob,
                    detail,
                    audio,
                });
            }
            Some(TranscriptEvent::Failed(error)) => return Err(error.into()),
            None => return Err(Refusal::gone(model)),
        }
    }
}
