//! The server against models that do what a test tells them. Requests go through the router, or
//! over a real socket where the connection itself matters.

mod audio;
mod chat;
mod connections;
mod embeddings;
mod live;
mod refusals;
mod reload;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tower::ServiceExt;
use trunkline_inference::{
    ChatCapabilities, ChatDelta, ChatModel, ChatRequest, ChatStream, ChoiceRequest, ChoiceResult,
    FinishReason, InferenceError, ModelInfo, PendingChoice, SpeechEvent, SpeechRequest,
    SpeechStream, Synthesizer, TranscribeOptions, Transcriber, TranscriberCapabilities,
    TranscriberInput, TranscriptDetail, TranscriptEvent, TranscriptionSession,
};

use super::{Limits, Served, router};

/// What a stand-in was asked, for the test to look at.
type Asked<T> = Arc<Mutex<Vec<T>>>;

/// A language model that says what the test says.
#[derive(Clone, Default)]
struct Chat {
    capabilities: ChatCapabilities,
    deltas: Vec<ChatDelta>,
    refuses: Option<InferenceError>,
    asked: Asked<ChatRequest>,
    /// Where its open streams end up when they are not to end by themselves.
    open: Option<Arc<Mutex<Vec<mpsc::UnboundedSender<ChatDelta>>>>>,
}

fn info(name: &str) -> ModelInfo {
    ModelInfo {
        name: name.to_owned(),
        engine: "stand-in".to_owned(),
    }
}

fn done(finish: FinishReason) -> ChatDelta {
    ChatDelta::Done {
        finish,
        prompt_tokens: 12,
        cached_tokens: 5,
        reply_tokens: 3,
        first_token: Duration::ZERO,
        compute: Duration::ZERO,
    }
}

fn saying(words: &[&str]) -> Chat {
    let mut deltas: Vec<ChatDelta> = words
        .iter()
        .map(|word| ChatDelta::Text((*word).to_owned()))
        .collect();
    deltas.push(done(FinishReason::Stop));
    Chat {
        deltas,
        ..Chat::default()
    }
}

impl ChatModel for Chat {
    fn info(&self) -> ModelInfo {
        info("talker")
    }

    fn capabilities(&self) -> ChatCapabilities {
        self.capabilities
    }

    fn generate(&self, request: ChatRequest) -> Result<ChatStream, InferenceError> {
        self.asked.lock().unwrap().push(request);
        if let Some(error) = &self.refuses {
            return Err(error.clone());
        }
        let (sender, deltas) = mpsc::unbounded_channel();
        for delta in &self.deltas {
            sender.send(delta.clone()).unwrap();
        }
        if let Some(open) = &self.open {
            open.lock().unwrap().push(sender);
        }
        Ok(ChatStream { deltas })
    }

    fn choose(&self, request: ChoiceRequest) -> Result<PendingChoice, InferenceError> {
        let (answer, choice) = oneshot::channel();
        let share = 1.0 / request.options.len() as f32;
        answer
            .send(Ok(ChoiceResult {
                best: request.options.len() - 1,
                probabilities: vec![share; request.options.len()],
                compute: Duration::from_millis(3),
            }))
            .unwrap();
        Ok(choice)
    }
}

/// A recogniser that answers with one event and keeps what it heard.
#[derive(Clone)]
struct Ears {
    capabilities: TranscriberCapabilities,
    answer: TranscriptEvent,
    asked: Asked<(TranscribeOptions, usize)>,
}

fn hearing(text: &str) -> Ears {
    Ears {
        capabilities: TranscriberCapabilities::default(),
        answer: TranscriptEvent::Final {
            text: text.to_owned(),
            mean_log_prob: -0.25,
            no_speech_prob: 0.5,
            audio: Duration::from_millis(500),
            compute: Duration::ZERO,
            detail: TranscriptDetail {
                language: Some("en".to_owned()),
                segments: Vec::new(),
            },
        },
        asked: Asked::default(),
    }
}

impl Transcriber for Ears {
    fn info(&self) -> ModelInfo {
        info("ears")
    }

    fn capabilities(&self) -> TranscriberCapabilities {
        self.capabilities.clone()
    }

    fn open(&self, options: TranscribeOptions) -> Result<TranscriptionSession, InferenceError> {
        let (audio, mut heard) = mpsc::unbounded_channel();
        let (sender, events) = mpsc::unbounded_channel();
        let this = self.clone();
        tokio::spawn(async move {
            let mut samples = 0;
            while let Some(TranscriberInput::Audio(pcm)) = heard.recv().await {
                samples += pcm.len();
            }
            this.asked.lock().unwrap().push((options, samples));
            let _ = sender.send(this.answer);
        });
        Ok(TranscriptionSession { audio, events })
    }
}

/// A voice that sounds a second of a constant for each clause.
#[derive(Clone, Default)]
struct Voice {
    asked: Asked<SpeechRequest>,
    refuses: Option<InferenceError>,
}

impl Synthesizer for Voice {
    fn info(&self) -> ModelInfo {
        info("voice")
    }

    fn synthesize(&self, request: SpeechRequest) -> Result<SpeechStream, InferenceError> {
        self.asked.lock().unwrap().push(request);
        if let Some(error) = &self.refuses {
            return Err(error.clone());
        }
        let (sender, events) = mpsc::unbounded_channel();
        sender.send(SpeechEvent::Audio(vec![1000; 16_000])).unwrap();
        sender
            .send(SpeechEvent::Done {
                compute: Duration::ZERO,
            })
            .unwrap();
        Ok(SpeechStream { events })
    }
}

fn serving(chat: &Chat) -> Router {
    let served = Served {
        chat: Some(Arc::new(chat.clone())),
        ..Served::default()
    };
    router(served, Limits::default(), None)
}

/// A request with a JSON body.
fn post(path: &str, body: &Value) -> Request<Body> {
    post_bytes(path, body.to_string().into_bytes())
}

fn post_bytes(path: &str, body: Vec<u8>) -> Request<Body> {
    Request::post(path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .unwrap()
}

async fn answer(router: &Router, request: Request<Body>) -> Response<Body> {
    router.clone().oneshot(request).await.unwrap()
}

async fn bytes(response: Response<Body>) -> Vec<u8> {
    to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap()
        .to_vec()
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(bytes(response).await).unwrap()
}

async fn json_of(response: Response<Body>) -> Value {
    serde_json::from_slice(&bytes(response).await).unwrap()
}

/// Status and the error object of a refusal.
async fn refusal(router: &Router, request: Request<Body>) -> (StatusCode, Value) {
    let response = answer(router, request).await;
    let status = response.status();
    let mut body = json_of(response).await;
    (status, body["error"].take())
}

fn hello() -> Value {
    json!({"model": "talker", "messages": [{"role": "user", "content": "hello"}]})
}

/// `hello` with one field more.
fn hello_with(field: &str, value: Value) -> Value {
    let mut body = hello();
    body[field] = value;
    body
}
