//! Remote models against a far end that fails in every way a test asks for, and against our own
//! server.

mod chats;
mod failures;
mod ours;
mod speech;
mod stand_in;

use std::time::Duration;

use tokio::runtime::Handle;
use trunkline_inference::{
    ChatDelta, ChatMessage, ChatModel, ChatRequest, ChatStream, ChoiceRequest, InferenceError,
};

use super::{EndpointConfig, PoolConfig, RemoteChat};

/// A WAV file.
pub(super) fn wav_at(rate_hz: u32, pcm: &[i16]) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    let mut writer = trunkline_audio::WavWriter::new(&mut file, 1, rate_hz).unwrap();
    writer.write(pcm).unwrap();
    writer.finish().unwrap();
    file.into_inner()
}

fn endpoint(url: &str) -> EndpointConfig {
    EndpointConfig {
        url: url.to_owned(),
        model: None,
        key: Vec::new(),
        max_requests: 8,
        ca_file: None,
    }
}

/// Endpoints in this order, with budgets that a test can wait for.
fn pool(urls: &[&str]) -> PoolConfig {
    PoolConfig {
        model: "talker".to_owned(),
        endpoint: urls.iter().map(|url| endpoint(url)).collect(),
        connect_ms: 1_000,
        first_ms: 1_000,
        total_ms: 5_000,
    }
}

fn remote(config: &PoolConfig) -> RemoteChat {
    RemoteChat::new(config, Handle::current()).unwrap()
}

fn hello() -> ChatRequest {
    ChatRequest {
        messages: vec![ChatMessage::user("hello")],
        max_tokens: 5,
        ..ChatRequest::default()
    }
}

fn yes_or_no() -> ChoiceRequest {
    ChoiceRequest {
        messages: vec![ChatMessage::user("well?")],
        options: vec!["yes".to_owned(), "no".to_owned()],
        ..ChoiceRequest::default()
    }
}

async fn deltas(mut stream: ChatStream) -> Vec<ChatDelta> {
    let mut all = Vec::new();
    while let Some(delta) = stream.deltas.recv().await {
        all.push(delta);
    }
    all
}

/// The whole text of a reply, or its failure.
async fn said(chat: &RemoteChat) -> Result<String, InferenceError> {
    let mut text = String::new();
    for delta in deltas(chat.generate(hello())?).await {
        match delta {
            ChatDelta::Text(more) => text.push_str(&more),
            ChatDelta::Failed(error) => return Err(error),
            _ => {}
        }
    }
    Ok(text)
}

/// A moment in which nothing is expected to happen.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}
