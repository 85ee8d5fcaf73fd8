//! A recogniser at OpenAI-compatible endpoints.
//!
//! An utterance is sent whole when the caller has finished, so there are no partials.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;
use trunkline_audio::WavWriter;
use trunkline_inference::{
    InferenceError, ModelInfo, SAMPLE_RATE_HZ, Tenant, TranscribeOptions, Transcriber,
    TranscriberCapabilities, TranscriberInput, TranscriptDetail, TranscriptEvent,
    TranscriptSegment, TranscriptWord, TranscriptionSession,
};

use super::config::PoolConfig;
use super::failure::Failure;
use super::pool::{Ask, Pool};
use crate::OpenAiError;
use crate::wire::{Transcript, WireSegment, WireWord};

/// Two minutes at 16 kHz: a caller's turn is seconds; this bounds memory.
const MAX_SAMPLES: usize = 120 * SAMPLE_RATE_HZ as usize;

/// A recogniser that others serve.
pub struct RemoteTranscriber {
    shared: Arc<Shared>,
    runtime: Handle,
}

struct Shared {
    pool: Arc<Pool>,
    /// The endpoints give the text alone, without figures and times.
    is_plain: AtomicBool,
}

impl RemoteTranscriber {
    /// Reads the keys; connects to nothing yet. Requests run on `runtime`.
    ///
    /// # Errors
    /// [`OpenAiError`] about a key, a URL or certificates.
    pub fn new(config: &PoolConfig, runtime: Handle) -> Result<Self, OpenAiError> {
        Ok(Self {
            shared: Arc::new(Shared {
                pool: Pool::new(config)?,
                is_plain: AtomicBool::new(false),
            }),
            runtime,
        })
    }
}

impl std::fmt::Debug for RemoteTranscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pool = &self.shared.pool;
        write!(
            f,
            "RemoteTranscriber({} at {})",
            pool.model(),
            pool.places()
        )
    }
}

impl Transcriber for RemoteTranscriber {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            name: self.shared.pool.model().to_owned(),
            engine: super::ENGINE.to_owned(),
        }
    }

    /// All of it is passed on; an endpoint that does not know something says so.
    fn capabilities(&self) -> TranscriberCapabilities {
        TranscriberCapabilities {
            segments: true,
            words: true,
            prompt: true,
            phrases: true,
            temperature: true,
            max_audio: Some(Duration::from_secs(120)),
            languages: Vec::new(),
        }
    }

    fn open(&self, options: TranscribeOptions) -> Result<TranscriptionSession, InferenceError> {
        let (audio, heard) = mpsc::unbounded_channel();
        let (sender, events) = mpsc::unbounded_channel();
        let shared = Arc::clone(&self.shared);
        self.runtime.spawn(async move {
            let gone = sender.clone();
            tokio::select! {
                event = shared.session(heard, &options) => {
                    // Nobody listens any more when this fails.
                    let _ = event.map(|event| sender.send(event));
                }
                () = gone.closed() => {}
            }
        });
        Ok(TranscriptionSession { audio, events })
    }
}

impl Shared {
    /// The outcome of an utterance; `None` when it was dropped before its end.
    async fn session(
        &self,
        mut heard: mpsc::UnboundedReceiver<TranscriberInput>,
        options: &TranscribeOptions,
    ) -> Option<TranscriptEvent> {
        let mut pcm = Vec::new();
        loop {
            match heard.recv().await? {
                TranscriberInput::Audio(more) => pcm.extend_from_slice(&more),
                TranscriberInput::Finish => break,
            }
            if pcm.len() > MAX_SAMPLES {
                return Some(TranscriptEvent::Failed(InferenceError::BadRequest {
                    model: self.pool.model().to_owned(),
                    reason: "the utterance is longer than two minutes".to_owned(),
                }));
            }
        }
        let began = Instant::now();
        let audio = Duration::from_secs_f64(pcm.len() as f64 / f64::from(SAMPLE_RATE_HZ));
        Some(match self.transcribe(&pcm, options).await {
            Ok(transcript) => heard_in(transcript, options, audio, began.elapsed()),
            Err(failure) => TranscriptEvent::Failed(self.pool.error(failure)),
        })
    }

    async fn transcribe(
        &self,
        pcm: &[i16],
        options: &TranscribeOptions,
    ) -> Result<Transcript, Failure> {
        let file = wav(pcm)?;
        let deadline = self.pool.deadline();
        let is_plain = self.is_plain.load(Ordering::Relaxed) && !options.words;
        let answer = self.ask(&file, options, is_plain, deadline).await;
        let answer = match answer {
            // Some recognisers know no figures and times.
            Err(Failure::Refused(StatusCode::BAD_REQUEST, _)) if !is_plain && !options.words => {
                let answer = self.ask(&file, options, true, deadline).await?;
                self.is_plain.store(true, Ordering::Relaxed);
                answer
            }
            answer => answer?,
        };
        serde_json::from_slice(&answer)
            .map_err(|error| Failure::Broken(format!("the transcript makes no sense: {error}")))
    }

