//! What needs a real connection: clients that go away, too many at once, other hosts, sockets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::header;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use trunkline_inference::ChatDelta;

use super::super::{Address, Limits, Served, listen, router};
use super::{Chat, answer, bytes, hello, hello_with, post};

/// A chat that says one word and then waits for ever.
fn endless() -> Chat {
    Chat {
        deltas: vec![ChatDelta::Text("well".to_owned())],
        open: Some(Arc::new(Mutex::new(Vec::new()))),
        ..Chat::default()
    }
}

/// A served chat and what stops it.
async fn serve(address: &str, chat: &Chat) -> (Address, oneshot::Sender<()>) {
    serve_within(Limits::default(), address, chat).await
}

async fn serve_within(
    limits: Limits,
    address: &str,
    chat: &Chat,
) -> (Address, oneshot::Sender<()>) {
    let served = Served {
        chat: Some(Arc::new(chat.clone())),
        ..Served::default()
    };
    let listening = listen(&address.parse().unwrap()).await.unwrap();
    let bound = listening.address().clone();
    let (stop, stopped) = oneshot::channel::<()>();
    let router = router(served, limits, None);
    tokio::spawn(listening.serve(router, async move {
        let _ = stopped.await;
    }));
    (bound, stop)
}

fn http(body: &str, host: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn connect(address: &Address) -> TcpStream {
    match address {
        Address::Loopback(address) => TcpStream::connect(address).await.unwrap(),
        Address::Unix(_) => unreachable!(),
    }
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_row_at_once() {
    for stream in [true, false] {
        let chat = endless();
        let (address, _stop) = serve("127.0.0.1:0", &chat).await;
        let mut client = connect(&address).await;
        let body = hello_with("stream", json!(stream)).to_string();
        client
            .write_all(http(&body, "localhost").as_bytes())
            .await
            .unwrap();
        let open = chat.open.clone().unwrap();
        let row = loop {
            if let Some(row) = open.lock().unwrap().pop() {
                break row;
            }
            tokio::task::yield_now().await;
        };
        if stream {
            let mut seen = Vec::new();
            while !String::from_utf8_lossy(&seen).contains("well") {
                client.read_buf(&mut seen).await.unwrap();
            }
        }
        drop(client);
        let freed = tokio::time::timeout(Duration::from_secs(10), row.closed()).await;
        assert!(freed.is_ok(), "the row is still held, stream: {stream}");
    }
}

#[tokio::test]
async fn requests_beyond_the_limit_are_told_to_come_back_until_there_is_room() {
    let chat = endless();
    let served = Served {
        chat: Some(Arc::new(chat)),
        ..Served::default()
    };
    let limits = Limits {
        requests: 2,
        ..Limits::default()
    };
    let router = router(served, limits, None);
    let ask = || post("/v1/chat/completions", &hello_with("stream", json!(true)));
    let first = answer(&router, ask()).await;
    let second = answer(&router, ask()).await;
    assert_eq!(
        (first.status().as_u16(), second.status().as_u16()),
        (200, 200)
    );
    for _ in 0..1000 {
        let refused = answer(&router, ask()).await;
        assert_eq!(refused.status(), 429);
        assert!(refused.headers().contains_key(header::RETRY_AFTER));
    }
    drop(first);
    assert_eq!(answer(&router, ask()).await.status(), 200);
}

#[tokio::test]
async fn a_client_that_is_refused_learns_why_however_much_it_had_to_say() {
    let limits = Limits {
        requests: 0,
        ..Limits::default()
    };
    let (address, _stop) = serve_within(limits, "127.0.0.1:0", &endless()).await;
    let mut body = hello();
    body["messages"][0]["content"] = json!("word ".repeat(100_000));
    let request = http(&body.to_string(), "localhost")
        .replace("Content-Length", "Connection: close\r\nContent-Length");
    for _ in 0..20 {
        let mut client = connect(&address).await;
        client.write_all(request.as_bytes()).await.unwrap();
        let mut told = String::new();
        client.read_to_string(&mut told).await.unwrap();
        assert!(told.starts_with("HTTP/1.1 429"), "{told}");
        assert!(told.contains("requests are being served already"), "{told}");
    }
}

#[tokio::test]
async fn over_tcp_only_requests_to_this_machine_are_served() {
    let (address, _stop) = serve("127.0.0.1:0", &super::saying(&["x"])).await;
    for (host, status) in [
        ("localhost", "200"),
        ("127.0.0.1:5", "200"),
        ("evil.example", "421"),
    ] {
        let mut client = connect(&address).await;
        let request = http(&hello().to_string(), host);
        client.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        client.read_exact(&mut head).await.unwrap();
        assert!(head.ends_with(status.as_bytes()), "{host}");
    }
}

#[tokio::test]
async fn a_unix_socket_replaces_a_dead_one_is_private_and_goes_away_at_the_end() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let address = format!("unix:{}", path.display());
    let (_, stop) = serve(&address, &super::saying(&["x"])).await;
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert!(
        listen(&address.parse().unwrap()).await.is_err(),
        "a living one is not replaced"
    );
    let mut client = UnixStream::connect(&path).await.unwrap();
    let request = http(&hello().to_string(), "whatever");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    client.read_exact(&mut head).await.unwrap();
    assert!(head.ends_with(b"200"));
    drop(client);
    stop.send(()).unwrap();
    while path.exists() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn addresses_that_others_could_reach_are_refused() {
    for address in [
        "0.0.0.0:80",
        "192.0.2.1:80",
        "[::]:80",
        "unix:",
        "localhost:80",
        "8089",
    ] {
        assert!(address.parse::<Address>().is_err(), "{address}");
    }
    for address in ["127.0.0.1:8089", "[::1]:8089", "unix:./var/engine.sock"] {
        assert_eq!(address.parse::<Address>().unwrap().to_string(), address);
    }
}

#[tokio::test]
async fn a_body_of_known_length_says_its_length() {
    let router = super::serving(&super::saying(&["x"]));
    let response = answer(&router, post("/v1/chat/completions", &hello())).await;
    let stated = response.headers()[header::CONTENT_LENGTH]
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(stated, bytes(response).await.len().to_string());
}
