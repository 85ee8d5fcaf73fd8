//! A far end that answers each request as a script says, and keeps what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What becomes of one request.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// A status, further headers and a body.
    Status(u16, &'static str, String),
    /// Pieces of a 200 answer, and how it ends.
    Pieces(Vec<Vec<u8>>, End),
    /// No answer at all, for as long as the client waits.
    Stall,
    /// The connection is closed.
    HangUp,
    /// Bytes that are no HTTP.
    Garbage,
}

/// How an answer ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// As it should.
    Well,
    /// In the middle.
    Cut,
    /// Never.
    Stall,
}

/// What was asked.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    /// The key that was shown.
    pub(super) fn key(&self) -> Option<&str> {
        let line = self
            .head
            .lines()
            .find(|line| line.to_lowercase().starts_with("authorization:"))?;
        line.rsplit(' ').next()
    }
}

/// The far end.
pub(super) struct StandIn {
    pub(super) url: String,
    script: Arc<Mutex<VecDeque<Act>>>,
    asked: Arc<Mutex<Vec<Request>>>,
    /// A message for each connection that the client closed before its answer was over.
    pub(super) left: mpsc::UnboundedReceiver<()>,
}

impl StandIn {
    /// Answers by this script, and hangs up when it is over.
    pub(super) async fn with(script: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let script: Arc<Mutex<VecDeque<Act>>> = Arc::new(Mutex::new(script.into_iter().collect()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (leaving, left) = mpsc::unbounded_channel();
        let (acts, requests) = (Arc::clone(&script), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acts, requests) = (Arc::clone(&acts), Arc::clone(&requests));
                let leaving = leaving.clone();
                tokio::spawn(async move {
                    if serve(stream, &acts, &requests).await.is_none() {
                        let _ = leaving.send(());
                    }
                });
            }
        });
        Self {
            url,
            script,
            asked,
            left,
        }
    }

    pub(super) fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }

    /// How much of the script is left.
    pub(super) fn rest(&self) -> usize {
        self.script.lock().unwrap().len()
    }
}

/// Serves a connection; `None` when the client left before its answer was over.
async fn serve(
    mut stream: TcpStream,
    script: &Mutex<VecDeque<Act>>,
    asked: &Mutex<Vec<Request>>,
) -> Option<()> {
    loop {
        let Some(request) = read(&mut stream).await else {
            return Some(());
        };
        asked.lock().unwrap().push(request);
        let act = script.lock().unwrap().pop_front().unwrap_or(Act::HangUp);
        match act {
            Act::HangUp => return Some(()),
            Act::Garbage => {
                stream
                    .write_all(b"\x00\x01 no HTTP at all\r\n\r\n")
                    .await
                    .ok()?;
                return Some(());
            }
            Act::Stall => return wait_for_the_end(&mut stream).await,
            Act::Status(status, headers, body) => {
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\n\r\n");
                stream.write_all((head + &body).as_bytes()).await.ok()?;
            }
            Act::Pieces(pieces, end) => {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                stream.write_all(head.as_bytes()).await.ok()?;
                for piece in pieces {
                    let size = format!("{:x}\r\n", piece.len());
                    stream.write_all(size.as_bytes()).await.ok()?;
                    stream.write_all(&piece).await.ok()?;
                    stream.write_all(b"\r\n").await.ok()?;
                }
                match end {
                    End::Well => stream.write_all(b"0\r\n\r\n").await.ok()?,
                    End::Cut => return Some(()),
                    End::Stall => return wait_for_the_end(&mut stream).await,
                }
            }
        }
    }
}

async fn wait_for_the_end(stream: &mut TcpStream) -> Option<()> {
    let mut byte = [0];
    while stream.read(&mut byte).await.is_ok_and(|read| read > 0) {}
    None
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_lowercase()
                        .strip_prefix("content-length: ")?
                        .parse()
                        .ok()
                })
                .unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                let body = bytes[end + 4..end + 4 + length].to_vec();
                return Some(Request { head, body });
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// One event of a stream.
pub(super) fn event(data: &Value) -> Vec<u8> {
    format!("data: {data}\n\n").into_bytes()
}

/// The event of a piece of text.
pub(super) fn word(text: &str) -> Vec<u8> {
    event(&json!({"choices": [{"index": 0, "delta": {"content": text}}]}))
}

/// The events that end a reply.
pub(super) fn end() -> Vec<u8> {
    let last = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}});
    [event(&last), event(&usage), b"data: [DONE]\n\n".to_vec()].concat()
}

/// A whole reply.
pub(super) fn reply(text: &str) -> Act {
    Act::Pieces(vec![word(text), end()], End::Well)
}

/// An error as OpenAI's.
pub(super) fn error(status: u16, headers: &'static str) -> Act {
    let body = json!({"error": {"message": "because", "type": "x", "code": null}});
    Act::Status(status, headers, body.to_string())
}
