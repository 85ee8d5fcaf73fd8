//! The strict judge in front of the transaction layer: what RFC 3261 says must not pass is
//! answered or dropped here. Verified against the torture messages of RFC 4475 and RFC 5118.
//!
//! Judged is the message alone. Whether its sender may speak to us, whether the dialog exists and
//! whether the method is served are other rooms' questions.

use super::address::NameAddr;
use super::grammar::{is_token, number};
use super::message::{Headers, Message, Method, Request, Response};
use super::read::{Parts, cut};
use super::uri::SipUri;
use super::via::Via;
use super::{SUPPORTED, Transport};

/// What to do with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Well formed: hand it on.
    Accept,
    /// A request to be refused with this status and reason phrase.
    Respond(u16, String),
    /// Nothing to answer to, or a malformed response or ACK: forget it, for this reason.
    Drop(String),
}

/// A verdict that is not Accept, with what is needed to act on it.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Forget it.
    Drop(&'static str),
    /// Refuse the request.
    Respond {
        /// As far as it could be read.
        request: Box<Request>,
        /// The status code.
        status: u16,
        /// What is wrong, as the reason phrase.
        reason: &'static str,
        /// Headers that the status calls for.
        headers: Vec<(&'static str, String)>,
    },
}

/// Judges one message: a datagram, or what was framed on a stream.
pub fn check_message(bytes: &[u8], transport: Transport) -> Verdict {
    match inspect(bytes, transport) {
        Ok(_) => Verdict::Accept,
        Err(Refusal::Drop(reason)) => Verdict::Drop(reason.to_owned()),
        Err(Refusal::Respond { status, reason, .. }) => Verdict::Respond(status, reason.to_owned()),
    }
}

/// Judges one message and reads it. The body is exactly what belongs to the message.
pub(crate) fn inspect(bytes: &[u8], transport: Transport) -> Result<Message, Refusal> {
    let parts = cut(bytes).map_err(Refusal::Drop)?;
    if parts.start.starts_with("SIP/") {
        return inspect_response(parts, transport)
            .map(Message::Response)
            .map_err(Refusal::Drop);
    }
    inspect_request(parts, transport).map(Message::Request)
}

struct Fault {
    status: u16,
    reason: &'static str,
    headers: Vec<(&'static str, String)>,
}

fn bad(reason: &'static str) -> Fault {
    Fault {
        status: 400,
        reason,
        headers: Vec::new(),
    }
}

fn inspect_request(parts: Parts<'_>, transport: Transport) -> Result<Request, Refusal> {
    if !parts.start.contains("SIP/") {
        return Err(Refusal::Drop("not a SIP message"));
    }
    let (start, start_fault) = match request_line(parts.start) {
        Ok(start) => (Some(start), None),
        Err(fault) => (None, Some(fault)),
    };
    let word = parts.start.split_whitespace().next().unwrap_or("");
    let (method, uri) = start.unwrap_or((word, ""));
    let mut request = Request {
        method: Method::from_token(method),
        uri: uri.to_owned(),
        headers: parts.headers,
        body: Vec::new(),
    };
    // Without a Via there is no way back.
    let answerable = request.headers.get("Via").is_some() && request.method != Method::Ack;
    let fault = start_fault
        .or_else(|| parts.damage.map(bad))
        .or_else(|| check_headers(&request.headers).err())
        .or_else(|| check_request(&request).err())
        .or_else(|| match body(&request.headers, parts.rest, transport) {
            Ok(body) => {
                request.body = body.to_vec();
                None
            }
            Err(reason) => Some(bad(reason)),
        })
        .or_else(|| check_service(&request).err());
    match fault {
        None => Ok(request),
        Some(fault) if !answerable => Err(Refusal::Drop(fault.reason)),
        Some(fault) => Err(Refusal::Respond {
            request: Box::new(request),
            status: fault.status,
            reason: fault.reason,
            headers: fault.headers,
        }),
    }
}

fn inspect_response(parts: Parts<'_>, transport: Transport) -> Result<Response, &'static str> {
    let (version, rest) = parts.start.split_once(' ').ok_or("bad status line")?;
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        return Err("unknown SIP version");
    }
    let status = number(code, 699)
        .filter(|code| *code >= 100)
        .and_then(|code| u16::try_from(code).ok())
        .ok_or("bad status code")?;
    if code.len() != 3 {
        return Err("bad status code");
    }
    if let Some(damage) = parts.damage {
        return Err(damage);
    }
    check_headers(&parts.headers).map_err(|fault| fault.reason)?;
    let vias = parts.headers.all("Via").filter_map(Via::parse_list);
    if vias.flatten().count() > 1 {
        // RFC 3261 section 8.1.3.3: a user agent is nobody's proxy.
        return Err("response with a second Via");
    }
    for warning in parts.headers.all("Warning") {
        let code = warning.split_whitespace().next().unwrap_or("");
        if code.len() != 3 || number(code, 999).is_none() {
            return Err("bad Warning");
        }
    }
    let body = body(&parts.headers, parts.rest, transport)?.to_vec();
    Ok(Response {
        status,
        reason: reason.trim().to_owned(),
        headers: parts.headers,
        body,
    })
}

fn request_line(line: &str) -> Result<(&str, &str), Fault> {
    let mut words = line.split(' ');
    let (Some(method), Some(uri), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(bad("Malformed Request-Line"));
    };
    if !is_token(method) || uri.is_empty() || uri.contains('\t') {
        return Err(bad("Malformed Request-Line"));
    }
    if version.eq_ignore_ascii_case("SIP/2.0") {
        return Ok((method, uri));
    }
    let numbered = version
        .strip_prefix("SIP/")
        .and_then(|rest| rest.split_once('.'))
        .is_some_and(|(a, b)| number(a, u64::MAX).is_some() && number(b, u64::MAX).is_some());
    match numbered {
        true => Err(Fault {
            status: 505,
            reason: "Version Not Supported",
            headers: Vec::new(),
        }),
        false => Err(bad("Malformed Request-Line")),
    }
}

/// Headers that may stand only once.
const SINGLE: [&str; 16] = [
    "Call-ID",
    "Content-Disposition",
    "Content-Length",
    "Content-Type",
    "CSeq",
    "Date",
    "Event",
    "Expires",
    "From",
    "Max-Forwards",
    "Min-Expires",
    "Min-SE",
    "MIME-Version",
    "Session-Expires",
    "To",
    "Timestamp",
];

/// What holds for requests and responses alike.
fn check_headers(headers: &Headers) -> Result<(), Fault> {
    for name in SINGLE {
        if headers.all(name).count() > 1 {
            return Err(bad("Repeated Single-Value Header"));
        }
    }
    let vias: Option<Vec<_>> = headers.all("Via").map(Via::parse_list).collect();
    if vias.ok_or(bad("Malformed Via"))?.is_empty() {
        return Err(bad("Missing Via"));
    }
    for (name, missing, malformed) in [
        ("From", "Missing From", "Malformed From"),
        ("To", "Missing To", "Malformed To"),
    ] {
        let value = headers.get(name).ok_or(bad(missing))?;
        let address = NameAddr::parse(value).ok_or(bad(malformed))?;
        if address.params.count("tag") > 1 {
            return Err(bad(malformed));
        }
    }
    let call_id = headers.get("Call-ID").ok_or(bad("Missing Call-ID"))?;
    if call_id.is_empty() || call_id.contains(char::is_whitespace) {
        return Err(bad("Malformed Call-ID"));
    }
    let cseq = headers.get("CSeq").ok_or(bad("Missing CSeq"))?;
    let mut words = cseq.split_whitespace();
    let sequence = words.next().and_then(|word| number(word, (1 << 31) - 1));
    if sequence.is_none() || !words.next().is_some_and(is_token) || words.next().is_some() {
        return Err(bad("Malformed CSeq"));
    }
    check_addresses(headers)?;
    check_numbers(headers)
}

fn check_addresses(headers: &Headers) -> Result<(), Fault> {
    for value in headers.all("Contact") {
        if value.trim() != "*" {
            let contacts = NameAddr::parse_list(value).ok_or(bad("Malformed Contact"))?;
            let limit = u64::from(u32::MAX);
            let expires = contacts.iter().filter_map(|c| c.params.get("expires"));
            if expires.into_iter().any(|e| number(e, limit).is_none()) {
                return Err(bad("Malformed Contact"));
            }
        }
    }
    for (name, malformed) in [
        ("Route", "Malformed Route"),
        ("Record-Route", "Malformed Record-Route"),
    ] {
        for value in headers.all(name) {
            NameAddr::parse_list(value).ok_or(bad(malformed))?;
        }
    }
    Ok(())
}

fn check_numbers(headers: &Headers) -> Result<(), Fault> {
    for (name, most, malformed) in [
        ("Max-Forwards", 255, "Malformed Max-Forwards"),
        (
            "Content-Length",
            u64::from(u32::MAX),
            "Malformed Content-Length",
        ),
        ("Expires", u64::from(u32::MAX), "Malformed Expires"),
        ("Min-Expires", u64::from(u32::MAX), "Malformed Min-Expires"),
        (
            "Session-Expires",
            u64::from(u32::MAX),
            "Malformed Session-Expires",
        ),
        ("Min-SE", u64::from(u32::MAX), "Malformed Min-SE"),
        ("Retry-After", u64::from(u32::MAX), "Malformed Retry-After"),
        ("RSeq", u64::from(u32::MAX), "Malformed RSeq"),
    ] {
        if let Some(value) = headers.get(name) {
            // Parameters and comments follow some of these.
            let digits = value.split([';', '(']).next().unwrap_or("");
            number(digits, most).ok_or(bad(malformed))?;
        }
    }
    // RFC 3261 section 20.17: only GMT.
    if headers
        .get("Date")
        .is_some_and(|date| !date.ends_with("GMT"))
    {
        return Err(bad("Malformed Date"));
    }
    Ok(())
}

fn check_request(request: &Request) -> Result<(), Fault> {
    let cseq_method = request
        .headers
        .get("CSeq")
        .and_then(|cseq| cseq.split_whitespace().nth(1));
    if cseq_method != Some(request.method.as_str()) {
        return Err(bad("CSeq Method Mismatch"));
    }
    let from = request.headers.get("From").and_then(NameAddr::parse);
    if from
        .and_then(|from| from.tag().map(str::to_owned))
        .is_none()
    {
        // RFC 2543 did without; the transaction layer cannot.
        return Err(bad("Missing From Tag"));
    }
    check_request_uri(&request.uri)
}

fn check_request_uri(uri: &str) -> Result<(), Fault> {
    if uri.starts_with('<') {
        return Err(bad("Malformed Request-URI"));
    }
    let Some((scheme, rest)) = uri.split_once(':') else {
        return Err(bad("Malformed Request-URI"));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "sip" | "sips" => match SipUri::parse(uri) {
            Some(uri) if !uri.has_headers => Ok(()),
            _ => Err(bad("Malformed Request-URI")),
        },
        "tel" if !rest.is_empty() => Ok(()),
        _ => Err(Fault {
            status: 416,
            reason: "Unsupported URI Scheme",
            headers: Vec::new(),
        }),
    }
}

/// What a well-formed request asks that this gateway cannot do.
fn check_service(request: &Request) -> Result<(), Fault> {
    let headers = &request.headers;
    if matches!(request.method, Method::Ack | Method::Cancel) {
        return Ok(());
    }
    let unknown: Vec<&str> = headers
        .options("Require")
        .filter(|option| {
            !SUPPORTED
                .split(", ")
                .any(|known| known.eq_ignore_ascii_case(option))
        })
        .collect();
    if !unknown.is_empty() {
        return Err(Fault {
            status: 420,
            reason: "Bad Extension",
            headers: vec![("Unsupported", unknown.join(", "))],
        });
    }
    // A BYE must end its call however far it came; OPTIONS at zero is how traceroute works.
    let last_hop = headers
        .get("Max-Forwards")
        .is_some_and(|hops| number(hops, 255) == Some(0));
    if last_hop && !matches!(request.method, Method::Bye | Method::Options) {
        return Err(Fault {
            status: 483,
            reason: "Too Many Hops",
            headers: Vec::new(),
        });
    }
    check_content(request)
}

fn check_content(request: &Request) -> Result<(), Fault> {
    if !matches!(
        request.method,
        Method::Invite | Method::Update | Method::Prack
    ) {
        return Ok(());
    }
    let headers = &request.headers;
    let unsupported = |encoding: bool| Fault {
        status: 415,
        reason: "Unsupported Media Type",
        headers: match encoding {
            true => vec![("Accept-Encoding", "identity".to_owned())],
            false => vec![("Accept", "application/sdp".to_owned())],
        },
    };
    let optional = headers
        .get("Content-Disposition")
        .is_some_and(|value| value.to_ascii_lowercase().contains("handling=optional"));
    if !request.body.is_empty() && !optional {
        if headers
            .options("Content-Encoding")
            .any(|encoding| !encoding.eq_ignore_ascii_case("identity"))
        {
            return Err(unsupported(true));
        }
        let kind = headers.get("Content-Type").unwrap_or("application/sdp");
        let kind = kind.split(';').next().unwrap_or("").trim();
        let multipart = kind.to_ascii_lowercase().starts_with("multipart/");
        if !kind.eq_ignore_ascii_case("application/sdp") && !multipart {
            return Err(unsupported(false));
        }
    }
    let accepts_sdp = headers.get("Accept").is_none()
        || headers.options("Accept").any(|range| {
            let range = range.split(';').next().unwrap_or("").trim();
            ["application/sdp", "application/*", "*/*"]
                .iter()
                .any(|known| range.eq_ignore_ascii_case(known))
        });
    if !accepts_sdp && request.method == Method::Invite {
        return Err(Fault {
            status: 406,
            reason: "Not Acceptable",
            headers: Vec::new(),
        });
    }
    Ok(())
}

/// The body that belongs to the message. Without Content-Length the body of a datagram runs to
/// its end; more bytes than announced are not part of it; fewer are an error (RFC 3261, 18.3).
fn body<'a>(
    headers: &Headers,
    rest: &'a [u8],
    transport: Transport,
) -> Result<&'a [u8], &'static str> {
    let Some(length) = headers.get("Content-Length") else {
        return match transport {
            Transport::Udp => Ok(rest),
            Transport::Tcp => Err("Missing Content-Length"),
        };
    };
    let length = number(length, u64::from(u32::MAX))
        .and_then(|length| usize::try_from(length).ok())
        .ok_or("Malformed Content-Length")?;
    rest.get(..length)
        .ok_or("Content-Length Beyond The Message")
}
