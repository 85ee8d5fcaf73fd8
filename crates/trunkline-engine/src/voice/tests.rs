//! The system voice with the real program, which `apt-get install flite` brings.

use std::time::Duration;

use super::*;
use crate::{Catalog, ModelStore};

fn flite() -> FliteVoice {
    let folder = tempfile::tempdir().unwrap();
    let store = ModelStore::open(folder.path(), Catalog::embedded().unwrap()).unwrap();
    FliteVoice::load(&store.locate("flite").unwrap(), None).unwrap()
}

fn request(text: &str) -> SpeechRequest {
    SpeechRequest {
        text: text.to_owned(),
        ..SpeechRequest::default()
    }
}

/// The audio of a clause, and how long it took.
fn speak(voice: &FliteVoice, request: SpeechRequest) -> (Vec<i16>, Duration) {
    let mut stream = voice.synthesize(request).unwrap();
    let mut pcm = Vec::new();
    loop {
        match stream.events.blocking_recv().unwrap() {
            SpeechEvent::Audio(piece) => pcm.extend(piece),
            SpeechEvent::Done { compute } => return (pcm, compute),
            SpeechEvent::Failed(error) => panic!("{error}"),
        }
    }
}

fn milliseconds(pcm: &[i16]) -> usize {
    pcm.len() / 16
}

#[test]
fn a_clause_sounds_at_once_and_ends_soon_after_its_last_word() {
    let (pcm, compute) = speak(&flite(), request("Good morning, Harbour Clinic."));
    assert!(
        (1000..3000).contains(&milliseconds(&pcm)),
        "{} ms",
        milliseconds(&pcm)
    );
    let loud = |sample: &i16| sample.unsigned_abs() > 300;
    let first = pcm.iter().position(loud).unwrap();
    let last = pcm.iter().rposition(loud).unwrap();
    assert!(milliseconds(&pcm[..first]) <= 80, "{first}");
    assert!(milliseconds(&pcm[last..]) <= 250, "{last} of {}", pcm.len());
    assert!(trunkline_audio::rms_dbfs(&pcm) > -35.0);
    assert!(compute > Duration::ZERO);
}

#[test]
fn speed_shortens_and_a_narrow_voice_is_brought_to_the_rate() {
    let voice = flite();
    let clause = request("Your appointment is on Monday at nine");
    let (plain, _) = speak(&voice, clause.clone());
    let (quick, _) = speak(
        &voice,
        SpeechRequest {
            speed: 2.0,
            ..clause.clone()
        },
    );
    let ratio = plain.len() as f64 / quick.len() as f64;
    assert!((1.6..2.2).contains(&ratio), "{ratio}");
    let kal = SpeechRequest {
        voice: Some("kal".to_owned()),
        ..clause
    };
    let (narrow, _) = speak(&voice, kal);
    let ratio = narrow.len() as f64 / plain.len() as f64;
    assert!((0.6..1.6).contains(&ratio), "{ratio}");
}

#[test]
fn what_was_said_once_costs_nothing_again() {
    let voice = flite();
    let (first, _) = speak(&voice, request("One moment, please."));
    let (again, compute) = speak(&voice, request("One  moment,\nplease."));
    assert_eq!(compute, Duration::ZERO);
    assert_eq!(first, again);
}

#[test]
fn text_is_only_ever_text() {
    let voice = flite();
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("written");
    for text in [
        format!("-o {}", target.display()),
        format!("$(touch {})", target.display()),
        format!("yes; touch {}", target.display()),
    ] {
        let (pcm, _) = speak(&voice, request(&text));
        assert!(milliseconds(&pcm) > 300, "{text}");
        assert!(!target.exists(), "{text}");
    }
}

#[test]
fn nothing_to_say_is_done_at_once() {
    let (pcm, compute) = speak(&flite(), request(" \u{1b} … "));
    assert_eq!((pcm.len(), compute), (0, Duration::ZERO));
}

#[test]
fn a_request_that_cannot_be_spoken_is_refused() {
    let voice = flite();
    let unknown = SpeechRequest {
        voice: Some("nobody".to_owned()),
        ..request("hello")
    };
    let mut stopped = request("hello");
    stopped.speed = f32::NAN;
    for refused in [unknown, stopped, request(&"word ".repeat(1000))] {
        assert!(matches!(
            voice.synthesize(refused),
            Err(InferenceError::BadRequest { .. })
        ));
    }
}

#[test]
fn an_unknown_voice_or_a_missing_program_is_named_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let store = ModelStore::open(folder.path(), Catalog::embedded().unwrap()).unwrap();
    let mut model = store.locate("flite").unwrap();
    let error = FliteVoice::load(&model, Some("nobody"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("nobody") && error.contains("slt"), "{error}");
    model.manifest.source = Source::DebianPackage {
        package: "flite-of-nowhere".to_owned(),
        program: "flite-of-nowhere".to_owned(),
    };
    let error = FliteVoice::load(&model, None).unwrap_err().to_string();
    assert!(
        error.ends_with("`apt-get install flite-of-nowhere`"),
        "{error}"
    );
}
