//! Conversations that are computed ahead: partial transcripts become tokens while they come.

use std::sync::{Arc, Weak};

use trunkline_inference::{Anticipation, ChatMessage};
use trunkline_nn::llama::Llama;

use super::command::Command;
use super::encode::to_messages;
use crate::work_queue::WorkQueue;

/// The handle of one conversation.
pub(super) struct Ahead {
    pub(super) id: u64,
    /// A call that goes on does not keep a model that has been exchanged.
    pub(super) model: Weak<Llama>,
    pub(super) queue: Arc<WorkQueue<Command>>,
}

impl Anticipation for Ahead {
    fn expect(&mut self, messages: &[ChatMessage]) {
        // What cannot be computed ahead will be refused when it is asked for.
        let Some(model) = self.model.upgrade() else {
            return;
        };
        let prompt = model.open_prompt(&to_messages(messages));
        let prompt = prompt.ok().filter(|prompt| !prompt.is_empty());
        self.tell(prompt);
    }
}

impl Ahead {
    fn tell(&self, prompt: Option<Vec<u32>>) {
        let id = self.id;
        // Speculative: where there is no room it is left undone.
        let _ = self.queue.push_background(Command::Expect { id, prompt });
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.tell(None);
    }
}
