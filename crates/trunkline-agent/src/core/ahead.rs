//! What the language model will be asked if the caller stops here: decided at every partial
//! transcript, so that the model may compute ahead while the caller still speaks.
//!
//! Nothing else depends on it. A model that cannot compute ahead leaves it at that.

use trunkline_inference::ChatMessage;
use trunkline_workflow::FlowInput;

use crate::core::{CallCore, flow};
use crate::log::Decision;

/// The expectation for the caller's open turn.
#[derive(Debug, Default)]
pub(super) struct Expected(Vec<ChatMessage>);

impl CallCore {
    /// The caller's turn has these words so far.
    pub(super) fn anticipate(&mut self, text: &str, out: &mut Vec<Decision>) {
        // A full stop after every partial is the recogniser's guess; the caller goes on.
        let text = text.trim_end_matches(|last: char| !last.is_alphanumeric());
        if text.is_empty() || self.ending.is_some() || self.hung_up {
            return;
        }
        let text = text.to_owned();
        let input = match self.withdrawn {
            true => FlowInput::CallerContinued { text },
            false => FlowInput::CallerSaid { text },
        };
        // Where the words decide by rule, no model is asked. More words may say otherwise, so that
        // what is there is kept.
        let Some(prompt) = self.interpreter.foresee(self.at, input) else {
            return;
        };
        let expected = flow::messages(prompt);
        let before = &self.expected.0;
        let alike = expected.iter().zip(before).take_while(|(a, b)| a == b);
        let kept = alike.count();
        if kept == expected.len() && kept == before.len() {
            return;
        }
        let messages = expected[kept..].to_vec();
        self.expected = Expected(expected);
        out.push(Decision::Anticipate { kept, messages });
    }

    /// The turn was answered, or came to nothing.
    pub(super) fn end_anticipation(&mut self, out: &mut Vec<Decision>) {
        if !std::mem::take(&mut self.expected).0.is_empty() {
            out.push(Decision::EndAnticipation);
        }
    }
}
