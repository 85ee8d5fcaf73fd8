//! Conversations that are computed ahead of need, and the account of what it was good for.

use tokio::sync::oneshot;
use trunkline_inference::AnticipatedTokens;
use trunkline_scheduler::{Class, Due, Logits, RowId, SchedulerError};

use super::orders::Asked;
use super::{Desk, FIRST_TOKEN, Task};

/// A request is the end of a conversation that was computed ahead if no more tokens than this
/// were expected otherwise: a last word, a full stop.
const OTHER_TOKENS: usize = 4;

/// A conversation that goes on.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// The open row, while there is room for one.
    pub(super) row: Option<RowId>,
    /// The row computed this stretch of its tokens itself; what was before it came from the cache.
    stretch: Option<(usize, usize)>,
    account: AnticipatedTokens,
}

impl Conversation {
    /// A step computed so many tokens from position `start` on.
    pub(super) fn ran(&mut self, start: usize, tokens: usize) {
        self.account.computed += tokens;
        let from = self.stretch.map_or(start, |(from, _)| from.min(start));
        self.stretch = Some((from, start + tokens));
    }

    /// Nothing from position `to` on counts any more.
    fn retracted(&mut self, to: usize) {
        if let Some((_, end)) = &mut self.stretch {
            *end = (*end).min(to);
        }
    }

    /// Tokens that it computed of the first `shared` ones.
    fn gain(&self, shared: usize) -> usize {
        self.stretch
            .map_or(0, |(from, end)| end.min(shared).saturating_sub(from))
    }

    /// The same where they are found in the cache, which has whole blocks only.
    fn gain_in_blocks(&self, shared: usize, block_tokens: usize) -> usize {
        let end = self.stretch.map_or(0, |(_, end)| end.min(shared));
        self.gain(end / block_tokens * block_tokens)
    }
}

impl Desk {
    /// Brings the row of a conversation to what is expected now. Not to be able to is no failure.
    pub(super) fn expect(&mut self, id: u64, prompt: Vec<u32>) {
        let row = self.ahead.get(&id).and_then(|known| known.row);
        if let Some(row) = row {
            if self.change(id, row, &prompt) {
                return;
            }
            self.end(row);
        }
        let conversation = self.ahead.entry(id).or_default();
        (conversation.row, conversation.stretch) = (None, None);
        let asked = Asked::of(Class::Speculative);
        match self.submit(asked, prompt, 0, 0, Logits::None) {
            Ok(row) => {
                self.tasks.insert(row, Task::Ahead { id });
                if let Some(conversation) = self.ahead.get_mut(&id) {
                    conversation.row = Some(row);
                }
            }
            Err(error) => tracing::debug!(model = self.name, %error, "nothing is computed ahead"),
        }
    }

    /// Takes back what was expected otherwise, and adds what is new. Says whether that went well.
    fn change(&mut self, id: u64, row: RowId, prompt: &[u32]) -> bool {
        let now = self.now();
        let shared = shared(self.scheduler.tokens(row).unwrap_or_default(), prompt);
        if let Some(conversation) = self.ahead.get_mut(&id) {
            conversation.retracted(shared);
        }
        let retracted = self.scheduler.retract(row, shared);
        let changed = retracted.and_then(|()| self.scheduler.extend(now, row, &prompt[shared..]));
        changed.is_ok()
    }

    /// A conversation is over; what it computed stays findable.
    pub(super) fn end_ahead(
        &mut self,
        id: u64,
        account: Option<oneshot::Sender<AnticipatedTokens>>,
    ) {
        let conversation = self.ahead.remove(&id).unwrap_or_default();
        if let Some(row) = conversation.row {
            self.end(row);
        }
        if let Some(account) = account {
            // Nobody wants to know any more when it fails.
            let _ = account.send(conversation.account);
        }
    }

    /// A caller waits for the reply to a prompt. Where a conversation has come to the end of it,
    /// but for a last word, its row goes on as the row of the request; else what it computed is
    /// found in the cache.
    pub(super) fn adopt(&mut self, prompt: &[u32], max_new_tokens: usize) -> Option<RowId> {
        let candidates = self.ahead.iter().filter_map(|(id, conversation)| {
            let row = conversation.row?;
            let known = self.scheduler.tokens(row).ok()?;
            let shared = shared(known, prompt);
            let others = known.len() - shared;
            Some((conversation.gain(shared), shared, others, *id, row))
        });
        let (gain, shared, others, id, row) = candidates.max_by_key(|(gain, ..)| *gain)?;
        let block_tokens = self.scheduler.settings().block_tokens;
        let conversation = self.ahead.get_mut(&id)?;
        if gain == 0 || others > OTHER_TOKENS {
            let found = conversation.gain_in_blocks(shared, block_tokens);
            let used = &mut conversation.account.used;
            *used = found.max(*used);
            return None;
        }
        conversation.account.used = gain;
        conversation.row = None;
        self.tasks.remove(&row);
        let due = Due::at(self.now() + FIRST_TOKEN);
        let closed = self.close(row, shared, prompt, max_new_tokens, due);
        if closed.is_err() {
            self.end(row);
        }
        closed.ok().map(|()| row)
    }

    fn close(
        &mut self,
        row: RowId,
        shared: usize,
        prompt: &[u32],
        max_new_tokens: usize,
        due: Due,
    ) -> Result<(), SchedulerError> {
        let now = self.now();
        self.scheduler.retract(row, shared)?;
        self.scheduler.allow(row, max_new_tokens)?;
        self.scheduler.extend(now, row, &prompt[shared..])?;
        self.scheduler.promote(now, row, Class::TurnCritical, due)?;
        self.scheduler.close_prompt(now, row)
    }
}

/// Tokens with which both begin.
fn shared(known: &[u32], prompt: &[u32]) -> usize {
    let alike = known.iter().zip(prompt).take_while(|(a, b)| a == b);
    alike.count()
}
