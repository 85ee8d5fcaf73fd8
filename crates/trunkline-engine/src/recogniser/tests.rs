//! What a call relies on in the recogniser: order, reuse, and an answer whatever happens.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc as gate;
use std::time::Duration;

use trunkline_audio::{Wav, resample};
use trunkline_inference::{SAMPLE_RATE_HZ, TranscriptEvent};
use trunkline_nn::{NnError, Transcription};

use super::queue::{MAX_SAMPLES, Pass};
use super::*;

type Events = mpsc::UnboundedReceiver<TranscriptEvent>;

fn heard(text: &str) -> Result<Transcription, NnError> {
    Ok(Transcription {
        text: text.to_owned(),
        tokens: Vec::new(),
        mean_log_prob: -0.5,
        no_speech_prob: 0.1,
    })
}

fn voice(ms: usize) -> Vec<i16> {
    (0..ms * 16)
        .map(|i| if i % 20 < 10 { 4000 } else { -4000 })
        .collect()
}

fn silence(ms: usize) -> Vec<i16> {
    vec![0; ms * 16]
}

/// A queue, and a clock that is moved by hand.
struct Rig {
    queue: Queue,
    start: Instant,
}

impl Rig {
    fn new() -> Self {
        Self {
            queue: Queue::new("test"),
            start: Instant::now(),
        }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    fn open(&mut self, partials: bool) -> (u64, Events) {
        let (sender, events) = mpsc::unbounded_channel();
        let options = TranscribeOptions {
            language: None,
            partials,
            ..TranscribeOptions::default()
        };
        (self.queue.open(options, sender).unwrap(), events)
    }

    fn next_id(&mut self) -> Option<u64> {
        self.queue.next().map(|pass| pass.id)
    }

    fn run(&mut self, text: &str, ms: u64) -> Pass {
        let pass = self.queue.next().unwrap();
        let now = self.at(ms);
        self.queue.complete(&pass, heard(text), now);
        pass
    }
}

fn final_text(events: &mut Events) -> Option<(String, Duration)> {
    loop {
        match events.try_recv() {
            Ok(TranscriptEvent::Final { text, compute, .. }) => return Some((text, compute)),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

#[test]
fn finals_go_before_partials_and_the_earliest_end_first() {
    let mut rig = Rig::new();
    let (speaking, _a) = rig.open(true);
    let (later, _b) = rig.open(true);
    let (earlier, _c) = rig.open(true);
    for id in [speaking, later, earlier] {
        assert!(rig.queue.push(id, &voice(2000)));
    }
    let (soon, late) = (rig.at(10), rig.at(20));
    rig.queue.finish(later, late);
    rig.queue.finish(earlier, soon);
    assert_eq!(rig.run("one", 30).id, earlier);
    assert_eq!(rig.run("two", 40).id, later);
    assert_eq!(rig.run("three", 50).id, speaking);
    assert_eq!(rig.next_id(), None);
}

#[test]
fn a_partial_is_due_every_four_hundred_milliseconds_of_new_audio() {
    let mut rig = Rig::new();
    let (id, mut events) = rig.open(true);
    rig.queue.push(id, &voice(380));
    assert_eq!(rig.next_id(), None);
    rig.queue.push(id, &voice(20));
    rig.run("i want", 1);
    assert_eq!(rig.next_id(), None);
    rig.queue.push(id, &voice(700));
    assert_eq!(rig.run("i want to", 2).pcm.len(), 1100 * 16);
    assert_eq!(
        events.try_recv().unwrap(),
        TranscriptEvent::Partial {
            text: "i want".to_owned(),
            stable_bytes: 0,
            audio: Duration::from_millis(400),
        }
    );
    assert_eq!(
        events.try_recv().unwrap(),
        TranscriptEvent::Partial {
            text: "i want to".to_owned(),
            stable_bytes: 6,
            audio: Duration::from_millis(1100),
        }
    );
}

#[test]
fn without_partials_nothing_is_computed_while_the_caller_speaks() {
    let mut rig = Rig::new();
    let (id, mut events) = rig.open(false);
    rig.queue.push(id, &voice(3000));
    assert_eq!(rig.next_id(), None);
    rig.queue.push(id, &silence(200));
    rig.run("hello", 1);
    assert!(events.try_recv().is_err());
}

#[test]
fn the_text_computed_ahead_is_the_final_when_only_silence_follows() {
    let mut rig = Rig::new();
    let (id, mut events) = rig.open(false);
    rig.queue.push(id, &voice(1000));
    rig.queue.push(id, &silence(180));
    rig.run("yes please", 1);
    rig.queue.push(id, &silence(400));
    assert_eq!(rig.next_id(), None);
    let now = rig.at(700);
    rig.queue.finish(id, now);
    assert_eq!(
        final_text(&mut events),
        Some(("yes please".to_owned(), Duration::ZERO))
    );
}

#[test]
fn a_text_is_not_reused_when_voice_followed_it() {
    let mut rig = Rig::new();
    let (id, mut events) = rig.open(false);
    rig.queue.push(id, &voice(1000));
    rig.queue.push(id, &silence(200));
    rig.run("yes", 1);
    rig.queue.push(id, &voice(60));
    rig.queue.push(id, &silence(100));
    let now = rig.at(500);
    rig.queue.finish(id, now);
    assert_eq!(final_text(&mut events), None);
    rig.run("yes please", 560);
    let answer = ("yes please".to_owned(), Duration::from_millis(60));
    assert_eq!(final_text(&mut events), Some(answer));
}

#[test]
fn a_pass_under_way_at_the_end_answers_when_it_covers_all_that_was_said() {
    let mut rig = Rig::new();
    let (id, mut events) = rig.open(false);
    rig.queue.push(id, &voice(1000));
    rig.queue.push(id, &silence(200));
    let pass = rig.queue.next().unwrap();
    rig.queue.push(id, &silence(100));
    let (end, done) = (rig.at(100), rig.at(130));
    rig.queue.finish(id, end);
    rig.queue.complete(&pass, heard("good bye"), done);
    assert_eq!(
        final_text(&mut events),
        Some(("good bye".to_owned(), Duration::from_millis(30)))
    );
}

#[test]
fn nobody_spoke_gives_an_empty_final_without_a_pass() {
    let mut rig = Rig::new();
    let (id, mut events) = rig.open(true);
    rig.queue.push(id, &silence(3000));
    assert_eq!(rig.next_id(), None);
    let now = rig.at(0);
    rig.queue.finish(id, now);
    assert_eq!(
        final_text(&mut events),
        Some((String::new(), Duration::ZERO))
    );
}

#[test]
fn a_failed_partial_is_not_tried_again_on_the_same_audio() {
    let mut rig = Rig::new();
    let (id, mut events) = rig.open(true);
    rig.queue.push(id, &voice(1000));
    rig.queue.push(id, &silence(200));
    let (pass, now) = (rig.queue.next().unwrap(), rig.at(1));
    rig.queue.complete(&pass, Err(NnError::NoOptions), now);
    assert_eq!(rig.next_id(), None);
    rig.queue.finish(id, now);
    rig.run("hello", 2);
    assert_eq!(final_text(&mut events).unwrap().0, "hello");
}

#[test]
fn an_endless_utterance_is_refused_and_a_dropped_one_forgotten() {
    let mut rig = Rig::new();
    let (id, mut events) = rig.open(true);
    assert!(rig.queue.push(id, &vec![500; MAX_SAMPLES]));
    assert!(!rig.queue.push(id, &[0]));
    assert!(matches!(
        events.try_recv(),
        Ok(TranscriptEvent::Failed(InferenceError::BadRequest { .. }))
    ));
    let (id, events) = rig.open(true);
    rig.queue.push(id, &voice(1000));
    drop(events);
    assert_eq!(rig.next_id(), None);
}

/// A recogniser that does what each utterance's first sample says.
struct Scripted;

const PANIC: i16 = 1;
const FAIL: i16 = 2;

impl RecogniserNetwork for Scripted {
    fn transcribe(&mut self, pcm: &[i16], _: Option<&str>) -> Result<Transcription, NnError> {
        match pcm[0] {
            PANIC => panic!("a bug in the model"),
            FAIL => Err(NnError::UnknownLanguage {
                language: "xx".to_owned(),
            }),
            _ => heard("fine"),
        }
    }
}

fn say(model: &WhisperTranscriber, first: i16) -> TranscriptionSession {
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
            Ok(Box::new(Scripted) as Box<dyn RecogniserNetwork>)
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
                return Ok(Box::new(Scripted) as Box<dyn RecogniserNetwork>);
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

#[test]
fn shutting_down_answers_open_sessions() {
    let load = || Ok(Box::new(Scripted) as Box<dyn RecogniserNetwork>);
    let model = WhisperTranscriber::start("test", Box::new(load)).unwrap();
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
