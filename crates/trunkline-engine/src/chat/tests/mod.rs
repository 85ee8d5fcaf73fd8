//! What a call relies on in the language model: streaming, cancellation, an answer whatever
//! happens, and that nobody else on the model changes a word of it.

mod alone;
mod calls;
mod refusals;
mod starter;
mod tools;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc as gate};

use trunkline_inference::{ChatDelta, FinishReason, Sampling};
use trunkline_nn::llama::{BLOCK_TOKENS, Logits, Row};

use super::*;

/// A model that tells stories, real and very small. What is asked is how its story begins.
fn storyteller() -> Llama {
    let place = story_folder("");
    Llama::load(place.path(), &trunkline_nn::cpu()).unwrap()
}

/// The files of a storyteller whose stories all begin with `opening`.
pub(crate) fn story_folder(opening: &str) -> tempfile::TempDir {
    let fixture = Path::new("../trunkline-nn/tests/fixtures/stories260K");
    let place = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(fixture.join(file), place.path().join(file)).unwrap();
    }
    let messages = "{% for message in messages %}{{ message['content'] }}{% if not loop.last \
                    %}\n{% endif %}{% endfor %}";
    let template = format!("{{{{ bos_token }}}}{opening}{messages}");
    let about = serde_json::json!({ "bos_token": "<s>", "chat_template": template });
    std::fs::write(
        place.path().join("tokenizer_config.json"),
        about.to_string(),
    )
    .unwrap();
    place
}

/// What a test sees and decides of the steps.
struct Rig {
    /// Each step waits for one of these, where the test has the other end.
    permits: Option<gate::Receiver<()>>,
    /// Tokens of each row of each step.
    steps: gate::Sender<Vec<usize>>,
    panic: Arc<AtomicBool>,
}

struct Rigged {
    network: LlamaNetwork,
    rig: Arc<Mutex<Rig>>,
}

impl StepNetwork for Rigged {
    fn blocks(&self) -> usize {
        self.network.blocks()
    }

    fn step(&mut self, copies: &[(u32, u32)], rows: &[Row<'_>]) -> Result<Logits, NnError> {
        let panic = {
            let rig = self.rig.lock().unwrap();
            if let Some(permits) = &rig.permits {
                // The test is over when there is no one to permit.
                let _ = permits.recv();
            }
            let _ = rig
                .steps
                .send(rows.iter().map(|row| row.tokens.len()).collect());
            rig.panic.swap(false, Ordering::SeqCst)
        };
        assert!(!panic, "a bug in the model");
        self.network.step(copies, rows)
    }
}

/// A storyteller on a worker, and what is known of its steps.
struct Bench {
    chat: LlamaChat,
    steps: gate::Receiver<Vec<usize>>,
    panic: Arc<AtomicBool>,
}

impl Bench {
    fn new() -> Self {
        Self::with(ChatSettings::default(), None)
    }

    /// Steps wait until they are permitted.
    fn gated() -> (Self, gate::Sender<()>) {
        let (permit, permits) = gate::channel();
        let settings = ChatSettings {
            waiting_rows: 8,
            ..ChatSettings::default()
        };
        (Self::with(settings, Some(permits)), permit)
    }

    fn with(settings: ChatSettings, permits: Option<gate::Receiver<()>>) -> Self {
        Self::on(storyteller(), settings, permits)
    }

    fn on(model: Llama, settings: ChatSettings, permits: Option<gate::Receiver<()>>) -> Self {
        let (told, steps) = gate::channel();
        let panic = Arc::new(AtomicBool::new(false));
        let rig = Arc::new(Mutex::new(Rig {
            permits,
            steps: told,
            panic: Arc::clone(&panic),
        }));
        let build = move |model: &Arc<Llama>| {
            let network = LlamaNetwork::new(model, &settings).unwrap();
            let rig = Arc::clone(&rig);
            Ok(Box::new(Rigged { network, rig }) as Box<dyn StepNetwork>)
        };
        let chat = LlamaChat::start("test", model, settings, Box::new(build)).unwrap();
        Self { chat, steps, panic }
    }

    fn say(&self, request: ChatRequest) -> Said {
        hear(self.chat.generate(request).unwrap())
    }
}

fn ask(text: &str, max_tokens: usize) -> ChatRequest {
    ChatRequest {
        messages: vec![ChatMessage::user(text)],
        max_tokens,
        ..ChatRequest::default()
    }
}

fn choice(said: &str, neutral: Option<&str>) -> ChoiceRequest {
    ChoiceRequest {
        messages: vec![ChatMessage::user(said)],
        options: [" a dog", " the little girl with a ball", " cat"]
            .map(str::to_owned)
            .to_vec(),
        neutral: neutral.map(|text| vec![ChatMessage::user(text)]),
        ..ChoiceRequest::default()
    }
}

/// A reply, whole.
#[derive(Debug, Clone, PartialEq)]
struct Said {
    text: String,
    deltas: Vec<ChatDelta>,
    end: Result<End, InferenceError>,
}

/// How a reply ended.
#[derive(Debug, Clone, Copy, PartialEq)]
struct End {
    finish: FinishReason,
    prompt: usize,
    cached: usize,
    reply: usize,
}

fn hear(mut stream: ChatStream) -> Said {
    let deltas: Vec<ChatDelta> = std::iter::from_fn(|| stream.deltas.blocking_recv()).collect();
    let text = deltas.iter().filter_map(|delta| match delta {
        ChatDelta::Text(text) => Some(text.as_str()),
        _ => None,
    });
    let end = match deltas.last() {
        Some(ChatDelta::Done {
            finish,
            prompt_tokens,
            cached_tokens,
            reply_tokens,
            first_token,
            compute,
        }) => {
            assert!(first_token <= compute);
            Ok(End {
                finish: *finish,
                prompt: *prompt_tokens,
                cached: *cached_tokens,
                reply: *reply_tokens,
            })
        }
        Some(ChatDelta::Failed(error)) => Err(error.clone()),
        _ => panic!("the stream just ended: {deltas:?}"),
    };
    Said {
        text: text.collect(),
        deltas: deltas.clone(),
        end,
    }
}

fn chosen(pending: PendingChoice) -> trunkline_inference::ChoiceResult {
    pending.blocking_recv().unwrap().unwrap()
}
