//! Conversations that are computed ahead: partial transcripts become tokens while they come.

use std::sync::{Arc, Weak};

use tokio::sync::oneshot;
use trunkline_inference::{AnticipatedTokens, Anticipation, ChatMessage, PendingAnticipated};
use trunkline_nn::llama::Llama;

use super::command::Command;
use super::encode::to_messages;
use crate::work_queue::WorkQueue;

/// The handle of one conversation.
pub(super) struct Ahead {
    id: u64,
    /// A call that goes on does not keep a model that has been exchanged.
    model: Weak<Llama>,
    queue: Arc<WorkQueue<Command>>,
    has_ended: bool,
}

impl Ahead {
    pub(super) fn new(id: u64, model: &Arc<Llama>, queue: &Arc<WorkQueue<Command>>) -> Self {
        Self {
            id,
            model: Arc::downgrade(model),
            queue: Arc::clone(queue),
            has_ended: false,
        }
    }

    /// Behind every request that was made before: what they use of it is known then.
    fn conclude(&mut self, account: Option<oneshot::Sender<AnticipatedTokens>>) {
        if !std::mem::replace(&mut self.has_ended, true) {
            let id = self.id;
            self.queue.push_release(Command::EndAhead { id, account });
        }
    }
}

impl Anticipation for Ahead {
    fn expect(&mut self, messages: &[ChatMessage]) {
        // What cannot be computed ahead will be refused when it is asked for.
        let Some(model) = self.model.upgrade() else {
            return;
        };
        let prompt = model.open_prompt(&to_messages(messages));
        if let Ok(prompt) = prompt
            && !prompt.is_empty()
        {
            let id = self.id;
            // Speculative: where there is no room it is left undone.
            let _ = self.queue.push_background(Command::Expect { id, prompt });
        }
    }

    fn end(mut self: Box<Self>) -> Option<PendingAnticipated> {
        let (account, pending) = oneshot::channel();
        self.conclude(Some(account));
        Some(pending)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.conclude(None);
    }
}
