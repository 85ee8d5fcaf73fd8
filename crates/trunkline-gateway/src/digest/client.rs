//! Answering the challenges of registrars and proxies.

use std::fmt;

use trunkline_types::Secret;

use super::{Algorithm, Inputs, find, parameters};
use crate::random;
use crate::wire::{Request, Response};

/// A user and password, ready to answer challenges.
#[derive(Clone)]
pub(crate) struct Authorizer {
    username: String,
    password: Secret<String>,
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorizer({})", self.username)
    }
}

impl Authorizer {
    pub(crate) fn new(username: String, password: Secret<String>) -> Self {
        Self { username, password }
    }

    /// Puts the answer to a 401 or 407 into `request`, which is the refused one. `false` when the
    /// challenge cannot be answered, or has been answered before with the same nonce and was
    /// refused for it: then the password is wrong and another try would not mend it.
    pub(crate) fn answer(&self, response: &Response, request: &mut Request) -> bool {
        let (challenge, authorization) = match response.status {
            401 => ("WWW-Authenticate", "Authorization"),
            407 => ("Proxy-Authenticate", "Proxy-Authorization"),
            _ => return false,
        };
        let best = response
            .headers
            .all(challenge)
            .filter_map(Challenge::parse)
            .max_by_key(|challenge| challenge.algorithm == Algorithm::Sha256);
        let Some(best) = best else {
            return false;
        };
        let tried = request.headers.get(authorization).is_some();
        if tried && !best.stale {
            return false;
        }
        let value = self.authorization(&best, request);
        request.headers.set(authorization, value);
        true
    }

    fn authorization(&self, challenge: &Challenge, request: &Request) -> String {
        let cnonce = random::token();
        let nc = "00000001";
        let response = Inputs {
            algorithm: challenge.algorithm,
            username: &self.username,
            realm: &challenge.realm,
            password: self.password.expose(),
            method: request.method.as_str(),
            uri: &request.uri,
            nonce: &challenge.nonce,
            qop: challenge.qop_auth.then_some((nc, cnonce.as_str())),
        }
        .response();
        let mut value = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", response=\"{response}\", algorithm={}",
            self.username,
            escape(&challenge.realm),
            escape(&challenge.nonce),
            request.uri,
            challenge.algorithm.name(),
        );
        if challenge.qop_auth {
            value.push_str(&format!(", qop=auth, nc={nc}, cnonce=\"{cnonce}\""));
        }
        if let Some(opaque) = &challenge.opaque {
            value.push_str(&format!(", opaque=\"{}\"", escape(opaque)));
        }
        value
    }
}

struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    qop_auth: bool,
    stale: bool,
}

impl Challenge {
    fn parse(header: &str) -> Option<Self> {
        let parameters = parameters(header)?;
        let qop = find(&parameters, "qop");
        let qop_auth = qop.is_some_and(|qop| qop.split(',').any(|q| q.trim() == "auth"));
        if qop.is_some() && !qop_auth {
            return None;
        }
        Some(Self {
            realm: find(&parameters, "realm")?.to_owned(),
            nonce: find(&parameters, "nonce")?.to_owned(),
            opaque: find(&parameters, "opaque").map(str::to_owned),
            algorithm: Algorithm::from_name(find(&parameters, "algorithm"))?,
            qop_auth,
            stale: find(&parameters, "stale").is_some_and(|s| s.eq_ignore_ascii_case("true")),
        })
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
