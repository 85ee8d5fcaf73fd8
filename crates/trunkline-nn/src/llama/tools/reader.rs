//! Tells words from calls while a reply comes in.
//!
//! Words are given out as they come, but for what may yet become the opening of a call. A call is
//! given out when it is complete. One that the end of the reply cuts short is no call, and its
//! pieces are nothing to be read out, so they are dropped.

use serde_json::{Map, Value};

use super::ToolForm;

const CLOSING: &str = "</tool_call>";

/// Something that a reply consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Words.
    Text(String),
    /// A call.
    Call {
        /// Of which function.
        name: String,
        /// The arguments, as JSON text.
        arguments: String,
    },
}

/// Where a reply stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing but blanks so far.
    Start,
    Words,
    Call,
    /// After a call: blanks between calls are not words.
    Between,
}

/// Reads one reply.
#[derive(Debug, Clone)]
pub struct CallReader {
    form: ToolForm,
    /// The functions that there are.
    names: Vec<String>,
    place: Place,
    /// What came and is not given out.
    held: String,
    opened: Option<String>,
}

impl CallReader {
    /// `within`: the opening of a call is in the prompt.
    pub fn new(form: ToolForm, names: Vec<String>, within: bool) -> Self {
        Self {
            form,
            names,
            place: if within { Place::Call } else { Place::Start },
            held: String::new(),
            opened: None,
        }
    }

    /// More of the reply.
    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        self.held.push_str(text);
        let mut pieces = Vec::new();
        while self.advance(&mut pieces) {}
        pieces
    }

    /// The reply is over.
    pub fn finish(&mut self) -> Vec<Piece> {
        let held = std::mem::take(&mut self.held);
        match self.place {
            Place::Call => self.calls(held.trim()).unwrap_or_default(),
            Place::Between if held.trim().is_empty() => Vec::new(),
            _ if held.is_empty() => Vec::new(),
            _ => vec![Piece::Text(held)],
        }
    }

    /// Once when a call has begun: what of it has come already, after the opening.
    pub fn take_opened(&mut self) -> Option<String> {
        self.opened.take()
    }

    /// Goes on as far as is certain. Whether there may be more to find in what is held.
    fn advance(&mut self, pieces: &mut Vec<Piece>) -> bool {
        match (self.place, self.form) {
            (Place::Call, _) => self.close(pieces),
            (Place::Words, ToolForm::Bare) => {
                self.say(self.held.len(), pieces);
                false
            }
            (_, ToolForm::Bare) => self.open_bare(),
            (_, form) => self.open_marked(form.opening(), pieces),
        }
    }

    /// Looks for the marker that opens a call.
    fn open_marked(&mut self, marker: &str, pieces: &mut Vec<Piece>) -> bool {
        if let Some(at) = self.held.find(marker) {
            self.say(at, pieces);
            self.held.drain(..marker.len());
            self.place = Place::Call;
            self.opened = Some(self.held.clone());
            return true;
        }
        let begun = (1..marker.len())
            .rev()
            .find(|length| self.held.ends_with(&marker[..*length]));
        let certain = self.held.len() - begun.unwrap_or(0);
        // Blanks wait for what they stand before.
        if self.place == Place::Words || !self.held[..certain].trim().is_empty() {
            self.say(certain, pieces);
        }
        false
    }

    /// Llama 3 has no marker: a reply is a call that begins as one, with a function that there is.
    fn open_bare(&mut self) -> bool {
        let come: String = self.held.split_whitespace().collect();
        let begins = |name: &String| format!("{{\"name\":{}", Value::from(name.as_str()));
        let beginnings: Vec<String> = self.names.iter().map(begins).collect();
        if beginnings.iter().any(|whole| come.starts_with(whole)) {
            self.place = Place::Call;
            self.opened = Some(self.held.clone());
            return true;
        }
        if beginnings.iter().any(|whole| whole.starts_with(&come)) {
            return false;
        }
        self.place = Place::Words;
        true
    }

    /// Looks for the end of a call.
    fn close(&mut self, pieces: &mut Vec<Piece>) -> bool {
        let end = match self.form {
            ToolForm::Tagged => self.held.find(CLOSING),
            ToolForm::Listed | ToolForm::Bare => first_value(&self.held),
        };
        let Some(end) = end else {
            return false;
        };
        let written: String = self.held.drain(..end).collect();
        if self.form == ToolForm::Tagged {
            self.held.drain(..CLOSING.len());
        }
        self.place = Place::Between;
        // What looks like a call and is none is shown as it was written.
        let calls = self.calls(written.trim());
        pieces.extend(calls.unwrap_or_else(|| vec![Piece::Text(written)]));
        true
    }

    /// Gives out words; blanks before and between calls are none.
    fn say(&mut self, length: usize, pieces: &mut Vec<Piece>) {
        let text: String = self.held.drain(..length).collect();
        if self.place == Place::Words || !text.trim().is_empty() {
            self.place = Place::Words;
            if !text.is_empty() {
                pieces.push(Piece::Text(text));
            }
        }
    }

    /// One call, or a list of them; `None` for what is neither.
    fn calls(&self, written: &str) -> Option<Vec<Piece>> {
        let one_or_more = match serde_json::from_str(written).ok()? {
            Value::Array(several) => several,
            one => vec![one],
        };
        let calls: Option<Vec<Piece>> = one_or_more.into_iter().map(call).collect();
        calls.filter(|calls| !calls.is_empty())
    }
}

/// A call from its JSON.
fn call(value: Value) -> Option<Piece> {
    let Value::Object(mut fields) = value else {
        return None;
    };
    let name = fields.get("name")?.as_str()?.to_owned();
    let arguments = fields
        .remove("arguments")
        .or_else(|| fields.remove("parameters"))
        .unwrap_or_else(|| Value::Object(Map::new()));
    Some(Piece::Call {
        name,
        arguments: arguments.to_string(),
    })
}

/// Where the JSON value ends that a text begins with, when all of it is there.
fn first_value(text: &str) -> Option<usize> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    match values.next() {
        Some(Ok(_)) => Some(values.byte_offset()),
        _ => None,
    }
}
