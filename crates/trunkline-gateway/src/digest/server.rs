//! Challenging callers and judging what they answer.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use trunkline_types::Secret;

use super::{Algorithm, Inputs, find, parameters};
use crate::random;
use crate::wire::Request;

/// What an Authorization header is worth.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It proves the password.
    Good,
    /// There is none, or it proves nothing.
    Challenge,
    /// It proves the password, but for a nonce that has run out.
    Stale,
}

/// Gives out nonces for one user and judges the answers.
pub(crate) struct Challenger {
    realm: String,
    username: String,
    password: Secret<String>,
    lifetime: Duration,
    algorithms: &'static [Algorithm],
    nonces: Mutex<HashMap<String, Nonce>>,
}

struct Nonce {
    given: Instant,
    /// The highest `nc` seen; a lower or equal one is a replay.
    count: u32,
}

/// Nonces kept at most; the oldest go first. A flood of unanswered challenges costs no more.
const MAX_NONCES: usize = 4096;

impl fmt::Debug for Challenger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Challenger({})", self.username)
    }
}

impl Challenger {
    pub(crate) fn new(
        realm: String,
        username: String,
        password: Secret<String>,
        lifetime: Duration,
    ) -> Self {
        Self {
            realm,
            username,
            password,
            lifetime,
            algorithms: &[Algorithm::Sha256, Algorithm::Md5],
            nonces: Mutex::default(),
        }
    }

    /// Challenges for MD5 alone: some peers stumble over any other challenge, though RFC 8760
    /// lets them pass it over.
    pub(crate) fn md5_only(self) -> Self {
        Self {
            algorithms: &[Algorithm::Md5],
            ..self
        }
    }

    /// The WWW-Authenticate values of a new challenge, the stronger first.
    pub(crate) fn challenge(&self, stale: bool, now: Instant) -> Vec<String> {
        let nonce = format!("{}{}", random::token(), random::token());
        {
            let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
            nonces.retain(|_, nonce| now.duration_since(nonce.given) < self.lifetime * 2);
            if nonces.len() >= MAX_NONCES {
                let oldest = nonces
                    .iter()
                    .min_by_key(|(_, nonce)| nonce.given)
                    .map(|(text, _)| text.clone());
                if let Some(oldest) = oldest {
                    nonces.remove(&oldest);
                }
            }
            nonces.insert(
                nonce.clone(),
                Nonce {
                    given: now,
                    count: 0,
                },
            );
        }
        let stale = if stale { ", stale=true" } else { "" };
        self.algorithms
            .iter()
            .map(|algorithm| {
                format!(
                    "Digest realm=\"{}\", nonce=\"{nonce}\", qop=\"auth\", algorithm={}{stale}",
                    self.realm,
                    algorithm.name()
                )
            })
            .collect()
    }

    /// Judges the Authorization headers of a request.
    pub(crate) fn judge(&self, request: &Request, now: Instant) -> Judgement {
        request
            .headers
            .all("Authorization")
            .filter_map(|header| self.judge_one(header, request, now))
            .next()
            .unwrap_or(Judgement::Challenge)
    }

    fn judge_one(&self, header: &str, request: &Request, now: Instant) -> Option<Judgement> {
        let parameters = parameters(header)?;
        let get = |name| find(&parameters, name);
        let nonce = get("nonce")?;
        let nc = get("nc")?;
        if get("username")? != self.username
            || get("realm")? != self.realm
            || get("qop")? != "auth"
            || get("uri")? != request.uri
        {
            return None;
        }
        let expected = Inputs {
            algorithm: Algorithm::from_name(get("algorithm"))?,
            username: &self.username,
            realm: &self.realm,
            password: self.password.expose(),
            method: request.method.as_str(),
            uri: &request.uri,
            nonce,
            qop: Some((nc, get("cnonce")?)),
        }
        .response();
        if !same(&expected, get("response")?) {
            return None;
        }
        let count = u32::from_str_radix(nc, 16).ok()?;
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = nonces.get_mut(nonce) else {
            return Some(Judgement::Stale);
        };
        if now.duration_since(known.given) >= self.lifetime || count <= known.count {
            return Some(Judgement::Stale);
        }
        known.count = count;
        Some(Judgement::Good)
    }
}

/// Compares without telling by the time it takes how much was right.
fn same(a: &str, b: &str) -> bool {
    let differing = a
        .bytes()
        .zip(b.bytes().map(|byte| byte.to_ascii_lowercase()))
        .fold(0, |sum, (x, y)| sum | (x ^ y));
    a.len() == b.len() && differing == 0
}
