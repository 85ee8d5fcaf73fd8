//! Computing ahead of need: what a coming request will begin with, while it is still being said.

use tokio::sync::oneshot;

use crate::ChatMessage;

/// One conversation that is going on. Where a model can, it computes what it is told here ahead
/// of the request that will begin with it, so that the reply starts sooner; nothing else changes.
///
/// Such work is speculative: the first to be given up when there is not room for everything.
/// Dropping the handle ends it; what was computed stays findable for the request that follows.
pub trait Anticipation: Send {
    /// How the conversation stands. The last message may yet go on, or change: a partial
    /// transcript. What is the same as last time is not computed again.
    fn expect(&mut self, messages: &[ChatMessage]);

    /// Ends it and tells what it came to, counting the requests made before this. `None` where
    /// the model does not compute ahead.
    fn end(self: Box<Self>) -> Option<PendingAnticipated> {
        None
    }
}

/// The account of a conversation that was computed ahead, on its way.
pub type PendingAnticipated = oneshot::Receiver<AnticipatedTokens>;

/// What became of the tokens that were computed ahead for one conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AnticipatedTokens {
    /// Tokens computed. What an earlier conversation had left in the cache is not among them.
    pub computed: usize,
    /// Those of them that a request began with, so that it did not have to compute them.
    pub used: usize,
}

/// For models that cannot compute ahead.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoAnticipation;

impl Anticipation for NoAnticipation {
    fn expect(&mut self, _: &[ChatMessage]) {}
}
