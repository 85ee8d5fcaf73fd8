//! Files to text and text to sound.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::json;
use trunkline_audio::Wav;
use trunkline_inference::{
    InferenceError, TranscriberCapabilities, TranscriptEvent, TranscriptSegment, TranscriptWord,
    Urgency,
};

use super::super::{Limits, Served, router};
use super::{Ears, Voice, answer, bytes, hearing, json_of, post, refusal, text};

const FLAC: &[u8] = include_bytes!("../../../tests/fixtures/tone.flac");

fn listening(ears: &Ears) -> Router {
    let served = Served {
        transcriber: Some(Arc::new(ears.clone())),
        ..Served::default()
    };
    router(served, Limits::default(), None)
}

fn speaking(voice: &Voice) -> Router {
    let served = Served {
        voice: Some(Arc::new(voice.clone())),
        ..Served::default()
    };
    router(served, Limits::default(), None)
}

/// A form with a file and fields.
fn form(file: &[u8], fields: &[(&str, &str)]) -> Request<Body> {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(
            format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                .bytes(),
        );
    }
    body.extend(b"--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n");
    body.extend(file);
    body.extend(b"\r\n--edge--\r\n");
    Request::post("/v1/audio/transcriptions")
        .header("content-type", "multipart/form-data; boundary=edge")
        .body(Body::from(body))
        .unwrap()
}

#[tokio::test]
async fn a_file_is_decoded_and_its_text_comes_in_each_form() {
    let ears = hearing("book a visit");
    let router = listening(&ears);
    let ask = async |format: &str| {
        answer(
            &router,
            form(FLAC, &[("model", "ears"), ("response_format", format)]),
        )
        .await
    };
    assert_eq!(
        json_of(ask("json").await).await,
        json!({"text": "book a visit"})
    );
    assert_eq!(text(ask("text").await).await, "book a visit\n");
    assert!(
        text(ask("srt").await)
            .await
            .contains("00:00:00,000 --> 00:00:00,500\nbook a visit")
    );
    assert!(
        text(ask("vtt").await)
            .await
            .starts_with("WEBVTT\n\n00:00:00.000")
    );
    let verbose = json_of(ask("verbose_json").await).await;
    assert_eq!(
        (&verbose["language"], &verbose["duration"]),
        (&json!("en"), &json!(0.5))
    );
    assert_eq!(verbose["segments"][0]["avg_logprob"], -0.25);
    assert_eq!(verbose.get("words"), None);
    let samples = ears.asked.lock().unwrap()[0].1;
    assert_eq!(samples, 8000);
}

#[tokio::test]
async fn words_languages_and_a_dictionary_reach_the_model_and_come_back() {
    let mut ears = hearing("KYC");
    ears.capabilities = TranscriberCapabilities {
        words: true,
        phrases: true,
        ..TranscriberCapabilities::default()
    };
    if let TranscriptEvent::Final { detail, .. } = &mut ears.answer {
        let (start, end) = (Duration::from_millis(100), Duration::from_millis(400));
        let text = || "KYC".to_owned();
        let words = vec![TranscriptWord {
            text: text(),
            start,
            end,
            probability: 0.5,
        }];
        let (mean_log_prob, no_speech_prob) = (-0.5, 0.0);
        detail.segments.push(TranscriptSegment {
            text: text(),
            start,
            end,
            mean_log_prob,
            no_speech_prob,
            words,
            ..TranscriptSegment::default()
        });
    }
    let fields = [
        ("model", "ears"),
        ("language", "en"),
        ("response_format", "verbose_json"),
        ("timestamp_granularities[]", "word"),
        ("dictionary[]", "KYC"),
        ("dictionary[]", "AUM"),
        ("temperature", "0"),
    ];
    let heard = json_of(answer(&listening(&ears), form(FLAC, &fields)).await).await;
    assert_eq!(
        heard["words"],
        json!([{"word": "KYC", "start": 0.1, "end": 0.4, "probability": 0.5}])
    );
    assert_eq!(heard.get("segments"), None);
    let options = ears.asked.lock().unwrap()[0].0.clone();
    assert_eq!(
        (options.language.as_deref(), options.words),
        (Some("en"), true)
    );
    assert_eq!(options.phrases, ["KYC", "AUM"]);
}

