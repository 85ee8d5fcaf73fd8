//! Live transcription over a real WebSocket.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use trunkline_inference::{
    InferenceError, ModelInfo, TranscribeOptions, Transcriber, TranscriberCapabilities,
    TranscriberInput, TranscriptDetail, TranscriptEvent, TranscriptionSession,
};

use super::super::{Address, Limits, Served, listen, router};

/// Says after each piece how many samples it has heard, and once more at the end.
#[derive(Default)]
struct Counter {
    /// A message for each session that was dropped before its end.
    given_up: Option<mpsc::UnboundedSender<()>>,
}

impl Transcriber for Counter {
    fn info(&self) -> ModelInfo {
        super::info("ears")
    }

    fn capabilities(&self) -> TranscriberCapabilities {
        TranscriberCapabilities {
            phrases: true,
            ..TranscriberCapabilities::default()
        }
    }

    fn open(&self, options: TranscribeOptions) -> Result<TranscriptionSession, InferenceError> {
        assert!(options.partials);
        let (audio, mut heard) = mpsc::unbounded_channel();
        let (sender, events) = mpsc::unbounded_channel();
        let given_up = self.given_up.clone();
        tokio::spawn(async move {
            let mut samples = 0;
            let audio = |samples| Duration::from_micros(samples as u64 * 1_000_000 / 16_000);
            loop {
                match heard.recv().await {
                    Some(TranscriberInput::Audio(pcm)) => samples += pcm.len(),
                    Some(TranscriberInput::Finish) => break,
                    None => {
                        let _ = given_up.map(|given_up| given_up.send(()));
                        return;
                    }
                }
                let text = samples.to_string();
                let stable_bytes = 1;
                let audio = audio(samples);
                let _ = sender.send(TranscriptEvent::Partial {
                    text,
                    stable_bytes,
                    audio,
                });
            }
            let _ = sender.send(TranscriptEvent::Final {
                text: format!("{samples} in all"),
                mean_log_prob: -0.5,
                no_speech_prob: 0.0,
                audio: audio(samples),
                compute: Duration::ZERO,
                detail: TranscriptDetail::default(),
            });
        });
        Ok(TranscriptionSession { audio, events })
    }
}

type Client = WebSocketStream<TcpStream>;

async fn connect(ears: Counter, limits: Limits, query: &str) -> Result<Client, Error> {
    let served = Served {
        transcriber: Some(Arc::new(ears)),
        ..Served::default()
    };
    let listening = listen(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
    let Address::Loopback(address) = *listening.address() else {
        panic!("no TCP");
    };
    tokio::spawn(listening.serve(router(served, limits, None), std::future::pending()));
    let stream = TcpStream::connect(address).await.unwrap();
    let url = format!("ws://{address}/v1/audio/transcriptions/live?{query}");
    Ok(client_async(url, stream).await?.0)
}

async fn said(client: &mut Client) -> Option<Value> {
    loop {
        match client.next().await? {
            Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

async fn send(client: &mut Client, samples: usize) {
    client
        .send(Message::binary(vec![0; samples * 2]))
        .await
        .unwrap();
}

async fn command(client: &mut Client, kind: &str) {
    let text = json!({"type": kind}).to_string();
    client.send(Message::text(text)).await.unwrap();
}

#[tokio::test]
async fn partials_come_while_audio_goes_in_and_finals_in_order() {
    let query = "model=ears&phrase=KYC";
    let mut client = connect(Counter::default(), Limits::default(), query)
        .await
        .unwrap();
    send(&mut client, 1600).await;
    let partial = json!({"type": "partial", "text": "1600", "stable_bytes": 1, "audio_ms": 100});
    assert_eq!(said(&mut client).await, Some(partial));
    command(&mut client, "finish").await;
    send(&mut client, 800).await;
    command(&mut client, "finish").await;
    let mut finals = Vec::new();
    while finals.len() < 2 {
        let event = said(&mut client).await.unwrap();
        if event["type"] == "final" {
            finals.push(event["text"].clone());
        }
    }
    assert_eq!(finals, ["1600 in all", "800 in all"]);
}

#[tokio::test]
async fn telephone_audio_is_brought_to_our_rate() {
    let query = "model=ears&rate=8000";
    let mut client = connect(Counter::default(), Limits::default(), query)
        .await
        .unwrap();
    send(&mut client, 160).await;
    assert_eq!(said(&mut client).await.unwrap()["text"], "320");
}

#[tokio::test]
async fn cancelling_or_leaving_gives_up_the_utterance() {
    let (sender, mut given_up) = mpsc::unbounded_channel();
    let ears = Counter {
        given_up: Some(sender),
    };
    let mut client = connect(ears, Limits::default(), "model=ears")
        .await
        .unwrap();
    send(&mut client, 160).await;
    command(&mut client, "cancel").await;
    given_up.recv().await.unwrap();
    send(&mut client, 160).await;
    drop(client);
    given_up.recv().await.unwrap();
}

#[tokio::test]
async fn what_makes_no_sense_is_said_and_ends_the_connection() {
    let nonsense = [
        Message::text("hello"),
        Message::text("{\"type\":\"sing\"}"),
        Message::binary(vec![0; 3]),
    ];
    for message in nonsense {
        let mut client = connect(Counter::default(), Limits::default(), "model=ears")
            .await
            .unwrap();
        client.send(message).await.unwrap();
        let error = said(&mut client).await.unwrap();
        assert_eq!(
            (&error["type"], &error["error"]["type"]),
            (&json!("error"), &json!("invalid_request_error"))
        );
        assert_eq!(said(&mut client).await, None);
    }
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_before_the_connection_stands() {
    let no_room = Limits {
        requests: 0,
        ..Limits::default()
    };
    let cases = [
        ("model=other", Limits::default(), 404),
        ("model=ears&words=true", Limits::default(), 400),
        ("model=ears&rate=44100", Limits::default(), 400),
        ("model=ears", no_room, 429),
    ];
    for (query, limits, status) in cases {
        match connect(Counter::default(), limits, query).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), status, "{query}"),
            other => panic!("{query}: {:?}", other.map(|_| "a connection")),
        }
    }
}
