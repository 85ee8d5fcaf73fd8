//! Remote models over our own server: what goes in at one end comes out at the other as if there
//! were nothing between.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use trunkline_inference::{
    ChatCapabilities, ChatDelta, ChatModel, ChatRequest, ChatStream, ChoiceRequest, ChoiceResult,
    Constraint, FinishReason, InferenceError, LogProb, ModelInfo, PendingChoice, Sampling,
    SpeechEvent, SpeechRequest, SpeechStream, Synthesizer, TokenLogProb, Tool, ToolCall, Urgency,
};

use super::super::{RemoteChat, RemoteVoice};
use super::{deltas, hello, pool, yes_or_no};
use crate::server::{Limits, Served, listen, router};

/// A model that can do everything, and keeps what it was asked.
#[derive(Default)]
struct Local {
    asked: Mutex<Vec<ChatRequest>>,
    chosen: Mutex<Vec<ChoiceRequest>>,
}

fn everything() -> Vec<ChatDelta> {
    let token = |text: &str| LogProb {
        bytes: text.as_bytes().to_vec(),
        log_prob: -0.25,
    };
    vec![
        ChatDelta::Text("Grüße".to_owned()),
        ChatDelta::LogProbs(vec![TokenLogProb {
            token: token("Grüße"),
            top: vec![token("Grüße"), token("Hallo")],
        }]),
        ChatDelta::ToolCall(ToolCall {
            id: "c1".to_owned(),
            name: "book".to_owned(),
            arguments: "{\"day\": 1}".to_owned(),
        }),
        ChatDelta::Done {
            finish: FinishReason::ToolCalls,
            prompt_tokens: 11,
            cached_tokens: 4,
            reply_tokens: 2,
            first_token: Duration::ZERO,
            compute: Duration::ZERO,
        },
    ]
}

impl ChatModel for Local {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            name: "talker".to_owned(),
            engine: "local".to_owned(),
        }
    }

    fn capabilities(&self) -> ChatCapabilities {
        ChatCapabilities {
            tools: true,
            constraints: true,
            logprobs: Some(20),
            min_p: true,
            context_tokens: None,
        }
    }

    fn generate(&self, request: ChatRequest) -> Result<ChatStream, InferenceError> {
        self.asked.lock().unwrap().push(request);
        let (sender, deltas) = mpsc::unbounded_channel();
        for delta in everything() {
            sender.send(delta).unwrap();
        }
        Ok(ChatStream { deltas })
    }

    fn choose(&self, request: ChoiceRequest) -> Result<PendingChoice, InferenceError> {
        self.chosen.lock().unwrap().push(request);
        let (answer, choice) = oneshot::channel();
        let result = ChoiceResult {
            best: 1,
            probabilities: vec![0.125, 0.875],
            compute: Duration::ZERO,
        };
        answer.send(Ok(result)).unwrap();
        Ok(choice)
    }
}

struct Tone;

impl Synthesizer for Tone {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            name: "talker".to_owned(),
            engine: "local".to_owned(),
        }
    }

    fn synthesize(&self, request: SpeechRequest) -> Result<SpeechStream, InferenceError> {
        assert_eq!(
            (request.speed, request.urgency),
            (1.5, Urgency::TurnCritical)
        );
        let (sender, events) = mpsc::unbounded_channel();
        for level in 0..4 {
            sender.send(SpeechEvent::Audio(vec![level; 3200])).unwrap();
        }
        let compute = Duration::ZERO;
        sender.send(SpeechEvent::Done { compute }).unwrap();
        Ok(SpeechStream { events })
    }
}

/// Serves it on a socket of each kind, and gives the URLs.
async fn serve(local: &Arc<Local>, folder: &std::path::Path) -> [String; 2] {
    let unix = format!("unix:{}", folder.join("engine.sock").display());
    let mut urls = Vec::new();
    for address in [unix.as_str(), "127.0.0.1:0"] {
        let served = Served {
            chat: Some(Arc::clone(local) as Arc<dyn ChatModel>),
            voice: Some(Arc::new(Tone)),
            ..Served::default()
        };
        let listening = listen(&address.parse().unwrap()).await.unwrap();
        let bound = listening.address().to_string();
        urls.push(match bound.starts_with("unix:") {
            true => bound,
            false => format!("http://{bound}"),
        });
        let router = router(served, Limits::default(), None);
        tokio::spawn(listening.serve(router, std::future::pending()));
    }
    urls.try_into().unwrap()
}

#[tokio::test]
async fn a_reply_with_everything_in_it_comes_through_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let local = Arc::new(Local::default());
    let request = ChatRequest {
        sampling: Sampling {
            temperature: 0.5,
            top_p: 0.75,
            min_p: 0.25,
            repetition_penalty: 1.5,
            seed: u64::MAX - 5,
        },
        stop: vec!["\n".to_owned()],
        tools: vec![Tool {
            name: "book".to_owned(),
            description: "books".to_owned(),
            parameters: serde_json::json!({"type": "object"}),
        }],
        constraint: Some(Constraint::ToolCall(None)),
        logprobs: Some(1),
        urgency: Urgency::Speculative,
        one_tool_call: true,
        tenant: trunkline_inference::Tenant(3),
        ..hello()
    };
    for url in serve(&local, folder.path()).await {
        let chat = RemoteChat::new(&pool(&[&url]), Handle::current()).unwrap();
        let got = deltas(chat.generate(request.clone()).unwrap()).await;
        let expected = everything();
        assert_eq!(got[..3], expected[..3]);
        let ChatDelta::Done {
            finish,
            prompt_tokens,
            cached_tokens,
            reply_tokens,
            ..
        } = &got[3]
        else {
            panic!("{got:?}");
        };
        let figures = (*finish, *prompt_tokens, *cached_tokens, *reply_tokens);
        assert_eq!(figures, (FinishReason::ToolCalls, 11, 4, 2));
    }
    let asked = local.asked.lock().unwrap();
    assert_eq!(asked.as_slice(), [request.clone(), request]);
}

#[tokio::test]
async fn a_choice_comes_through_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let local = Arc::new(Local::default());
    let request = ChoiceRequest {
        neutral: Some(yes_or_no().messages),
        urgency: Urgency::Speculative,
        ..yes_or_no()
    };
    for url in serve(&local, folder.path()).await {
        let chat = RemoteChat::new(&pool(&[&url]), Handle::current()).unwrap();
        let result = chat
            .choose(request.clone())
            .unwrap()
            .await
            .unwrap()
            .unwrap();
        assert_eq!((result.best, result.probabilities), (1, vec![0.125, 0.875]));
    }
    assert_eq!(local.chosen.lock().unwrap()[0], request);
}

#[tokio::test]
async fn speech_comes_through_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    for url in serve(&Arc::default(), folder.path()).await {
        let voice = RemoteVoice::new(&pool(&[&url]), Handle::current()).unwrap();
        let request = SpeechRequest {
            text: "hello there".to_owned(),
            speed: 1.5,
            ..SpeechRequest::default()
        };
        let mut stream = voice.synthesize(request).unwrap();
        let mut pcm = Vec::new();
        while let Some(SpeechEvent::Audio(more)) = stream.events.recv().await {
            pcm.extend(more);
        }
        let expected: Vec<i16> = (0..4).flat_map(|level| vec![level; 3200]).collect();
        assert_eq!(pcm, expected);
    }
}
