//! Files of a model hub over HTTP, resumable.
//!
//! The hub's one address scheme (`<hub>/<repository>/resolve/<revision>/<path>`, ranges, a
//! redirect to a content network for large files) is spoken by ureq directly. The crate
//! `hf-hub` was weighed: its 1.0 brings 284 crates where ureq brings 28, and a cache layout of
//! its own beside ours.
//!
//! Only this module opens network connections. An access token goes to the hub alone, never
//! along a redirect.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};
use trunkline_types::Secret;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use super::check::{copy_blocks, hex};
use super::{Progress, Step};
use crate::EngineError;
use crate::error::at;

/// The hub when none is configured.
const DEFAULT_HUB: &str = "https://huggingface.co";
/// A content network is one or two redirects away; more is a loop.
const MAX_REDIRECTS: usize = 5;
/// Attempts in a row that bring nothing new before a fetch is given up.
const MAX_IDLE_ATTEMPTS: u32 = 5;
/// An attempt that takes longer is cut and resumed, so that a stalled connection ends.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(600);

/// How the store reaches what it pulls from.
#[derive(Debug, Clone)]
pub struct Access {
    /// Base address of the hub.
    pub hub: String,
    /// Access token for gated repositories.
    pub token: Option<Secret<String>>,
    /// The Python whose pip downloads packages.
    pub python: PathBuf,
    /// Wait before a cut connection is tried again; doubled each time that nothing came.
    pub retry_pause: Duration,
}

impl Access {
    /// `HF_ENDPOINT`, `HF_TOKEN` or the file that `HF_TOKEN_PATH` names, and `python3`.
    pub fn from_environment() -> Self {
        let set = |name: &str| env::var(name).ok().filter(|value| !value.trim().is_empty());
        let token = set("HF_TOKEN").or_else(|| {
            let file = set("HF_TOKEN_PATH")?;
            fs::read_to_string(file).ok()
        });
        Self {
            hub: set("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_HUB.to_owned()),
            token: token.map(|token| Secret::new(token.trim().to_owned())),
            python: PathBuf::from("python3"),
            retry_pause: Duration::from_secs(1),
        }
    }
}

/// One repository of the hub.
pub(super) struct Hub<'a> {
    access: &'a Access,
    repository: &'a str,
    agent: Agent,
}

/// What to fetch, and where to.
pub(super) struct HubFile<'a> {
    pub(super) revision: String,
    pub(super) path: &'a str,
    pub(super) size: Option<u64>,
    pub(super) into: &'a Path,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) sha256: String,
    /// The commit that the revision means now, when the hub says it.
    pub(super) commit: Option<String>,
}

/// The end of one attempt.
enum Attempt {
    Complete(Fetched),
    /// The connection broke; another attempt may bring the rest.
    Cut(String),
    /// What lies here does not belong to what the hub has; from the beginning.
    Stale,
}

/// An answer with a body, and what the hub said about the file on the way to it.
struct Answer {
    response: Response<Body>,
    /// Changes when the content does.
    tag: Option<String>,
    commit: Option<String>,
    linked_size: Option<u64>,
}

impl<'a> Hub<'a> {
    pub(super) fn new(access: &'a Access, repository: &'a str) -> Self {
        let mut config = Agent::config_builder()
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .timeout_recv_body(Some(ATTEMPT_LIMIT));
        if is_loopback(&access.hub) {
            config = config.proxy(None);
        }
        Self {
            access,
            repository,
            agent: config.build().new_agent(),
        }
    }

    /// Fetches a file to its place, resuming what an earlier attempt left in `<place>.part`.
    pub(super) fn fetch(
        &self,
        file: &HubFile<'_>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Fetched, EngineError> {
        let part = with_suffix(file.into, "part");
        let mut idle_attempts = 0;
        loop {
            let before = length(&part);
            let reason = match self.attempt(file, &part, progress)? {
                Attempt::Complete(fetched) => {
                    fs::rename(&part, file.into).map_err(at(file.into))?;
                    remove_if_there(&with_suffix(file.into, "tag"))?;
                    return Ok(fetched);
                }
                Attempt::Stale => {
                    remove_if_there(&part)?;
                    "the file changed while it was fetched".to_owned()
                }
                Attempt::Cut(reason) => reason,
            };
            idle_attempts = if length(&part) > before {
                0
            } else {
                idle_attempts + 1
            };
            if idle_attempts >= MAX_IDLE_ATTEMPTS {
                return Err(self.failed(file, reason));
            }
            tracing::debug!(file = file.path, reason, "fetch interrupted, resuming");
            self.pause(idle_attempts);
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a pull has a thread of its own")]
    fn pause(&self, idle_attempts: u32) {
        thread::sleep(self.access.retry_pause * (1 << idle_attempts));
    }

    fn attempt(
        &self,
        file: &HubFile<'_>,
        part: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Attempt, EngineError> {
        let offset = length(part);
        let answer = match self.ask(file, offset)? {
            Ok(answer) => answer,
            Err(reason) => return Ok(Attempt::Cut(reason)),
        };
        let status = answer.response.status();
        let tag_file = with_suffix(file.into, "tag");
        let tag = answer.tag.clone().unwrap_or_default();
        let resumes = offset > 0 && status == StatusCode::PARTIAL_CONTENT;
        if resumes && fs::read_to_string(&tag_file).ok().as_deref() != Some(tag.as_str()) {
            return Ok(Attempt::Stale);
        }
        match status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {}
            StatusCode::RANGE_NOT_SATISFIABLE => return Ok(Attempt::Stale),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(EngineError::Gated {
                    repository: self.repository.to_owned(),
                    status: status.as_u16(),
                });
            }
            _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Ok(Attempt::Cut(format!("the hub answered {status}")));
            }
            _ => return Err(self.failed(file, format!("the hub answered {status}"))),
        }
        let offset = if resumes { offset } else { 0 };
        fs::write(&tag_file, &tag).map_err(at(&tag_file))?;
        self.receive(file, part, offset, answer, progress)
    }

