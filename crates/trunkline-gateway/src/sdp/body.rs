//! Finding the session description in a message body.

use crate::wire::{Headers, parameter};

/// The SDP of a body: all of it, or the first `application/sdp` part of a multipart one (RFC
/// 5621). `None` when there is no body or no such part.
pub(crate) fn sdp_of<'a>(headers: &Headers, body: &'a [u8]) -> Option<&'a [u8]> {
    if body.is_empty() {
        return None;
    }
    let content_type = headers.get("Content-Type").unwrap_or("application/sdp");
    let kind = content_type.split(';').next().unwrap_or("").trim();
    if kind.eq_ignore_ascii_case("application/sdp") {
        return Some(body);
    }
    if !kind.to_ascii_lowercase().starts_with("multipart/") {
        return None;
    }
    let text = std::str::from_utf8(body).ok()?;
    let delimiter = format!("--{}", parameter(content_type, "boundary")?);
    text.split(delimiter.as_str()).skip(1).find_map(|part| {
        let (head, content) = part.split_once("\r\n\r\n")?;
        let is_sdp = head.lines().any(|line| {
            let line = line.to_ascii_lowercase();
            line.starts_with("content-type:") && line.contains("application/sdp")
        });
        is_sdp.then(|| content.trim_end().as_bytes())
    })
}
