//! Where an endpoint is: what to connect to, and what stands before each path.

use std::fmt;
use std::path::PathBuf;

use axum::http::Uri;

use crate::OpenAiError;

/// What stands before each path where a URL has no path of its own.
const USUAL_BASE: &str = "/v1";

/// A place to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A socket in the file system.
    Unix(PathBuf),
    /// A host, by name or address, and whether to speak TLS with it.
    Host {
        /// Without brackets.
        name: String,
        /// TCP.
        port: u16,
        /// `https`.
        is_tls: bool,
    },
}

/// A parsed URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) place: Place,
    /// The `Host` header.
    pub(super) authority: String,
    /// Begins with a slash and does not end with one.
    pub(super) base: String,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
            Place::Host { is_tls: true, .. } => write!(f, "https://{}", self.authority),
            Place::Host { .. } => write!(f, "http://{}", self.authority),
        }
    }
}

impl Target {
    /// Reads a URL.
    pub(super) fn parse(url: &str) -> Result<Self, OpenAiError> {
        let wrong = |reason: &str| OpenAiError::Address {
            address: url.to_owned(),
            reason: reason.to_owned(),
        };
        if let Some(path) = url.strip_prefix("unix:") {
            return match path.is_empty() {
                true => Err(wrong("it names no file")),
                false => Ok(Self {
                    place: Place::Unix(PathBuf::from(path)),
                    authority: "localhost".to_owned(),
                    base: USUAL_BASE.to_owned(),
                }),
            };
        }
        let expected = "write unix:/path/of/the.socket, http://host:port/v1 or https://host/v1";
        let uri: Uri = url.parse().map_err(|_| wrong(expected))?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong(expected)),
        };
        let authority = uri.authority().ok_or_else(|| wrong(expected))?;
        if authority.as_str().contains('@') {
            return Err(wrong("a key does not stand in a URL"));
        }
        if uri.query().is_some() {
            return Err(wrong("it has a query"));
        }
        let host = authority.host();
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let usual_port = if is_tls { 443 } else { 80 };
        Ok(Self {
            place: Place::Host {
                name: name.to_owned(),
                port: authority.port_u16().unwrap_or(usual_port),
                is_tls,
            },
            authority: authority.to_string(),
            base: match uri.path().trim_end_matches('/') {
                "" => USUAL_BASE.to_owned(),
                path => path.to_owned(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_place_and_a_base() {
        let https = Target::parse("https://models.example/openai/v1/").unwrap();
        assert_eq!(https.base, "/openai/v1");
        let Place::Host { port, is_tls, .. } = https.place else {
            panic!("no host");
        };
        assert_eq!((port, is_tls), (443, true));
        let v6 = Target::parse("http://[::1]:8000").unwrap();
        assert_eq!(
            (v6.base.as_str(), v6.authority.as_str()),
            ("/v1", "[::1]:8000")
        );
        let Place::Host { name, .. } = v6.place else {
            panic!("no host");
        };
        assert_eq!(name, "::1");
        let unix = Target::parse("unix:./var/engine.sock").unwrap();
        assert_eq!(unix.to_string(), "unix:./var/engine.sock");
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for url in [
            "",
            "unix:",
            "models.example",
            "ftp://models.example",
            "http://key@models.example",
            "http://models.example?x=1",
            "http://",
        ] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }
}
