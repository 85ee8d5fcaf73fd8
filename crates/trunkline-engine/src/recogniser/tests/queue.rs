//! What is due when, what is reused, and what is answered without computing.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use trunkline_inference::{InferenceError, TranscribeOptions, TranscriptEvent};
use trunkline_nn::{NnError, Transcription};

use super::super::queue::{Kind, MAX_SAMPLES, Pass, Queue};
use super::{silence, voice};

type Events = mpsc::UnboundedReceiver<TranscriptEvent>;

fn heard(text: &str) -> Result<Transcription, NnError> {
    Ok(Transcription {
        text: text.to_owned(),
        mean_log_prob: -0.5,
        no_speech_prob: 0.1,
        ..Transcription::default()
    })
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
    rig.queue.begun(&pass);
    rig.queue.push(id, &silence(100));
    let (end, done) = (rig.at(100), rig.at(130));
    rig.queue.finish(id, end);
    assert_eq!(rig.next_id(), None);
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

#[test]
fn an_end_replaces_a_pass_that_has_not_begun() {
    let mut rig = Rig::new();
    let (id, mut events) = rig.open(false);
    rig.queue.push(id, &voice(1000));
    rig.queue.push(id, &silence(200));
    let ahead = rig.queue.next().unwrap();
    assert_eq!((ahead.kind, rig.next_id()), (Kind::Early, None));
    let now = rig.at(10);
    rig.queue.finish(id, now);
    let last = rig.queue.next().unwrap();
    assert_eq!((last.id, last.kind), (id, Kind::Final));
    assert!(rig.queue.wants(&last) && !rig.queue.wants(&ahead));
    assert_eq!(rig.next_id(), None);
    rig.queue.complete(&ahead, heard("too late"), now);
    assert_eq!(final_text(&mut events), None);
    rig.queue.complete(&last, heard("yes"), now);
    assert_eq!(final_text(&mut events).unwrap().0, "yes");
}

#[test]
fn a_partial_has_no_words_so_that_a_final_with_words_is_computed() {
    let mut rig = Rig::new();
    let (sender, mut events) = mpsc::unbounded_channel();
    let options = TranscribeOptions {
        partials: true,
        words: true,
        ..TranscribeOptions::default()
    };
    let id = rig.queue.open(options, sender).unwrap();
    rig.queue.push(id, &voice(1000));
    assert_eq!(rig.run("yes", 1).kind, Kind::Partial);
    rig.queue.push(id, &silence(100));
    let now = rig.at(10);
    rig.queue.finish(id, now);
    assert_eq!(final_text(&mut events), None);
    assert_eq!(rig.run("yes", 20).kind, Kind::Final);
    assert_eq!(final_text(&mut events).unwrap().0, "yes");
}

#[test]
fn without_room_an_end_is_refused_and_what_is_ahead_of_need_waits() {
    let mut rig = Rig::new();
    let (id, mut events) = rig.open(true);
    rig.queue.push(id, &voice(1000));
    let partial = rig.queue.next().unwrap();
    rig.queue.refuse(&partial);
    assert_eq!(rig.next_id(), None);
    rig.queue.push(id, &voice(400));
    let partial = rig.queue.next().unwrap();
    assert_eq!(partial.kind, Kind::Partial);
    let now = rig.at(10);
    rig.queue.finish(id, now);
    let last = rig.queue.next().unwrap();
    rig.queue.refuse(&last);
    assert!(matches!(
        events.try_recv(),
        Ok(TranscriptEvent::Failed(InferenceError::Overloaded { .. }))
    ));
}
