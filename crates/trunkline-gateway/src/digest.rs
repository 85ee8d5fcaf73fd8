//! Digest authentication (RFC 8760, RFC 7616) both ways: answering a challenge, and judging the
//! answer to ours.
//!
//! MD5 is there because most trunks know nothing else; SHA-256 is preferred where both have it.

mod client;
mod server;

#[cfg(test)]
mod tests;

use md5::Digest as _;
use sha2::Digest as _;

pub(crate) use client::Authorizer;
pub(crate) use server::{Challenger, Judgement};

/// The hash of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// From the `algorithm` parameter; absent means MD5. Session variants are not spoken.
    pub(crate) fn from_name(name: Option<&str>) -> Option<Self> {
        match name.unwrap_or("MD5") {
            name if name.eq_ignore_ascii_case("MD5") => Some(Self::Md5),
            name if name.eq_ignore_ascii_case("SHA-256") => Some(Self::Sha256),
            _ => None,
        }
    }

    fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 => crate::random::hex(&md5::Md5::digest(text.as_bytes())),
            Self::Sha256 => crate::random::hex(&sha2::Sha256::digest(text.as_bytes())),
        }
    }
}

/// What goes into a response.
pub(crate) struct Inputs<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) username: &'a str,
    pub(crate) realm: &'a str,
    pub(crate) password: &'a str,
    pub(crate) method: &'a str,
    pub(crate) uri: &'a str,
    pub(crate) nonce: &'a str,
    /// `nc` and `cnonce` when `qop=auth` is used.
    pub(crate) qop: Option<(&'a str, &'a str)>,
}

impl Inputs<'_> {
    /// The `response` value.
    pub(crate) fn response(&self) -> String {
        let hash = |text: &str| self.algorithm.hash(text);
        let a1 = hash(&format!(
            "{}:{}:{}",
            self.username, self.realm, self.password
        ));
        let a2 = hash(&format!("{}:{}", self.method, self.uri));
        match self.qop {
            Some((nc, cnonce)) => hash(&format!("{a1}:{}:{nc}:{cnonce}:auth:{a2}", self.nonce)),
            None => hash(&format!("{a1}:{}:{a2}", self.nonce)),
        }
    }
}

/// The parameters of a `Digest …` header value. `None` for another scheme or broken quoting.
pub(crate) fn parameters(header: &str) -> Option<Vec<(String, String)>> {
    let (scheme, rest) = header.trim().split_once(char::is_whitespace)?;
    if !scheme.eq_ignore_ascii_case("Digest") {
        return None;
    }
    let mut parameters = Vec::new();
    let mut rest = rest.trim();
    while !rest.is_empty() {
        let (name, tail) = rest.split_once('=')?;
        let tail = tail.trim_start();
        let (value, tail) = match tail.strip_prefix('"') {
            Some(quoted) => quoted_string(quoted)?,
            None => {
                let end = tail.find(',').unwrap_or(tail.len());
                (tail[..end].trim().to_owned(), &tail[end..])
            }
        };
        parameters.push((name.trim().to_ascii_lowercase(), value));
        rest = tail.trim_start().trim_start_matches(',').trim_start();
    }
    Some(parameters)
}

fn quoted_string(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

pub(crate) fn find<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    parameters
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
}
