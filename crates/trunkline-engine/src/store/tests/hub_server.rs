//! A hub on the loopback that misbehaves on request.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::store::Access;

/// What the hub does with one path.
#[derive(Clone, Default)]
pub(super) struct Page {
    pub(super) body: Vec<u8>,
    /// Ends the next connections after so many bytes of the body, one entry each.
    pub(super) cuts: Vec<usize>,
    pub(super) status: Option<u16>,
    pub(super) redirect: Option<String>,
}

impl Page {
    pub(super) fn of(body: &[u8]) -> Self {
        Self {
            body: body.to_vec(),
            ..Self::default()
        }
    }
}

#[derive(Default)]
struct State {
    pages: HashMap<String, Page>,
    requests: Vec<String>,
    /// Paths that were asked for with a token.
    with_token: Vec<String>,
}

pub(super) struct HubServer {
    address: String,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl HubServer {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (Arc::clone(&state), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                answer(stream.unwrap(), &shared);
            }
        });
        Self {
            address,
            state,
            stop,
            thread: Some(thread),
        }
    }

    pub(super) fn put(&self, path: &str, page: Page) {
        self.state
            .lock()
            .unwrap()
            .pages
            .insert(path.to_owned(), page);
    }

    /// Each request as its path and, after a space, its range.
    pub(super) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }

    /// Paths that were asked for with a token.
    pub(super) fn with_token(&self) -> Vec<String> {
        self.state.lock().unwrap().with_token.clone()
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn access(&self) -> Access {
        Access {
            hub: format!("http://{}", self.address),
            token: None,
            python: "python3".into(),
            retry_pause: Duration::ZERO,
        }
    }
}

impl Drop for HubServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let address = self.address.parse().unwrap();
        let _ = TcpStream::connect_timeout(&address, Duration::from_secs(5));
        self.thread.take().unwrap().join().unwrap();
    }
}

/// One request a connection.
fn answer(mut stream: TcpStream, state: &Mutex<State>) {
    let mut path = String::new();
    let mut from = None;
    let mut token = false;
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    while let Some(Ok(line)) = lines.next() {
        let lower = line.to_lowercase();
        if let Some(rest) = line.strip_prefix("GET ") {
            path = rest.split(' ').next().unwrap().to_owned();
        } else if let Some(range) = lower.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse::<usize>().ok();
        } else if lower.starts_with("authorization: bearer ") {
            token = true;
        } else if line.is_empty() {
            break;
        }
    }
    let (page, cut) = {
        let mut state = state.lock().unwrap();
        if token {
            state.with_token.push(path.clone());
        }
        let range = from.map(|from| format!(" {from}-")).unwrap_or_default();
        state.requests.push(format!("{path}{range}"));
        match state.pages.get_mut(&path) {
            Some(page) => {
                let cut = (!page.cuts.is_empty()).then(|| page.cuts.remove(0));
                (page.clone(), cut)
            }
            None => (
                Page {
                    status: Some(404),
                    ..Page::default()
                },
                None,
            ),
        }
    };
    let commit = "X-Repo-Commit: 0123456789abcdef0123456789abcdef01234567\r\n";
    let tag = format!(
        "ETag: \"{}-{}\"\r\n",
        page.body.len(),
        page.body.first().unwrap_or(&0)
    );
    let head = match (page.status, page.redirect, from) {
        (Some(status), _, _) => format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n"),
        (_, Some(to), _) => {
            format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n{commit}")
        }
        (_, _, Some(from)) if from >= page.body.len() => {
            "HTTP/1.1 416 No\r\nContent-Length: 0\r\n".to_owned()
        }
        (_, _, from) => {
            let rest = page.body.len() - from.unwrap_or(0);
            let status = if from.is_some() {
                "206 Partial Content"
            } else {
                "200 OK"
            };
            format!("HTTP/1.1 {status}\r\nContent-Length: {rest}\r\n{commit}{tag}")
        }
    };
    let has_body = head.starts_with("HTTP/1.1 20");
    // The client may be gone already; that is its business.
    let _ = write!(stream, "{head}Connection: close\r\n\r\n");
    if has_body {
        let body = &page.body[from.unwrap_or(0)..];
        let _ = stream.write_all(&body[..cut.unwrap_or(body.len()).min(body.len())]);
    }
}
