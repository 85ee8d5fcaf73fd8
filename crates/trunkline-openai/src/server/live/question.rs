//! The query of a live transcription.

use trunkline_inference::{TranscribeOptions, Urgency};

use super::super::fields::wrong;
use crate::server::Refusal;

/// How to transcribe.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    pub(super) model: String,
    /// The audio comes at 8 kHz instead of 16.
    pub(super) is_narrow: bool,
    pub(super) options: TranscribeOptions,
}

/// Reads a query.
pub(super) fn read(query: &str) -> Result<Question, Refusal> {
    let mut question = Question {
        model: String::new(),
        is_narrow: false,
        options: TranscribeOptions {
            partials: true,
            // Somebody is speaking, and will wait for the end of it.
            urgency: Urgency::TurnCritical,
            ..TranscribeOptions::default()
        },
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = unescape(value).ok_or_else(|| wrong(name, "it is not UTF-8"))?;
        match (name, value.as_str()) {
            ("model", _) => question.model = value,
            ("language", _) => question.options.language = Some(value),
            ("rate", "16000") => question.is_narrow = false,
            ("rate", "8000") => question.is_narrow = true,
            ("rate", _) => return Err(wrong("rate", "it must be 16000 or 8000")),
            ("words", "true") => question.options.words = true,
            ("words", "false") => question.options.words = false,
            ("words", _) => return Err(wrong("words", "it must be true or false")),
            ("phrase", _) => question.options.phrases.push(value),
            (other, _) => return Err(wrong(other, "this server does not know it")),
        }
    }
    match question.model.is_empty() {
        true => Err(wrong("model", "it is missing")),
        false => Ok(question),
    }
}

/// Undoes the escapes of a query (`application/x-www-form-urlencoded`).
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let digits = std::str::from_utf8(&digits).ok()?;
                u8::from_str_radix(digits, 16).ok()?
            }
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_and_what_is_wrong_in_it_refused() {
        let query = "model=ears&rate=8000&language=en&words=true&phrase=K%C3%BC+che&phrase=AUM";
        let question = read(query).unwrap();
        assert_eq!(
            (question.model.as_str(), question.is_narrow),
            ("ears", true)
        );
        assert_eq!(question.options.phrases, ["Kü che", "AUM"]);
        assert!(question.options.partials && question.options.words);
        for wrong in [
            "",
            "rate=8000",
            "model=x&rate=5",
            "model=x&words=1",
            "model=x&y=1",
            "model=%ff",
            "model=%f",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
