//! What a call relies on in the worker: an answer whatever happens, and rows for who waits.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc as gate;
use std::sync::{Arc, Mutex};

use trunkline_audio::{Wav, resample};
use trunkline_inference::{
    InferenceError, SAMPLE_RATE_HZ, TranscribeOptions, Transcriber, TranscriberCapabilities,
    TranscriberInput, TranscriptEvent, TranscriptionSession, Urgency,
};
use trunkline_nn::{NnError, Passage, WhisperOptions};

use super::super::WhisperTranscriber;
use super::super::network::{FrontEnd, Heard, Part, RecogniserNetwork};
use super::super::queue::Pass;
use super::{silence, voice};

/// A recogniser that does what each utterance's first sample says.
struct Scripted {
    rows: Vec<(u64, i16)>,
    slots: usize,
    told: gate::Sender<Told>,
}

/// What a row of it went through.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Joined(i16),
    Cancelled,
}

const PANIC: i16 = 1;
const FAIL: i16 = 2;
const DEAF: i16 = 3;
const ENDLESS: i16 = 4;

fn scripted(slots: usize, told: &gate::Sender<Told>) -> Scripted {
    Scripted {
        rows: Vec::new(),
        slots,
        told: told.clone(),
    }
}

struct FirstSample;

impl FrontEnd<i16> for FirstSample {
    fn listen(&self, pass: &Pass) -> Result<Heard<i16>, NnError> {
        assert_ne!(pass.pcm[0], DEAF, "a bug in the front end");
        // A window a second, as a long recording has many.
        let parts = pass.pcm.chunks(16_000).map(|part| Part {
            window: pass.pcm[0],
            samples: part.len(),
            frames: 100,
        });
        Ok(Heard {
            parts: parts.collect(),
            options: WhisperOptions::default(),
        })
    }
}

impl RecogniserNetwork for Scripted {
    type Window = i16;

    fn capabilities(&self) -> TranscriberCapabilities {
        TranscriberCapabilities::default()
    }

    fn front_end(&self) -> Arc<dyn FrontEnd<i16>> {
        Arc::new(FirstSample)
    }

    fn free(&self) -> usize {
        self.slots - self.rows.len()
    }

    fn join(
        &mut self,
        windows: Vec<(u64, &i16, WhisperOptions)>,
    ) -> Result<Vec<Result<(), NnError>>, NnError> {
        assert!(windows.len() <= self.free());
        let joined = windows.into_iter().map(|(row, first, _)| match *first {
            PANIC => panic!("a bug in the model"),
            FAIL => Err(NnError::UnknownLanguage {
                language: "xx".to_owned(),
            }),
            first => {
                self.rows.push((row, first));
                let _ = self.told.send(Told::Joined(first));
                Ok(())
            }
        });
        Ok(joined.collect())
    }

    fn step(&mut self) -> Result<Vec<(u64, Result<Passage, NnError>)>, NnError> {
        let ended = self.rows.extract_if(.., |(_, first)| *first != ENDLESS);
        Ok(ended.map(|(row, _)| (row, Ok(passage("fine")))).collect())
    }

    fn cancel(&mut self, number: u64) {
        self.rows.retain(|(row, _)| *row != number);
        let _ = self.told.send(Told::Cancelled);
    }
}

fn passage(text: &str) -> Passage {
    Passage {
        text: text.to_owned(),
        tokens: vec![1],
        log_prob: -1.0,
        no_speech_prob: 0.1,
        compression_ratio: 1.0,
        temperature: 0.0,
        language: None,
        segments: Vec::new(),
    }
}

fn say(model: &WhisperTranscriber<i16>, first: i16) -> TranscriptionSession {
    let session = model.open(TranscribeOptions::default()).unwrap();
    let mut pcm = voice(100);
    pcm[0] = first;
    session.audio.send(TranscriberInput::Audio(pcm)).unwrap();
    session.audio.send(TranscriberInput::Finish).unwrap();
    session
}

fn answer(session: &mut TranscriptionSession) -> TranscriptEvent {
    session.events.blocking_recv().unwrap()
}

