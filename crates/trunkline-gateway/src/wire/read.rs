//! Cutting bytes into start line, headers and body, before any judgement on their content.

use super::grammar::is_token;
use super::message::Headers;

/// A message cut into its parts.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    /// The start line without its line end.
    pub(crate) start: &'a str,
    /// Headers, unfolded, compact names written out.
    pub(crate) headers: Headers,
    /// What follows the empty line, however long.
    pub(crate) rest: &'a [u8],
    /// What is wrong with the headers, when something is. Those that could be read are there,
    /// so that the sender can be told.
    pub(crate) damage: Option<&'static str>,
}

/// Cuts a message. `Err` when there is nothing to answer to.
pub(crate) fn cut(bytes: &[u8]) -> Result<Parts<'_>, &'static str> {
    let bytes = skip_line_ends(bytes);
    if bytes.is_empty() {
        return Err("keep-alive");
    }
    let end = find(bytes, b"\r\n\r\n").ok_or("no empty line after the headers")?;
    let head = &bytes[..end];
    let rest = &bytes[end + 4..];
    let start_end = find(head, b"\r\n").unwrap_or(head.len());
    let start = std::str::from_utf8(&head[..start_end]).map_err(|_| "start line is not UTF-8")?;
    let mut headers = Headers::default();
    let mut damage = None;
    for line in lines(head.get(start_end + 2..).unwrap_or(&[])) {
        if let Err(problem) = take_line(line, &mut headers) {
            damage.get_or_insert(problem);
        }
    }
    if start.contains(['\r', '\n']) {
        damage = Some("stray line end in the start line");
    }
    Ok(Parts {
        start,
        headers,
        rest,
        damage,
    })
}

fn take_line(line: &[u8], headers: &mut Headers) -> Result<(), &'static str> {
    let line = std::str::from_utf8(line).map_err(|_| "header is not UTF-8")?;
    // A lone CR or LF reads as a line end to some parsers and not to others.
    if line.contains(['\r', '\n']) {
        return Err("stray line end in a header");
    }
    if line.starts_with([' ', '\t']) {
        let (_, value) = headers
            .0
            .last_mut()
            .ok_or("folded line before any header")?;
        if !value.is_empty() {
            value.push(' ');
        }
        value.push_str(line.trim());
        return Ok(());
    }
    let (name, value) = line.split_once(':').ok_or("header without a colon")?;
    let name = name.trim_end();
    if !is_token(name) {
        return Err("header name is not a token");
    }
    headers.push(full_name(name), value.trim());
    Ok(())
}

/// Compact forms (RFC 3261 section 7.3.3, RFC 4028, RFC 3515) written out.
fn full_name(name: &str) -> &str {
    match name.to_ascii_lowercase().as_str() {
        "b" => "Referred-By",
        "c" => "Content-Type",
        "e" => "Content-Encoding",
        "f" => "From",
        "i" => "Call-ID",
        "k" => "Supported",
        "l" => "Content-Length",
        "m" => "Contact",
        "o" => "Event",
        "r" => "Refer-To",
        "s" => "Subject",
        "t" => "To",
        "v" => "Via",
        "x" => "Session-Expires",
        _ => name,
    }
}

/// Empty lines before a start line are to be ignored (RFC 3261 section 7.5).
pub(crate) fn skip_line_ends(bytes: &[u8]) -> &[u8] {
    let skip = bytes
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n' | b' ' | 0))
        .count();
    &bytes[skip..]
}

fn lines(mut head: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if head.is_empty() {
            return None;
        }
        match find(head, b"\r\n") {
            Some(at) => {
                let line = &head[..at];
                head = &head[at + 2..];
                Some(line)
            }
            None => Some(std::mem::take(&mut head)),
        }
    })
}

pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
