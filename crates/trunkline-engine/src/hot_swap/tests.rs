//! What callers rely on while a model is exchanged: a reply ends as it began, what comes after is
//! the new model's, and whatever goes wrong, somebody serves.

use std::path::Path;
use std::time::Duration;

use trunkline_inference::{
    ChatDelta, ChatMessage, ChatModel, ChatRequest, ChatStream, TranscribeOptions, Transcriber,
    TranscriberInput, TranscriptEvent,
};

use super::*;
use crate::chat::tests::story_folder;
use crate::{Catalog, ChatSettings, InstalledModel, LlamaChat, ModelStore, WhisperTranscriber};

const MIB: u64 = 1 << 20;

/// Two storytellers who begin otherwise, one that is damaged, and room for so many at once.
struct Rig {
    place: HotSwapChat,
    memory: Arc<MemoryBudget>,
    _folders: Vec<tempfile::TempDir>,
}

impl Rig {
    fn new(room: u64) -> Self {
        let folders = vec![
            story_folder(""),
            story_folder("A dragon came. "),
            story_folder(""),
        ];
        std::fs::write(folders[2].path().join("model.safetensors"), b"no weights").unwrap();
        let paths: Vec<_> = folders
            .iter()
            .map(|folder| folder.path().to_owned())
            .collect();
        let find: Find<LlamaChat> = Box::new(move |name| {
            let at = match name {
                "plain" => 0,
                "dragon" => 1,
                "damaged" => 2,
                _ => {
                    return Err(EngineError::UnknownModel {
                        name: name.to_owned(),
                        nearest: None,
                    });
                }
            };
            let model = installed(&paths[at]);
            Ok(Candidate {
                bytes: MIB,
                load: Box::new(move || LlamaChat::load_with(&model, settings())),
            })
        });
        let memory = Arc::new(MemoryBudget::new(Some(room)));
        Self {
            place: HotSwapChat::load("plain", find, Arc::clone(&memory)).unwrap(),
            memory,
            _folders: folders,
        }
    }
}

fn settings() -> ChatSettings {
    ChatSettings {
        kv_bytes: 1 << 24,
        ..ChatSettings::default()
    }
}

fn installed(folder: &Path) -> InstalledModel {
    InstalledModel {
        manifest: Catalog::embedded()
            .unwrap()
            .get("smollm2-135m")
            .unwrap()
            .clone(),
        folder: folder.to_owned(),
        files: Vec::new(),
        changed: false,
    }
}

fn ask(tokens: usize) -> ChatRequest {
    ChatRequest {
        messages: vec![ChatMessage::user("Once there was a cat who")],
        max_tokens: tokens,
        ..ChatRequest::default()
    }
}

fn said(mut stream: ChatStream) -> String {
    let mut said = String::new();
    while let Some(delta) = stream.deltas.blocking_recv() {
        match delta {
            ChatDelta::Text(text) => said.push_str(&text),
            ChatDelta::Failed(error) => panic!("{error}"),
            _ => {}
        }
    }
    said
}

fn alone(opening: &str, tokens: usize) -> String {
    let folder = story_folder(opening);
    let chat = LlamaChat::load_with(&installed(folder.path()), settings()).unwrap();
    said(chat.generate(ask(tokens)).unwrap())
}

#[test]
fn a_reply_under_way_ends_as_it_began_and_the_next_is_the_new_models() {
    const TOKENS: usize = 300;
    let rig = Rig::new(2);
    rig.place.warm_up(&[ChatMessage::user("Once there")]);
    let mut ahead = rig.place.anticipate();
    ahead.expect(&[ChatMessage::user("Once there was")]);
    let mut stream = rig.place.generate(ask(TOKENS)).unwrap();
    let first = stream.deltas.blocking_recv();
    assert!(matches!(first, Some(ChatDelta::Text(_))), "{first:?}");

    let exchanged = rig.place.exchange(Some("dragon")).unwrap();
    assert_eq!(exchanged.model, "dragon");
    let info = rig.place.info();
    assert_eq!(info.name, "plain");
    assert!(info.engine.ends_with("dragon"), "{}", info.engine);

    let Some(ChatDelta::Text(first)) = first else {
        return;
    };
    assert_eq!(first + &said(stream), alone("", TOKENS));
    let now = said(rig.place.generate(ask(20)).unwrap());
    assert_eq!(now, alone("A dragon came. ", 20));
    assert_ne!(now, alone("", 20));
    // A call that goes on is computed ahead by the new one, and does not keep the old one.
    ahead.expect(&[ChatMessage::user("Once there was a cat")]);
    while rig.memory.admit("third", MIB).is_err() {
        std::thread::yield_now();
    }
}

#[test]
fn where_the_memory_does_not_hold_both_everything_stays_and_the_error_says_what_to_do() {
    let rig = Rig::new(1);
    let refused = rig.place.exchange(Some("dragon")).unwrap_err();
    assert!(matches!(refused, EngineError::NoMemory { .. }), "{refused}");
    assert!(
        refused.to_string().contains("models.memory_mib"),
        "{refused}"
    );
    assert_eq!(said(rig.place.generate(ask(20)).unwrap()), alone("", 20));
}

#[test]
fn a_model_that_does_not_start_takes_nobodys_place() {
    let rig = Rig::new(2);
    for (name, told) in [("damaged", "does not start"), ("nobody", "no model named")] {
        let refused = rig.place.exchange(Some(name)).unwrap_err().to_string();
        assert!(refused.contains(told), "{refused}");
    }
    assert_eq!(said(rig.place.generate(ask(20)).unwrap()), alone("", 20));
    // Its memory counts no more, so that there is room for a right one.
    assert_eq!(rig.place.exchange(None).unwrap().model, "plain");
    assert_eq!(said(rig.place.generate(ask(20)).unwrap()), alone("", 20));
}

#[test]
fn an_utterance_under_way_stays_with_the_recogniser_it_began_with() {
    let folder = tempfile::tempdir().unwrap();
    let store = ModelStore::open(folder.path(), Catalog::embedded().unwrap()).unwrap();
    let starter = store.pull("whisper-starter", &mut |_| {}).unwrap();
    let find: Find<WhisperTranscriber> = Box::new(move |_| {
        let model = starter.clone();
        Ok(Candidate {
            bytes: MIB,
            load: Box::new(move || WhisperTranscriber::load(&model)),
        })
    });
    let memory = Arc::new(MemoryBudget::new(Some(2)));
    let place = HotSwapTranscriber::load("ears", find, Arc::clone(&memory)).unwrap();
    let open = || place.open(TranscribeOptions::default()).unwrap();
    let (mut before, tone) = (open(), vec![300; 8_000]);
    let audio = |session: &trunkline_inference::TranscriptionSession| {
        let _ = session.audio.send(TranscriberInput::Audio(tone.clone()));
    };
    audio(&before);
    assert_eq!(place.exchange(None).unwrap().model, "ears");
    // Both are there as long as somebody is heard by the old one.
    assert!(memory.admit("third", MIB).is_err());
    let mut after = open();
    for session in [&mut after, &mut before] {
        audio(session);
        let _ = session.audio.send(TranscriberInput::Finish);
        let heard = std::iter::from_fn(|| session.events.blocking_recv()).last();
        let Some(TranscriptEvent::Final { audio, .. }) = heard else {
            panic!("{heard:?}");
        };
        assert!(audio >= Duration::from_millis(500), "{audio:?}");
    }
    drop(before);
    while memory.admit("third", MIB).is_err() {
        std::thread::yield_now();
    }
}
