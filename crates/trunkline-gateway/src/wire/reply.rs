//! Responses built from the request that they answer.

use super::message::{Headers, Request, Response};

/// A response with the headers that RFC 3261 section 8.2.6.2 copies from the request. The To tag
/// is added when the request has none and the response is not 100.
pub(crate) fn reply(request: &Request, status: u16, to_tag: &str) -> Response {
    let mut headers = Headers::default();
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        for value in request.headers.all(name) {
            let tagged = value.to_ascii_lowercase().contains(";tag=")
                || value
                    .to_ascii_lowercase()
                    .replace(' ', "")
                    .contains(";tag=");
            if name == "To" && status != 100 && !tagged {
                headers.push(name, format!("{value};tag={to_tag}"));
            } else {
                headers.push(name, value);
            }
        }
    }
    if status == 100
        && let Some(timestamp) = request.headers.get("Timestamp")
    {
        headers.push("Timestamp", timestamp);
    }
    Response {
        status,
        reason: reason_phrase(status).to_owned(),
        headers,
        body: Vec::new(),
    }
}

/// The usual phrase for a status that this gateway sends.
pub(crate) fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        413 => "Request Entity Too Large",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        422 => "Session Interval Too Small",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        _ => "Unknown",
    }
}
