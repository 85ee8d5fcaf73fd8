//! Finding whole messages in a stream (RFC 3261 section 18.3).

use super::grammar::number;
use super::read::{find, skip_line_ends};

/// The most that a message on a stream may measure.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// What stands at the start of a stream's buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Framed {
    /// A whole message: skip this many bytes, then take that many.
    Message {
        /// Bytes before it.
        skip: usize,
        /// Bytes of it.
        length: usize,
    },
    /// Not enough yet.
    Incomplete,
    /// The stream cannot be read any further; the bytes up to here, headers and all, are what is
    /// left to answer to.
    Broken {
        /// Bytes that hold the damaged message's headers.
        length: usize,
    },
}

/// Looks for the next message.
pub fn next_frame(buffer: &[u8]) -> Framed {
    let trimmed = skip_line_ends(buffer);
    let skip = buffer.len() - trimmed.len();
    let Some(head) = find(trimmed, b"\r\n\r\n") else {
        if trimmed.len() > MAX_MESSAGE {
            return Framed::Broken {
                length: buffer.len(),
            };
        }
        return Framed::Incomplete;
    };
    let head_end = head + 4;
    let Some(body) = content_length(&trimmed[..head_end]) else {
        return Framed::Broken {
            length: skip + head_end,
        };
    };
    match head_end.checked_add(body) {
        Some(length) if length > MAX_MESSAGE => Framed::Broken {
            length: skip + head_end,
        },
        Some(length) if length <= trimmed.len() => Framed::Message { skip, length },
        Some(_) => Framed::Incomplete,
        None => Framed::Broken {
            length: skip + head_end,
        },
    }
}

/// The one Content-Length; `None` when it is missing, repeated with another value, or no number.
fn content_length(head: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(head).ok()?;
    let mut found = None;
    for line in text.split("\r\n").skip(1) {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let name = name.trim_end();
        if !name.eq_ignore_ascii_case("content-length") && !name.eq_ignore_ascii_case("l") {
            continue;
        }
        let length = usize::try_from(number(value, u64::from(u32::MAX))?).ok()?;
        if found.is_some_and(|known| known != length) {
            return None;
        }
        found = Some(length);
    }
    found
}