#[test]
fn a_panic_answers_its_utterance_and_the_next_one_is_served() {
    let loads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&loads);
    let model = WhisperTranscriber::start(
        "test",
        Box::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(scripted(4, &gate::channel().0))
        }),
    )
    .unwrap();
    let mut first = say(&model, PANIC);
    let TranscriptEvent::Failed(InferenceError::Unavailable { reason, .. }) = answer(&mut first)
    else {
        panic!("not unavailable");
    };
    assert!(reason.contains("a bug in the model"));
    let failed = answer(&mut say(&model, FAIL));
    assert!(matches!(
        failed,
        TranscriptEvent::Failed(InferenceError::BadRequest { .. })
    ));
    assert!(matches!(
        answer(&mut say(&model, 9)),
        TranscriptEvent::Final { .. }
    ));
    assert_eq!(loads.load(Ordering::SeqCst), 2);
}

#[test]
fn a_model_that_cannot_be_loaded_again_answers_everyone() {
    let (go, wait) = gate::channel::<()>();
    let first_load = AtomicUsize::new(0);
    let wait = Mutex::new(wait);
    let model = WhisperTranscriber::start(
        "test",
        Box::new(move || {
            if first_load.fetch_add(1, Ordering::SeqCst) == 0 {
                return Ok(scripted(4, &gate::channel().0));
            }
            wait.lock().unwrap().recv().unwrap();
            Err("the file is gone".to_owned())
        }),
    )
    .unwrap();
    let mut first = say(&model, PANIC);
    assert!(matches!(answer(&mut first), TranscriptEvent::Failed(_)));
    let mut waiting = say(&model, 9);
    go.send(()).unwrap();
    assert!(matches!(
        answer(&mut waiting),
        TranscriptEvent::Failed(InferenceError::Unavailable { reason, .. })
            if reason == "the file is gone"
    ));
    assert!(matches!(
        model.open(TranscribeOptions::default()),
        Err(InferenceError::Unavailable { .. })
    ));
}

/// A model with so many rows, and what these go through.
fn start(slots: usize) -> (WhisperTranscriber<i16>, gate::Receiver<Told>) {
    let (tell, told) = gate::channel();
    let load = move || Ok(scripted(slots, &tell));
    let model = WhisperTranscriber::start("test", Box::new(load)).unwrap();
    (model, told)
}

#[test]
fn a_front_end_that_panics_fails_its_own_utterance() {
    let model = start(2).0;
    let mut deaf = say(&model, DEAF);
    let TranscriptEvent::Failed(InferenceError::Unavailable { reason, .. }) = answer(&mut deaf)
    else {
        panic!("not unavailable");
    };
    assert!(reason.contains("a bug in the front end"), "{reason}");
    assert!(matches!(
        answer(&mut say(&model, 9)),
        TranscriptEvent::Final { .. }
    ));
}

#[test]
fn a_session_that_is_dropped_frees_its_row_and_the_next_one_gets_it() {
    let (model, told) = start(1);
    let endless = say(&model, ENDLESS);
    assert_eq!(told.recv(), Ok(Told::Joined(ENDLESS)));
    let mut waiting = say(&model, 9);
    assert!(waiting.events.try_recv().is_err());
    drop(endless);
    assert!(matches!(
        answer(&mut waiting),
        TranscriptEvent::Final { .. }
    ));
    assert_eq!(told.recv(), Ok(Told::Cancelled));
    assert_eq!(told.recv(), Ok(Told::Joined(9)));
}

#[test]
fn what_is_ahead_of_need_gives_its_row_to_an_end() {
    let (model, told) = start(1);
    let options = TranscribeOptions {
        partials: true,
        ..TranscribeOptions::default()
    };
    let speaking = model.open(options).unwrap();
    let mut pcm = voice(1000);
    pcm[0] = ENDLESS;
    speaking.audio.send(TranscriberInput::Audio(pcm)).unwrap();
    assert_eq!(told.recv(), Ok(Told::Joined(ENDLESS)));
    let mut ended = say(&model, 9);
    assert!(matches!(answer(&mut ended), TranscriptEvent::Final { .. }));
    assert_eq!(told.recv(), Ok(Told::Cancelled));
}

#[test]
fn many_sessions_at_once_and_long_ones_are_all_answered() {
    let model = start(3).0;
    let mut open: Vec<_> = (0..40)
        .map(|n| {
            let options = TranscribeOptions {
                urgency: if n % 3 == 0 {
                    Urgency::Background
                } else {
                    Urgency::default()
                },
                ..TranscribeOptions::default()
            };
            let session = model.open(options).unwrap();
            let mut pcm = voice(1000 * (1 + n % 7));
            pcm[0] = 9;
            session.audio.send(TranscriberInput::Audio(pcm)).unwrap();
            session.audio.send(TranscriberInput::Finish).unwrap();
            (1 + n % 7, session)
        })
        .collect();
    for (parts, session) in &mut open {
        let TranscriptEvent::Final { text, .. } = answer(session) else {
            panic!("no final");
        };
        assert_eq!(text, vec!["fine"; *parts].join(" "));
    }
}