#[tokio::test]
async fn files_and_wishes_that_cannot_be_served_are_told_apart() {
    let mut ears = hearing("x");
    ears.capabilities.max_audio = Some(Duration::from_millis(400));
    let router = listening(&ears);
    type Case = (
        &'static [u8],
        &'static [(&'static str, &'static str)],
        &'static str,
    );
    let cases: [Case; 12] = [
        (b"", &[], "no audio in it"),
        (b"this is no sound", &[], "not a WAV"),
        (b"RIFF    WAVE", &[], "cannot be decoded"),
        (FLAC, &[], "longer than 0 seconds"),
        (FLAC, &[("language", "English")], "ISO 639"),
        (FLAC, &[("response_format", "xml")], "response_format"),
        (
            FLAC,
            &[("timestamp_granularities[]", "word")],
            "verbose_json",
        ),
        (FLAC, &[("temperature", "0.5")], "by chance"),
        (FLAC, &[("stream", "true")], "stream"),
        (FLAC, &[("prompt", "hello")], "no prompt"),
        (FLAC, &[("mood", "good")], "mood"),
        (FLAC, &[("dictionary[]", "")], "phrases"),
    ];
    for (file, more, expected) in cases {
        let fields: Vec<(&str, &str)> = [("model", "ears")].iter().chain(more).copied().collect();
        let (status, error) = refusal(&router, form(file, &fields)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(expected), "{message} / {expected}");
    }
    assert_eq!(
        refusal(&router, form(FLAC, &[("model", "other")])).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(refusal(&router, form(FLAC, &[])).await.1["param"], "model");
    let large = vec![0; 26 << 20];
    let (status, error) = refusal(&router, form(&large, &[("model", "ears")])).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{error}");
    let not_a_form = post("/v1/audio/transcriptions", &json!({}));
    assert_eq!(
        refusal(&router, not_a_form).await.0,
        StatusCode::BAD_REQUEST
    );
    assert!(ears.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_recogniser_that_lacks_words_says_so_and_its_own_errors_keep_their_status() {
    let fields = [
        ("model", "ears"),
        ("response_format", "verbose_json"),
        ("timestamp_granularities[]", "word"),
    ];
    let (status, error) = refusal(&listening(&hearing("x")), form(FLAC, &fields)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("times of words")
    );
    let mut busy = hearing("x");
    busy.answer = TranscriptEvent::Failed(InferenceError::Overloaded {
        model: "ears".to_owned(),
    });
    let (status, _) = refusal(&listening(&busy), form(FLAC, &[("model", "ears")])).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn speech_comes_clause_by_clause_in_each_format() {
    let input = "Your appointment is on Monday at nine. It is with Doctor Patel.";
    for (format, kind, length) in [
        ("wav", "audio/wav", 44 + 2 * 32_000),
        ("pcm", "audio/pcm", 3 * 32_000),
    ] {
        let voice = Voice::default();
        let body = json!({"model": "voice", "input": input, "voice": "default", "response_format": format});
        let spoken = answer(&speaking(&voice), post("/v1/audio/speech", &body)).await;
        assert_eq!(spoken.headers()["content-type"], kind);
        let sound = bytes(spoken).await;
        assert!(sound.len().abs_diff(length) <= 8, "{} bytes", sound.len());
        let asked = voice.asked.lock().unwrap();
        let texts: Vec<&str> = asked.iter().map(|request| request.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "Your appointment is on Monday at nine.",
                "It is with Doctor Patel."
            ]
        );
        assert_eq!(
            (asked[0].urgency, &asked[0].voice),
            (Urgency::Playing, &None)
        );
    }
    let body = json!({"model": "voice", "input": input, "voice": "slt", "speed": 1.5});
    let sound = bytes(
        answer(
            &speaking(&Voice::default()),
            post("/v1/audio/speech", &body),
        )
        .await,
    )
    .await;
    assert_eq!(Wav::parse(&sound).unwrap().samples, vec![1000; 32_000]);
    let body = json!({"model": "voice", "input": input, "voice": "x", "response_format": "opus"});
    let sound = bytes(
        answer(
            &speaking(&Voice::default()),
            post("/v1/audio/speech", &body),
        )
        .await,
    )
    .await;
    let pcm = crate::sound::decode(&sound, Duration::from_secs(10)).unwrap();
    assert_eq!(pcm.len(), 32_000);
}

#[tokio::test]
async fn what_cannot_be_spoken_is_refused() {
    let voice = Voice::default();
    let router = speaking(&voice);
    let cases = [
        (json!({"input": "  … "}), "input"),
        (json!({"input": "x".repeat(5000)}), "input"),
        (json!({"response_format": "mp3"}), "response_format"),
        (json!({"speed": 9.0}), "speed"),
        (json!({"instructions": "cheerfully"}), "instructions"),
        (json!({"stream_format": "sse"}), "stream_format"),
        (json!({"pitch": 1}), "pitch"),
    ];
    for (change, param) in cases {
        let mut body = json!({"model": "voice", "input": "hello there", "voice": "x"});
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        let (status, error) = refusal(&router, post("/v1/audio/speech", &body)).await;
        assert_eq!(
            (status, &error["param"]),
            (StatusCode::BAD_REQUEST, &json!(param))
        );
    }
    assert!(voice.asked.lock().unwrap().is_empty());
    let reason = "no voice named \"x\", only slt".to_owned();
    let refuses = Some(InferenceError::BadRequest {
        model: "voice".to_owned(),
        reason,
    });
    let body = json!({"model": "voice", "input": "hello there", "voice": "x"});
    let strict = Voice {
        refuses,
        ..Voice::default()
    };
    let (status, error) = refusal(&speaking(&strict), post("/v1/audio/speech", &body)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(error["message"].as_str().unwrap().contains("only slt"));
}
