//! The form of a request: a file and how to transcribe it.

use axum::body::Bytes;
use axum::extract::Multipart;
use axum::extract::multipart::{Field, MultipartError};
use axum::http::StatusCode;

use super::super::fields::wrong;
use crate::server::Refusal;

/// Phrases of a dictionary, and their length in bytes.
const MOST_PHRASES: usize = 200;
const LONGEST_PHRASE: usize = 100;

/// What the answer looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum AnswerFormat {
    #[default]
    Json,
    Text,
    VerboseJson,
    Srt,
    Vtt,
}

/// A request, read.
#[derive(Debug, Default)]
pub(super) struct Form {
    pub(super) file: Bytes,
    pub(super) model: String,
    pub(super) language: Option<String>,
    pub(super) format: AnswerFormat,
    /// Whether the words are wanted with their times.
    pub(super) words: bool,
    /// Whether the segments are wanted; the default of `verbose_json`.
    pub(super) segments: bool,
    /// The custom dictionary.
    pub(super) phrases: Vec<String>,
    pub(super) prompt: Option<String>,
    pub(super) temperature: Option<f32>,
}

impl Form {
    /// Whether the answer says when its parts were spoken.
    pub(super) fn wants_times(&self) -> bool {
        match self.format {
            AnswerFormat::Srt | AnswerFormat::Vtt => true,
            AnswerFormat::VerboseJson => self.segments,
            AnswerFormat::Json | AnswerFormat::Text => false,
        }
    }
}

/// Reads the whole form.
pub(super) async fn read(mut body: Multipart) -> Result<Form, Refusal> {
    let mut form = Form::default();
    let mut file = None;
    let mut granularities: Vec<String> = Vec::new();
    while let Some(field) = body.next_field().await.map_err(broken)? {
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            "file" => file = Some(field.bytes().await.map_err(broken)?),
            "model" => form.model = text(field).await?,
            "language" => form.language = Some(language(&text(field).await?)?),
            "response_format" => form.format = format(&text(field).await?)?,
            "timestamp_granularities[]" | "timestamp_granularities" => {
                granularities.push(text(field).await?);
            }
            "dictionary[]" | "dictionary" => form.phrases.push(text(field).await?),
            "prompt" => form.prompt = Some(text(field).await?).filter(|text| !text.is_empty()),
            "temperature" => form.temperature = Some(temperature(&text(field).await?)?),
            other => refuse(other, &text(field).await?)?,
        }
    }
    form.file = file.ok_or_else(|| wrong("file", "it is missing"))?;
    if form.model.is_empty() {
        return Err(wrong("model", "it is missing"));
    }
    let too_long = |phrase: &String| phrase.is_empty() || phrase.len() > LONGEST_PHRASE;
    if form.phrases.len() > MOST_PHRASES || form.phrases.iter().any(too_long) {
        let why = format!("at most {MOST_PHRASES} phrases of 1 to {LONGEST_PHRASE} bytes");
        return Err(wrong("dictionary[]", &why));
    }
    time_stamps(&mut form, &granularities)?;
    Ok(form)
}

fn broken(error: MultipartError) -> Refusal {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let most = super::super::MAX_AUDIO_BODY >> 20;
            Refusal::too_large(format!("the file is larger than {most} MiB"))
        }
        _ => Refusal::bad_request(error.body_text()),
    }
}

async fn text(field: Field<'_>) -> Result<String, Refusal> {
    let name = field.name().unwrap_or_default().to_owned();
    let bytes = field.bytes().await.map_err(broken)?;
    match String::from_utf8(bytes.to_vec()) {
        Ok(text) => Ok(text),
        Err(_) => Err(wrong(&name, "it is not UTF-8")),
    }
}

fn language(text: &str) -> Result<String, Refusal> {
    let is_code = (2..=3).contains(&text.len()) && text.chars().all(|c| c.is_ascii_lowercase());
    match is_code {
        true => Ok(text.to_owned()),
        false => Err(wrong("language", "it must be an ISO 639 code such as en")),
    }
}

fn format(text: &str) -> Result<AnswerFormat, Refusal> {
    match text {
        "json" => Ok(AnswerFormat::Json),
        "text" => Ok(AnswerFormat::Text),
        "verbose_json" => Ok(AnswerFormat::VerboseJson),
        "srt" => Ok(AnswerFormat::Srt),
        "vtt" => Ok(AnswerFormat::Vtt),
        _ => Err(wrong(
            "response_format",
            "it must be json, text, verbose_json, srt or vtt",
        )),
    }
}

fn temperature(text: &str) -> Result<f32, Refusal> {
    let warmth = text
        .parse()
        .ok()
        .filter(|warmth| (0.0..=1.0).contains(warmth));
    warmth.ok_or_else(|| wrong("temperature", "it must be 0 to 1"))
}

/// What else OpenAI knows, where it asks for what happens anyway.
fn refuse(name: &str, value: &str) -> Result<(), Refusal> {
    match name {
        "stream" if value.eq_ignore_ascii_case("false") => Ok(()),
        "stream" => Err(wrong(name, "a file's transcript comes in one piece")),
        _ => Err(wrong(name, "this server does not know it")),
    }
}

fn time_stamps(form: &mut Form, granularities: &[String]) -> Result<(), Refusal> {
    let name = "timestamp_granularities[]";
    if !granularities.is_empty() && form.format != AnswerFormat::VerboseJson {
        return Err(wrong(name, "it needs response_format=verbose_json"));
    }
    for granularity in granularities {
        match granularity.as_str() {
            "word" => form.words = true,
            "segment" => form.segments = true,
            _ => return Err(wrong(name, "it must be word or segment")),
        }
    }
    form.segments |= granularities.is_empty();
    Ok(())
}