#[test]
fn shutting_down_answers_open_sessions() {
    let model = start(4).0;
    let mut open = model.open(TranscribeOptions::default()).unwrap();
    drop(model);
    assert!(matches!(
        answer(&mut open),
        TranscriptEvent::Failed(InferenceError::Unavailable { .. })
    ));
}

/// A clip of the starter model as 16 kHz samples.
fn clip(name: &str) -> Vec<i16> {
    let path = PathBuf::from("../../models/starter/whisper-starter/clips").join(name);
    let wav = Wav::parse(&std::fs::read(path).unwrap()).unwrap();
    resample(&wav.channel(0), wav.format.sample_rate_hz, SAMPLE_RATE_HZ).unwrap()
}

#[test]
fn the_starter_model_hears_a_phrase_with_partials_and_a_final() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = crate::Catalog::embedded().unwrap();
    let store = crate::ModelStore::open(folder.path(), catalog).unwrap();
    let installed = store.pull("whisper-starter", &mut |_| {}).unwrap();
    let model = WhisperTranscriber::load(&installed).unwrap();
    let options = TranscribeOptions {
        language: Some("en".to_owned()),
        partials: true,
        ..TranscribeOptions::default()
    };
    let mut session = model.open(options).unwrap();
    let mut pcm = clip("phrase_06.wav");
    let spoken = pcm.len();
    pcm.extend(silence(300));
    for frame in pcm[..spoken].chunks(320) {
        session
            .audio
            .send(TranscriberInput::Audio(frame.to_vec()))
            .unwrap();
    }
    // The first partial shows that the worker keeps up; what follows is the end.
    let first = answer(&mut session);
    assert!(
        matches!(first, TranscriptEvent::Partial { .. }),
        "{first:?}"
    );
    session
        .audio
        .send(TranscriberInput::Audio(pcm[spoken..].to_vec()))
        .unwrap();
    session.audio.send(TranscriberInput::Finish).unwrap();
    let mut last = None;
    while let Some(event) = session.events.blocking_recv() {
        last = Some(event);
    }
    let Some(TranscriptEvent::Final { text, audio, .. }) = last else {
        panic!("no final: {last:?}");
    };
    assert_eq!(audio, crate::instant::duration_of(pcm.len()));
    let said = "my account number is four seven two nine one";
    let found = said
        .split(' ')
        .filter(|word| text.split(' ').any(|heard| heard == *word));
    assert!(found.count() >= 7, "heard {text:?}");
}

#[test]
fn several_callers_at_once_hear_what_each_would_alone_with_words_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = crate::Catalog::embedded().unwrap();
    let store = crate::ModelStore::open(folder.path(), catalog).unwrap();
    let installed = store.pull("whisper-starter", &mut |_| {}).unwrap();
    let model = WhisperTranscriber::load(&installed).unwrap();
    let open = |name: &str| {
        let options = TranscribeOptions {
            words: true,
            ..TranscribeOptions::default()
        };
        let session = model.open(options).unwrap();
        session
            .audio
            .send(TranscriberInput::Audio(clip(name)))
            .unwrap();
        session.audio.send(TranscriberInput::Finish).unwrap();
        session
    };
    let hear = |session: &mut TranscriptionSession| {
        let TranscriptEvent::Final {
            text,
            detail,
            audio,
            ..
        } = answer(session)
        else {
            panic!("no final");
        };
        let words: Vec<_> = detail.segments.iter().flat_map(|s| &s.words).collect();
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts.join(" "), text);
        assert!(words.iter().all(|word| word.end <= audio + word.start));
        text
    };
    let names: Vec<String> = (0..8).map(|n| format!("phrase_0{n}.wav")).collect();
    let alone: Vec<String> = names.iter().map(|name| hear(&mut open(name))).collect();
    let mut together: Vec<_> = names.iter().map(|name| open(name)).collect();
    let together: Vec<String> = together.iter_mut().map(hear).collect();
    assert_eq!(together, alone);
    assert!(alone.iter().filter(|text| !text.is_empty()).count() >= 6);
}
