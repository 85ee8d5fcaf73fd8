//! Requests and responses as plain values.

use std::fmt;

/// A request method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Method {
    /// INVITE.
    Invite,
    /// ACK.
    Ack,
    /// BYE.
    Bye,
    /// CANCEL.
    Cancel,
    /// OPTIONS.
    Options,
    /// REGISTER.
    Register,
    /// PRACK (RFC 3262).
    Prack,
    /// UPDATE (RFC 3311).
    Update,
    /// INFO (RFC 6086).
    Info,
    /// Any other, as written.
    Other(String),
}

impl Method {
    /// From the token on the wire; methods are case-sensitive.
    pub(crate) fn from_token(token: &str) -> Self {
        match token {
            "INVITE" => Self::Invite,
            "ACK" => Self::Ack,
            "BYE" => Self::Bye,
            "CANCEL" => Self::Cancel,
            "OPTIONS" => Self::Options,
            "REGISTER" => Self::Register,
            "PRACK" => Self::Prack,
            "UPDATE" => Self::Update,
            "INFO" => Self::Info,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The token on the wire.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Options => "OPTIONS",
            Self::Register => "REGISTER",
            Self::Prack => "PRACK",
            Self::Update => "UPDATE",
            Self::Info => "INFO",
            Self::Other(token) => token,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Header fields in order, unfolded, with compact names written out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers(pub(crate) Vec<(String, String)>);

impl Headers {
    /// The first value of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Every value of that name, in order.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The first value of that name, to be changed.
    pub(crate) fn first_mut(&mut self, name: &str) -> Option<&mut String> {
        self.0
            .iter_mut()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Adds a header at the end.
    pub(crate) fn push(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// Removes every header of that name and adds this one at the end.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.remove(name);
        self.push(name, value);
    }

    /// Removes every header of that name.
    pub(crate) fn remove(&mut self, name: &str) {
        self.0
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    /// Whether a comma-separated header such as Supported holds the option tag.
    pub(crate) fn has_option(&self, name: &str, option: &str) -> bool {
        self.options(name)
            .any(|known| known.eq_ignore_ascii_case(option))
    }

    /// The members of a comma-separated header.
    pub(crate) fn options<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.all(name)
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|option| !option.is_empty())
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// What is asked.
    pub(crate) method: Method,
    /// The Request-URI as written.
    pub(crate) uri: String,
    /// Header fields.
    pub(crate) headers: Headers,
    /// The body, exactly as long as it really was.
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The number of CSeq.
    pub(crate) fn cseq(&self) -> Option<u32> {
        let cseq = self.headers.get("CSeq")?;
        cseq.split_whitespace().next()?.parse().ok()
    }

    /// As sent.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let start = format!("{} {} SIP/2.0\r\n", self.method, self.uri);
        print(start, &self.headers, &self.body)
    }
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    /// 100 to 699.
    pub(crate) status: u16,
    /// The reason phrase.
    pub(crate) reason: String,
    /// Header fields.
    pub(crate) headers: Headers,
    /// The body, exactly as long as it really was.
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The status and reason phrase, as an operator reads it.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.status, self.reason)
            .trim_end()
            .to_owned()
    }

    /// As sent.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let start = format!("SIP/2.0 {} {}\r\n", self.status, self.reason);
        print(start, &self.headers, &self.body)
    }
}

/// Either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

impl Message {
    /// As sent.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Request(request) => request.to_bytes(),
            Self::Response(response) => response.to_bytes(),
        }
    }
}

/// Content-Length is always the true length, whatever the headers said.
fn print(start: String, headers: &Headers, body: &[u8]) -> Vec<u8> {
    let mut text = start;
    for (name, value) in &headers.0 {
        if name.eq_ignore_ascii_case("Content-Length") {
            continue;
        }
        text.push_str(name);
        text.push_str(": ");
        text.push_str(value);
        text.push_str("\r\n");
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