    /// Streams the body to the part file, hashing on the way.
    fn receive(
        &self,
        file: &HubFile<'_>,
        part: &Path,
        offset: u64,
        answer: Answer,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Attempt, EngineError> {
        let announced = header(&answer.response, "content-length")
            .and_then(|length| length.parse::<u64>().ok())
            .map(|length| length.saturating_add(offset));
        let total = announced.or(answer.linked_size).or(file.size);
        let mut hash = Sha256::new();
        let mut out = if offset > 0 {
            let mut kept = File::open(part).map_err(at(part))?;
            copy_blocks(&mut kept, &mut |_| {}, |block| {
                hash.update(block);
                Ok(())
            })
            .map_err(at(part))?;
            OpenOptions::new().append(true).open(part)
        } else {
            File::create(part)
        }
        .map_err(at(part))?;

        let mut report = |done| {
            progress(Progress {
                step: Step::Fetch,
                file: file.path,
                done: offset + done,
                total,
            });
        };
        report(0);
        let mut disk_fault = None;
        let mut body = answer.response.into_body().into_reader();
        let streamed = copy_blocks(&mut body, &mut report, |block| {
            hash.update(block);
            out.write_all(block).map_err(|error| {
                disk_fault = Some(error);
                io::Error::other("disk")
            })
        });
        if let Some(fault) = disk_fault {
            return Err(EngineError::io(part, fault));
        }
        out.sync_all().map_err(at(part))?;
        match streamed {
            Err(error) => Ok(Attempt::Cut(error.to_string())),
            Ok(count) if total.is_some_and(|total| offset + count < total) => {
                Ok(Attempt::Cut("the connection ended early".to_owned()))
            }
            Ok(_) => Ok(Attempt::Complete(Fetched {
                sha256: hex(&hash.finalize()),
                commit: answer.commit,
            })),
        }
    }

    /// Follows redirects by hand: what the hub says of the file stands on the first answer,
    /// and the token must not travel on. The inner error is a broken connection.
    fn ask(&self, file: &HubFile<'_>, offset: u64) -> Result<Result<Answer, String>, EngineError> {
        let mut url = self.url(file);
        let (mut tag, mut commit, mut linked_size) = (None, None, None);
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.agent.get(&url).header("user-agent", "trunkline");
            if offset > 0 {
                request = request.header("range", format!("bytes={offset}-"));
            }
            if let Some(token) = &self.access.token
                && origin(&url) == origin(&self.access.hub)
            {
                request = request.header("authorization", format!("Bearer {}", token.expose()));
            }
            let response = match request.call() {
                Ok(response) => response,
                Err(error) => return Ok(Err(error.to_string())),
            };
            tag = tag
                .or_else(|| header(&response, "x-linked-etag"))
                .or_else(|| header(&response, "etag"));
            commit = commit.or_else(|| header(&response, "x-repo-commit").filter(|c| is_commit(c)));
            linked_size = linked_size
                .or_else(|| header(&response, "x-linked-size").and_then(|size| size.parse().ok()));
            if !response.status().is_redirection() {
                return Ok(Ok(Answer {
                    response,
                    tag,
                    commit,
                    linked_size,
                }));
            }
            let target = header(&response, "location").unwrap_or_default();
            url = redirect(&url, &target)
                .ok_or_else(|| self.failed(file, format!("it redirects to {target:?}")))?;
        }
        Err(self.failed(file, "too many redirects".to_owned()))
    }

    fn url(&self, file: &HubFile<'_>) -> String {
        format!(
            "{}/{}/resolve/{}/{}",
            self.access.hub.trim_end_matches('/'),
            self.repository,
            file.revision,
            file.path
        )
    }

    fn failed(&self, file: &HubFile<'_>, reason: String) -> EngineError {
        EngineError::Fetch {
            url: self.url(file),
            reason,
        }
    }
}

fn header(response: &Response<Body>, name: &str) -> Option<String> {
    Some(response.headers().get(name)?.to_str().ok()?.to_owned())
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Scheme and authority of a URL.
fn origin(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let end = url[authority..]
        .find('/')
        .map_or(url.len(), |at| authority + at);
    &url[..end]
}

fn is_loopback(url: &str) -> bool {
    let host = origin(url).rsplit("://").next().unwrap_or_default();
    host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]")
}

/// Where a redirect leads; `None` when it is none, or leads from TLS to plain text.
fn redirect(from: &str, location: &str) -> Option<String> {
    if location.starts_with('/') && !location.starts_with("//") {
        return Some(format!("{}{location}", origin(from)));
    }
    let secure = location.starts_with("https://");
    let plain = location.starts_with("http://") && from.starts_with("http://");
    (secure || plain).then(|| location.to_owned())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

fn remove_if_there(path: &Path) -> Result<(), EngineError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(EngineError::io(path, error)),
        _ => Ok(()),
    }
}
