//! What a call relies on in the language model: streaming, cancellation, and an answer
//! whatever happens.

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::mpsc as gate;

use trunkline_inference::{ChatDelta, FinishReason};
use trunkline_nn::NnError;
use trunkline_nn::llama::{Score, Usage};

use super::network::Watch;
use super::*;

/// A language model that does what the last message says, and tells what it did.
struct Scripted {
    did: gate::Sender<String>,
}

impl LanguageNetwork for Scripted {
    fn generate(
        &mut self,
        request: &ChatRequest,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Usage>, NnError> {
        let text = request
            .messages
            .last()
            .map_or("", |message| message.content.as_str());
        match text {
            "panic" => panic!("a bug in the model"),
            "too long" => {
                return Err(NnError::PromptTooLong {
                    tokens: 9,
                    limit: 8,
                });
            }
            "endless" => {
                self.did.send("begun".to_owned()).unwrap();
                while watch(None).is_continue() {
                    std::thread::yield_now();
                }
                self.did.send("cancelled".to_owned()).unwrap();
                return Ok(None);
            }
            _ => {}
        }
        for word in text.split_inclusive(' ') {
            if watch(Some(word.to_owned())) == ControlFlow::Break(()) {
                return Ok(None);
            }
        }
        self.did.send(format!("said {text}")).unwrap();
        Ok(Some(Usage {
            prompt_tokens: 7,
            cached_tokens: 3,
            reply_tokens: 2,
        }))
    }

    /// An option's score is how often it occurs in the conversation.
    fn score(
        &mut self,
        messages: &[ChatMessage],
        options: &[String],
        _: &mut Watch<'_>,
    ) -> Result<Option<Vec<Score>>, NnError> {
        let text: String = messages
            .iter()
            .map(|message| message.content.as_str())
            .collect();
        self.did.send(format!("scored {text}")).unwrap();
        let score = |option: &String| Score {
            log_prob: text.matches(option.as_str()).count() as f32,
            tokens: 1,
        };
        Ok(Some(options.iter().map(score).collect()))
    }
}

fn start() -> (LlamaChat, gate::Receiver<String>) {
    let (did, done) = gate::channel();
    let did = Mutex::new(did);
    let load = move || {
        let did = did.lock().unwrap().clone();
        Ok(Box::new(Scripted { did }) as Box<dyn LanguageNetwork>)
    };
    (LlamaChat::start("test", load).unwrap(), done)
}

fn ask(text: &str) -> ChatRequest {
    ChatRequest {
        messages: vec![ChatMessage::user(text)],
        max_tokens: 10,
        ..ChatRequest::default()
    }
}

fn collect(mut stream: ChatStream) -> Vec<ChatDelta> {
    std::iter::from_fn(|| stream.deltas.blocking_recv()).collect()
}

fn choice(said: &str, neutral: Option<&str>) -> ChoiceRequest {
    ChoiceRequest {
        messages: vec![ChatMessage::user(said)],
        options: vec!["yes".to_owned(), "no".to_owned()],
        neutral: neutral.map(|text| vec![ChatMessage::user(text)]),
        ..ChoiceRequest::default()
    }
}

#[test]
fn a_reply_streams_and_ends_with_its_figures() {
    let (model, _done) = start();
    let deltas = collect(model.generate(ask("hello there")).unwrap());
    assert_eq!(deltas[0], ChatDelta::Text("hello ".to_owned()));
    assert_eq!(deltas[1], ChatDelta::Text("there".to_owned()));
    let ChatDelta::Done {
        prompt_tokens,
        cached_tokens,
        reply_tokens,
        first_token,
        compute,
        finish: FinishReason::Stop,
    } = deltas[2]
    else {
        panic!("{deltas:?}");
    };
    assert_eq!((prompt_tokens, cached_tokens, reply_tokens), (7, 3, 2));
    assert!(first_token <= compute);
    assert_eq!(deltas.len(), 3);
}

#[test]
fn dropping_the_stream_cancels_at_the_next_step() {
    let (model, done) = start();
    let stream = model.generate(ask("endless")).unwrap();
    assert_eq!(done.recv().unwrap(), "begun");
    drop(stream);
    assert_eq!(done.recv().unwrap(), "cancelled");
    assert_eq!(collect(model.generate(ask("next")).unwrap()).len(), 2);
}

#[test]
fn a_choice_is_calibrated_and_its_neutral_scores_are_computed_once() {
    let (model, done) = start();
    // "no" is mentioned more often, but also where nothing was said.
    let said = "yes no no";
    let plain = model
        .choose(choice(said, None))
        .unwrap()
        .blocking_recv()
        .unwrap()
        .unwrap();
    assert_eq!(plain.best, 1);
    for _ in 0..2 {
        let request = choice(said, Some("no no"));
        let chosen = model
            .choose(request)
            .unwrap()
            .blocking_recv()
            .unwrap()
            .unwrap();
        assert_eq!(chosen.best, 0);
        assert!((chosen.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        let share = 1_f32.exp() / (1_f32.exp() + 1.0);
        assert!((chosen.probabilities[0] - share).abs() < 1e-6);
    }
    let scored: Vec<String> = done.try_iter().collect();
    assert_eq!(
        scored.iter().filter(|line| *line == "scored no no").count(),
        1
    );
}

#[test]
fn a_warmed_up_choice_finds_its_neutral_scores() {
    let (model, done) = start();
    let request = choice("yes", Some("no"));
    model.warm_up_choice(request.neutral.clone().unwrap(), request.options.clone());
    assert_eq!(done.recv().unwrap(), "scored no");
    model
        .choose(request)
        .unwrap()
        .blocking_recv()
        .unwrap()
        .unwrap();
    assert_eq!(done.try_iter().collect::<Vec<_>>(), ["scored yes"]);
}

#[test]
fn a_warm_up_gives_way_to_a_request() {
    let (model, done) = start();
    model.warm_up(vec![ChatMessage::user("endless")]);
    assert_eq!(done.recv().unwrap(), "begun");
    let reply = collect(model.generate(ask("hello")).unwrap());
    assert_eq!(reply.len(), 2);
    assert_eq!(done.recv().unwrap(), "cancelled");
}

#[test]
fn a_panic_answers_its_request_and_the_next_one_is_served() {
    let (model, _done) = start();
    let deltas = collect(model.generate(ask("panic")).unwrap());
    let [ChatDelta::Failed(InferenceError::Unavailable { reason, .. })] = deltas.as_slice() else {
        panic!("{deltas:?}");
    };
    assert!(reason.contains("a bug in the model"));
    assert_eq!(collect(model.generate(ask("hello")).unwrap()).len(), 2);
}

#[test]
fn what_cannot_be_served_is_the_request_s_fault() {
    let (model, _done) = start();
    let deltas = collect(model.generate(ask("too long")).unwrap());
    assert!(
        matches!(
            deltas.as_slice(),
            [ChatDelta::Failed(InferenceError::BadRequest { .. })]
        ),
        "{deltas:?}"
    );
    let mut nothing = choice("x", None);
    nothing.options.clear();
    assert!(matches!(
        model.choose(nothing),
        Err(InferenceError::BadRequest { .. })
    ));
    let mut odd = ask("x");
    odd.sampling.temperature = f32::NAN;
    assert!(matches!(
        model.generate(odd),
        Err(InferenceError::BadRequest { .. })
    ));
}

#[test]
fn a_full_worker_refuses_and_a_shut_down_one_answers_all() {
    let (model, done) = start();
    let running = model.generate(ask("endless")).unwrap();
    assert_eq!(done.recv().unwrap(), "begun");
    let waiting: Vec<ChatStream> = (0..MAX_WAITING)
        .map(|_| model.generate(ask("hello")).unwrap())
        .collect();
    assert!(matches!(
        model.generate(ask("hello")),
        Err(InferenceError::Overloaded { .. })
    ));
    drop(model);
    for stream in waiting {
        let deltas = collect(stream);
        assert!(
            matches!(
                deltas.as_slice(),
                [ChatDelta::Failed(InferenceError::Unavailable { .. })]
            ),
            "{deltas:?}"
        );
    }
    drop(running);
    assert_eq!(done.recv().unwrap(), "cancelled");
}

/// The starter language model, where `trunkline models pull smollm2-135m` has brought it. The
/// demo, which always has it, checks the same and more.
#[test]
fn the_starter_model_chooses_and_replies_where_it_is_installed() {
    let folder = crate::default_models_dir();
    let catalog = crate::Catalog::embedded().unwrap();
    let store = crate::ModelStore::open(&folder, catalog).unwrap();
    let installed = match store.locate("smollm2-135m") {
        Ok(installed) => installed,
        Err(EngineError::NotInstalled { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    let model = LlamaChat::load(&installed).unwrap();
    let chosen = model
        .choose(ChoiceRequest {
            messages: vec![ChatMessage::user("What is the capital of France?")],
            options: ["Rome", "Paris", "Tokyo"].map(str::to_owned).to_vec(),
            ..ChoiceRequest::default()
        })
        .unwrap()
        .blocking_recv()
        .unwrap()
        .unwrap();
    assert_eq!(chosen.best, 1, "{:?}", chosen.probabilities);
    eprintln!("choice: {:?}", chosen.compute);
    let mut computed = Vec::new();
    for _ in 0..2 {
        let deltas = collect(model.generate(ask("Say hello to Susan.")).unwrap());
        let Some(ChatDelta::Done {
            prompt_tokens,
            cached_tokens,
            reply_tokens,
            first_token,
            compute,
            ..
        }) = deltas.last()
        else {
            panic!("{deltas:?}");
        };
        assert!((1..=10).contains(reply_tokens));
        computed.push(prompt_tokens - cached_tokens);
        eprintln!("reply: first token {first_token:?}, {reply_tokens} tokens in {compute:?}");
    }
    // The last token of a prompt is always computed; the rest was known the second time.
    assert!(computed[0] > 1 && computed[1] == 1, "computed {computed:?}");
}
