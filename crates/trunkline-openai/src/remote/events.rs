//! Server-sent events, taken apart as their bytes arrive (WHATWG HTML, section 9.2).
//!
//! Only the data of an event counts; names, ids and comments are passed over.

/// An event is a line or two; more than this is not one.
const LONGEST: usize = 1 << 20;

/// Takes bytes, gives events.
#[derive(Debug, Default)]
pub(super) struct EventReader {
    /// Bytes of a line that is not complete.
    line: Vec<u8>,
    /// Data of the event so far.
    data: String,
    has_data: bool,
    /// The last byte was a carriage return, so a line feed belongs to it.
    after_return: bool,
}

/// The bytes are no events.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EventError {
    /// A line or an event goes on for too long.
    #[error("an event is longer than {LONGEST} bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("an event is not UTF-8")]
    NotText,
}

impl EventReader {
    /// Takes what arrived and gives the data of each event that is complete now.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, EventError> {
        let mut events = Vec::new();
        for byte in bytes {
            let is_second_half = *byte == b'\n' && self.after_return;
            self.after_return = *byte == b'\r';
            match byte {
                _ if is_second_half => {}
                b'\r' | b'\n' => events.extend(self.end_line()?),
                _ => self.line.push(*byte),
            }
            if self.line.len() + self.data.len() > LONGEST {
                return Err(EventError::TooLong);
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Result<Option<String>, EventError> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return Ok(std::mem::take(&mut self.has_data).then_some(data));
        }
        let Some(data) = line.strip_prefix(b"data:") else {
            return Ok(None);
        };
        let data = data.strip_prefix(b" ").unwrap_or(data);
        let data = std::str::from_utf8(data).map_err(|_| EventError::NotText)?;
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push('\n');
        }
        self.data.push_str(data);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = ": hello\r\ndata: one\r\n\r\nevent: x\nid: 5\ndata:two\ndata: three\n\n\n\
                          data\n\ndata: {\"a\": \"ü\"}\r\rdata: lost";

    fn expected() -> Vec<String> {
        ["one", "two\nthree", "{\"a\": \"ü\"}"]
            .map(str::to_owned)
            .to_vec()
    }

    #[test]
    fn events_are_read_whatever_ends_their_lines() {
        let mut reader = EventReader::default();
        assert_eq!(reader.push(STREAM.as_bytes()).unwrap(), expected());
    }

    #[test]
    fn what_never_ends_or_is_no_text_is_refused() {
        let mut reader = EventReader::default();
        assert_eq!(
            reader.push(&vec![b'x'; LONGEST + 1]),
            Err(EventError::TooLong)
        );
        let mut reader = EventReader::default();
        assert_eq!(reader.push(b"data: \xff\n"), Err(EventError::NotText));
        let mut reader = EventReader::default();
        let endless = "data: x\n".repeat(LONGEST);
        assert_eq!(reader.push(endless.as_bytes()), Err(EventError::TooLong));
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_makes_no_difference(cuts in prop::collection::vec(1_usize..9, 0..60)) {
            let mut reader = EventReader::default();
            let mut rest = STREAM.as_bytes();
            let mut events = Vec::new();
            for cut in cuts {
                let (piece, left) = rest.split_at(cut.min(rest.len()));
                events.extend(reader.push(piece).unwrap());
                rest = left;
            }
            events.extend(reader.push(rest).unwrap());
            prop_assert_eq!(events, expected());
        }

        #[test]
        fn any_bytes_are_events_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = EventReader::default().push(&bytes);
        }
    }
}
