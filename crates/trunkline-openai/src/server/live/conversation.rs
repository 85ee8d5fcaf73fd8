//! One connection: the utterance that is open, and those that are being brought to their end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;
use trunkline_audio::Upsampler;
use trunkline_inference::{
    Transcriber, TranscriberInput, TranscriptDetail, TranscriptEvent, TranscriptionSession,
};

use super::question::Question;
use crate::server::Refusal;

/// A client that has nothing to say for so long has gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// Utterances whose finals are awaited; nobody speaks so fast.
const MOST_ENDING: usize = 8;

/// What a client says beside its audio.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Command {
    Finish,
    Cancel,
}

pub(super) struct Conversation {
    socket: WebSocket,
    transcriber: Arc<dyn Transcriber>,
    question: Question,
    upsampler: Upsampler,
    open: Option<TranscriptionSession>,
    /// In the order of their utterances.
    ending: VecDeque<UnboundedReceiver<TranscriptEvent>>,
}

/// What comes next.
enum Next {
    Message(Option<Message>),
    /// Of the oldest utterance that is ending.
    Ending(Option<TranscriptEvent>),
    /// Of the open one.
    Open(Option<TranscriptEvent>),
    Silence,
}

impl Conversation {
    pub(super) fn new(
        socket: WebSocket,
        transcriber: Arc<dyn Transcriber>,
        question: Question,
    ) -> Self {
        Self {
            socket,
            transcriber,
            question,
            upsampler: Upsampler::default(),
            open: None,
            ending: VecDeque::new(),
        }
    }

    /// Goes on until either end leaves. Dropping the sessions gives up their work.
    pub(super) async fn run(mut self) {
        loop {
            let answer = match self.next().await {
                Next::Message(Some(Message::Close(_)) | None) => return,
                Next::Message(Some(message)) => self.message(message),
                Next::Ending(event) => Ok(self.ending_says(event)),
                Next::Open(event) => Ok(self.open_says(event)),
                Next::Silence => Err("nothing came for a minute".to_owned()),
            };
            let (answer, is_last) = match answer {
                Ok(answer) => (answer, false),
                Err(why) => (Some(failure(&Refusal::bad_request(why))), true),
            };
            if let Some(answer) = answer {
                let sent = self.socket.send(Message::text(answer.to_string()));
                // A client that does not read is not waited for.
                if !matches!(timeout(PATIENCE, sent).await, Ok(Ok(()))) {
                    return;
                }
            }
            if is_last {
                // It may have gone already.
                let _ = self.socket.send(Message::Close(None)).await;
                return;
            }
        }
    }

    async fn next(&mut self) -> Next {
        let ending = async {
            match self.ending.front_mut() {
                Some(events) => events.recv().await,
                None => std::future::pending().await,
            }
        };
        let open = async {
            match &mut self.open {
                Some(session) => session.events.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = ending => Next::Ending(event),
            event = open => Next::Open(event),
            message = timeout(PATIENCE, self.socket.recv()) => match message {
                Err(_) => Next::Silence,
                Ok(message) => Next::Message(message.and_then(Result::ok)),
            },
        }
    }

    /// Takes a message, and answers it if it failed the utterance. An error ends the connection.
    fn message(&mut self, message: Message) -> Result<Option<Value>, String> {
        match message {
            Message::Binary(bytes) => self.audio(&bytes),
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(Command::Finish) => self.finish(),
                Ok(Command::Cancel) => {
                    self.open = None;
                    Ok(None)
                }
                Err(error) => Err(format!("a message makes no sense: {error}")),
            },
            // Pings are answered below us.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Ok(None),
        }
    }

    fn audio(&mut self, bytes: &[u8]) -> Result<Option<Value>, String> {
        if bytes.len() % 2 == 1 {
            return Err("audio came with half a sample".to_owned());
        }
        let pcm = bytes.chunks_exact(2);
        let mut pcm: Vec<i16> = pcm
            .map(|two| i16::from_le_bytes([two[0], two[1]]))
            .collect();
        if self.question.is_narrow {
            let mut wide = vec![0; pcm.len() * 2];
            self.upsampler.process(&pcm, &mut wide);
            pcm = wide;
        }
        let session = match self.session() {
            Ok(session) => session,
            Err(refusal) => return Ok(Some(failure(&refusal))),
        };
        // A session that failed says so by its events.
        let _ = session.audio.send(TranscriberInput::Audio(pcm));
        Ok(None)
    }

    /// The open session, or a new one.
    fn session(&mut self) -> Result<&TranscriptionSession, Refusal> {
        let session = match self.open.take() {
            Some(session) => session,
            None => self.transcriber.open(self.question.options.clone())?,
        };
        Ok(self.open.insert(session))
    }

    fn finish(&mut self) -> Result<Option<Value>, String> {
        if self.ending.len() >= MOST_ENDING {
            return Err("too many utterances were finished at once".to_owned());
        }
        // An utterance without audio is one as well: it has an empty text.
        if let Err(refusal) = self.session() {
            return Ok(Some(failure(&refusal)));
        }
        if let Some(session) = self.open.take() {
            let _ = session.audio.send(TranscriberInput::Finish);
            self.ending.push_back(session.events);
        }
        self.upsampler = Upsampler::default();
        Ok(None)
    }

    fn ending_says(&mut self, event: Option<TranscriptEvent>) -> Option<Value> {
        let is_over = !matches!(event, Some(TranscriptEvent::Partial { .. }));
        if is_over {
            self.ending.pop_front();
        }
        // What it says on the way to its end is overtaken by the end.
        is_over.then(|| self.in_words(event))
    }

    fn open_says(&mut self, event: Option<TranscriptEvent>) -> Option<Value> {
        if !matches!(event, Some(TranscriptEvent::Partial { .. })) {
            self.open = None;
        }
        Some(self.in_words(event))
    }

    fn in_words(&self, event: Option<TranscriptEvent>) -> Value {
        match event {
            Some(TranscriptEvent::Partial {
                text,
                stable_bytes,
                audio,
            }) => json!({
                "type": "partial",
                "text": text,
                "stable_bytes": stable_bytes,
                "audio_ms": milliseconds(audio),
            }),
            Some(TranscriptEvent::Final {
                text,
                mean_log_prob,
                no_speech_prob,
                audio,
                compute,
                detail,
            }) => json!({
                "type": "final",
                "text": text,
                "audio_ms": milliseconds(audio),
                "compute_ms": milliseconds(compute),
                "mean_log_prob": mean_log_prob,
                "no_speech_prob": no_speech_prob,
                "language": detail.language,
                "segments": segments(&detail),
            }),
            Some(TranscriptEvent::Failed(error)) => failure(&error.into()),
            None => failure(&Refusal::gone(&self.question.model)),
        }
    }
}

fn failure(refusal: &Refusal) -> Value {
    let mut body = json!(refusal.body());
    body["type"] = json!("error");
    body
}

fn segments(detail: &TranscriptDetail) -> Value {
    let segments = detail.segments.iter().map(|segment| {
        let words = segment.words.iter().map(|word| {
            json!({
                "text": word.text,
                "start_ms": milliseconds(word.start),
                "end_ms": milliseconds(word.end),
                "probability": word.probability,
            })
        });
        json!({
            "text": segment.text,
            "start_ms": milliseconds(segment.start),
            "end_ms": milliseconds(segment.end),
            "words": words.collect::<Vec<_>>(),
        })
    });
    segments.collect()
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