    async fn ask(
        &self,
        file: &Bytes,
        options: &TranscribeOptions,
        is_plain: bool,
        deadline: Instant,
    ) -> Result<Bytes, Failure> {
        let answer = self.pool.send(deadline, |model| Ask {
            path: "/audio/transcriptions",
            content_type: format!("multipart/form-data; boundary={EDGE}"),
            body: form(file, model, options, is_plain),
            urgency: options.urgency,
            tenant: Tenant::default(),
            streamed: false,
        });
        Ok(answer.await?.whole())
    }
}

/// A WAV file.
fn wav(pcm: &[i16]) -> Result<Bytes, Failure> {
    let unwritten = |error: trunkline_audio::AudioError| Failure::Broken(error.to_string());
    let file = std::io::Cursor::new(Vec::new());
    let mut writer = WavWriter::new(file, 1, SAMPLE_RATE_HZ).map_err(unwritten)?;
    writer.write(pcm).map_err(unwritten)?;
    Ok(writer.finish().map_err(unwritten)?.into_inner().into())
}

/// Parts the fields of a form. Audio may hold these bytes by a chance of one in 2^200.
const EDGE: &str = "trunkline-5b0c7d6e19a84f3f8d2a";

fn form(file: &[u8], model: &str, options: &TranscribeOptions, is_plain: bool) -> Bytes {
    let temperature = options.temperature.map(|warmth| warmth.to_string());
    let mut fields = vec![("model", model)];
    if let Some(temperature) = &temperature {
        fields.push(("temperature", temperature));
    }
    if let Some(prompt) = &options.prompt {
        fields.push(("prompt", prompt));
    }
    match is_plain {
        true => fields.push(("response_format", "json")),
        false => fields.push(("response_format", "verbose_json")),
    }
    if options.words {
        fields.push(("timestamp_granularities[]", "word"));
        fields.push(("timestamp_granularities[]", "segment"));
    }
    if let Some(language) = &options.language {
        fields.push(("language", language));
    }
    for phrase in &options.phrases {
        fields.push(("dictionary[]", phrase));
    }
    let mut body = Vec::with_capacity(file.len() + 2048);
    for (name, value) in fields {
        body.extend(
            format!(
                "--{EDGE}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            )
            .bytes(),
        );
    }
    body.extend(
        format!(
            "--{EDGE}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"utterance.wav\"\r\n\
             Content-Type: audio/wav\r\n\r\n"
        )
        .bytes(),
    );
    body.extend_from_slice(file);
    body.extend(format!("\r\n--{EDGE}--\r\n").bytes());
    body.into()
}

/// The transcript as a session gives it.
fn heard_in(
    transcript: Transcript,
    options: &TranscribeOptions,
    audio: Duration,
    compute: Duration,
) -> TranscriptEvent {
    let parts = transcript.segments.unwrap_or_default();
    let words = transcript.words.unwrap_or_default();
    let mean = |of: fn(&WireSegment) -> f32| match parts.len() {
        0 => 0.0,
        count => parts.iter().map(of).sum::<f32>() / count as f32,
    };
    // Some name the language in full; only a code is of use.
    let code = transcript.language.filter(|language| language.len() == 2);
    TranscriptEvent::Final {
        text: transcript.text.trim().to_owned(),
        mean_log_prob: mean(|part| part.avg_logprob),
        no_speech_prob: mean(|part| part.no_speech_prob),
        audio,
        compute,
        detail: TranscriptDetail {
            language: code.or_else(|| options.language.clone()),
            segments: parts.iter().map(|part| segment(part, &words)).collect(),
        },
    }
}

fn segment(part: &WireSegment, words: &[WireWord]) -> TranscriptSegment {
    let of_part = |word: &&WireWord| (part.start..part.end).contains(&word.start);
    TranscriptSegment {
        text: part.text.trim().to_owned(),
        start: seconds(part.start),
        end: seconds(part.end),
        tokens: part.tokens.clone(),
        temperature: part.temperature,
        mean_log_prob: part.avg_logprob,
        compression_ratio: part.compression_ratio.unwrap_or_default(),
        no_speech_prob: part.no_speech_prob,
        words: words.iter().filter(of_part).map(word).collect(),
    }
}

fn word(word: &WireWord) -> TranscriptWord {
    TranscriptWord {
        text: word.word.trim().to_owned(),
        start: seconds(word.start),
        end: seconds(word.end),
        // Who does not say is taken at their word.
        probability: word.probability.unwrap_or(1.0),
    }
}

/// What is no time is the beginning.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
