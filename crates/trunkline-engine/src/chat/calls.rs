//! The calls of tools in a reply: told from its words while it comes, and held to their form.
//!
//! Where a call must be made, its form holds from the first token on. Where one may be made, the
//! reply is free until a call opens; from there on it is held to the form, so that a call names a
//! tool that there is and has arguments that meet its schema, whatever the model.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use trunkline_inference::{ChatDelta, ToolCall};
use trunkline_nn::NnError;
use trunkline_nn::llama::{CallReader, Constraint, Llama, Piece, TextStream};

/// Letters and digits of an id. Some models' templates take no others.
const ID_LETTERS: usize = 9;

pub(super) struct Calls {
    reader: CallReader,
    form: Constraint,
    /// Whether the form holds.
    holds: bool,
    made: usize,
}

impl Calls {
    /// `form` is that of calls after their opening; `begun`, whether the opening is in the prompt.
    pub(super) fn new(model: &Llama, names: Vec<String>, form: Constraint, begun: bool) -> Self {
        Self {
            reader: CallReader::new(model.tool_form(), names, begun),
            form,
            holds: begun,
            made: 0,
        }
    }

    /// The form that holds at this place of the reply.
    pub(super) fn form(&mut self) -> Option<&mut Constraint> {
        self.holds.then_some(&mut self.form)
    }

    /// Whether any call was made.
    pub(super) fn made_any(&self) -> bool {
        self.made > 0
    }

    /// Reads on: `token` became `text`. Whether no more may follow.
    pub(super) fn read(
        &mut self,
        model: &Llama,
        stream: &mut TextStream,
        token: u32,
        mut text: String,
        told: &mut Vec<ChatDelta>,
    ) -> Result<bool, NnError> {
        if model.opens_call(token) {
            text.push_str(model.tool_form().opening());
        }
        let pieces = self.reader.push(&text);
        self.tell(pieces, told);
        let Some(mut opened) = self.reader.take_opened() else {
            return Ok(false);
        };
        // From here on it is no text, so that no stop string is looked for.
        let held = stream.forget_stops();
        let pieces = self.reader.push(&held);
        self.tell(pieces, told);
        opened.push_str(&held);
        if self.holds {
            return Ok(false);
        }
        let mut form = self.form.clone();
        match model.follow(&mut form, &opened) {
            Ok(complete) => {
                self.form = form;
                self.holds = true;
                Ok(complete)
            }
            // It opens as a call and goes on as none, so it is read as it comes.
            Err(NnError::Constraint(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The reply is over, with this text that was held back.
    pub(super) fn finish(&mut self, rest: &str, told: &mut Vec<ChatDelta>) {
        let mut pieces = self.reader.push(rest);
        pieces.extend(self.reader.finish());
        self.tell(pieces, told);
    }

    fn tell(&mut self, pieces: Vec<Piece>, told: &mut Vec<ChatDelta>) {
        for piece in pieces {
            told.push(match piece {
                Piece::Text(text) => ChatDelta::Text(text),
                Piece::Call { name, arguments } => {
                    self.made += 1;
                    ChatDelta::ToolCall(ToolCall {
                        id: new_id(),
                        name,
                        arguments,
                    })
                }
            });
        }
    }
}

/// An id that no other call has, but for one chance in a hundred trillion.
fn new_id() -> String {
    // Each of these has keys of its own, made from the system's random numbers.
    let mut rest = RandomState::new().hash_one(ID_LETTERS);
    let mut letter = || {
        let digit = u32::try_from(rest % 36).unwrap_or(0);
        rest /= 36;
        char::from_digit(digit, 36).unwrap_or('0')
    };
    (0..ID_LETTERS).map(|_| letter()).collect()
}
