//! Transcripts and speech from afar.

use std::time::Duration;

use serde_json::json;
use tokio::runtime::Handle;
use trunkline_inference::{
    InferenceError, SpeechEvent, SpeechRequest, Synthesizer, TranscribeOptions, Transcriber,
    TranscriberInput, TranscriptEvent, TranscriptWord,
};

use super::super::{RemoteTranscriber, RemoteVoice};
use super::stand_in::{Act, End, StandIn, error};
use super::{pool, wav_at};

async fn heard(model: &RemoteTranscriber, options: TranscribeOptions) -> TranscriptEvent {
    let mut session = model.open(options).unwrap();
    for _ in 0..2 {
        session
            .audio
            .send(TranscriberInput::Audio(vec![7; 4000]))
            .unwrap();
    }
    session.audio.send(TranscriberInput::Finish).unwrap();
    session.events.recv().await.unwrap()
}

#[tokio::test]
async fn an_utterance_is_sent_whole_and_its_transcript_has_figures_and_words() {
    let verbose = json!({
        "text": " I have KYC. ", "language": "en", "duration": 0.5,
        "segments": [{"start": 0.0, "end": 0.5, "text": " I have KYC.", "avg_logprob": -0.5, "no_speech_prob": 0.25}],
        "words": [{"word": "KYC", "start": 0.25, "end": 0.5}],
    });
    let far = StandIn::with([Act::Status(200, "", verbose.to_string())]).await;
    let model = RemoteTranscriber::new(&pool(&[&far.url]), Handle::current()).unwrap();
    let options = TranscribeOptions {
        language: Some("en".to_owned()),
        words: true,
        phrases: vec!["KYC".to_owned()],
        ..TranscribeOptions::default()
    };
    let event = heard(&model, options).await;
    let TranscriptEvent::Final {
        text,
        mean_log_prob,
        detail,
        audio,
        ..
    } = event
    else {
        panic!("{event:?}");
    };
    assert_eq!((text.as_str(), mean_log_prob), ("I have KYC.", -0.5));
    assert_eq!(audio, Duration::from_millis(500));
    let (start, end) = (Duration::from_millis(250), Duration::from_millis(500));
    let word = TranscriptWord {
        text: "KYC".to_owned(),
        start,
        end,
        probability: 1.0,
    };
    assert_eq!(detail.segments[0].words, [word]);
    let form = String::from_utf8_lossy(&far.asked()[0].body).into_owned();
    for part in [
        "name=\"model\"\r\n\r\ntalker",
        "name=\"language\"\r\n\r\nen",
        "verbose_json",
        "KYC",
        "RIFF",
    ] {
        assert!(form.contains(part), "{part}");
    }
}

#[tokio::test]
async fn a_recogniser_that_knows_only_text_is_asked_for_no_more() {
    let plain = || Act::Status(200, "", json!({"text": "hello"}).to_string());
    let far = StandIn::with([error(400, ""), plain(), plain()]).await;
    let model = RemoteTranscriber::new(&pool(&[&far.url]), Handle::current()).unwrap();
    for _ in 0..2 {
        let event = heard(&model, TranscribeOptions::default()).await;
        assert!(
            matches!(&event, TranscriptEvent::Final { text, .. } if text == "hello"),
            "{event:?}"
        );
    }
    assert_eq!(far.rest(), 0);
}

#[tokio::test]
async fn a_transcript_that_breaks_off_is_tried_again_elsewhere() {
    let cut = Act::Pieces(vec![b"{\"text\": \"hel".to_vec()], End::Cut);
    let bad = StandIn::with([cut]).await;
    let good = StandIn::with([Act::Status(200, "", json!({"text": "hello"}).to_string())]).await;
    let model = RemoteTranscriber::new(&pool(&[&bad.url, &good.url]), Handle::current()).unwrap();
    let event = heard(&model, TranscribeOptions::default()).await;
    assert!(
        matches!(&event, TranscriptEvent::Final { text, .. } if text == "hello"),
        "{event:?}"
    );
    let endless = model.open(TranscribeOptions::default()).unwrap();
    let mut events = endless.events;
    endless
        .audio
        .send(TranscriberInput::Audio(vec![0; 121 * 16_000]))
        .unwrap();
    let refused = events.recv().await.unwrap();
    assert!(matches!(
        refused,
        TranscriptEvent::Failed(InferenceError::BadRequest { .. })
    ));
}

async fn spoken(model: &RemoteVoice) -> (Vec<i16>, SpeechEvent) {
    let mut stream = model
        .synthesize(SpeechRequest {
            text: "hello".to_owned(),
            ..SpeechRequest::default()
        })
        .unwrap();
    let mut pcm = Vec::new();
    loop {
        match stream.events.recv().await.unwrap() {
            SpeechEvent::Audio(more) => pcm.extend(more),
            last => return (pcm, last),
        }
    }
}

#[tokio::test]
async fn speech_arrives_as_it_comes_and_at_our_rate() {
    let ours: Vec<Vec<u8>> = wav_at(16_000, &[5; 1000])
        .chunks(300)
        .map(<[u8]>::to_vec)
        .collect();
    let theirs = vec![wav_at(24_000, &[0; 2400])];
    let far = StandIn::with([Act::Pieces(ours, End::Well), Act::Pieces(theirs, End::Well)]).await;
    let model = RemoteVoice::new(&pool(&[&far.url]), Handle::current()).unwrap();
    let (pcm, last) = spoken(&model).await;
    assert_eq!(pcm, vec![5; 1000]);
    assert!(matches!(last, SpeechEvent::Done { .. }));
    let (pcm, _) = spoken(&model).await;
    assert!(pcm.len().abs_diff(1600) <= 2, "{}", pcm.len());
    let body = far.asked()[0].json();
    assert_eq!(
        (&body["input"], &body["voice"]),
        (&json!("hello"), &json!("default"))
    );
}

#[tokio::test]
async fn speech_that_is_none_or_breaks_off_fails_so_that_it_can_be_said_again() {
    let cut = Act::Pieces(vec![wav_at(16_000, &[5; 100])], End::Cut);
    let noise = Act::Status(200, "", "certainly not a sound file".to_owned());
    for act in [cut, noise] {
        let far = StandIn::with([act]).await;
        let model = RemoteVoice::new(&pool(&[&far.url]), Handle::current()).unwrap();
        let (_, last) = spoken(&model).await;
        assert!(
            matches!(&last, SpeechEvent::Failed(error) if error.is_retryable()),
            "{last:?}"
        );
    }
}
