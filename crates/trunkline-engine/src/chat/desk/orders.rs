//! Orders become rows.

use trunkline_scheduler::{
    Class, Due, Epoch, Logits, Origin, Request, RowId, Salt, SchedulerError, TenantId,
};
use trunkline_types::{CallId, Timestamp};

use super::{Desk, FIRST_TOKEN, Task};
use crate::chat::choice::{Choosing, Scoring, Side};
use crate::chat::command::{ChoiceOrder, Command, ReplyOrder};
use crate::chat::failure::refusal;
use crate::chat::reply::Reply;

/// How urgent something is, and for whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    class: Class,
    tenant: TenantId,
}

impl Asked {
    /// For nobody in particular.
    pub(super) fn of(class: Class) -> Self {
        Self {
            class,
            tenant: TenantId(0),
        }
    }
}

impl Desk {
    /// Begins what is asked for, or answers that it cannot be done.
    pub(in crate::chat) fn take(&mut self, command: Command) {
        match command {
            Command::Reply(order) => self.take_reply(*order),
            Command::Choose(order) => self.take_choice(order),
            Command::WarmUp { prompt } => {
                let pinned = prompt.len();
                let asked = Asked::of(Class::Background);
                match self.submit(asked, prompt, 0, pinned, Logits::Last) {
                    Ok(row) => {
                        self.tasks.insert(row, Task::WarmUp);
                    }
                    Err(error) => tracing::warn!(model = self.name, %error, "no warm-up"),
                }
            }
            Command::Expect { id, prompt } => self.expect(id, prompt),
            Command::EndAhead { id, account } => self.end_ahead(id, account),
        }
    }

    fn take_reply(&mut self, order: ReplyOrder) {
        let room = self.scheduler.settings().max_row_tokens;
        // At least one token, so that a prompt which fills the context is refused by its length.
        let left = room.saturating_sub(order.prompt.len()).max(1);
        let max_tokens = order.max_tokens.min(left);
        let prompt = order.prompt.clone();
        let asked = Asked {
            class: order.class,
            tenant: order.tenant,
        };
        let reply = Reply::new(order, max_tokens);
        match self.begin(asked, prompt, max_tokens.max(1)) {
            Ok(row) => {
                self.tasks.insert(row, Task::Reply(Box::new(reply)));
            }
            Err(error) => reply.fail(refusal(&self.name, &error)),
        }
    }

    fn take_choice(&mut self, order: ChoiceOrder) {
        let mut choosing = Choosing::new(order.class, order.options, order.answer);
        self.counter += 1;
        let id = self.counter;
        let mut open = Vec::new();
        if let Some(prompt) = order.prompt {
            choosing.begin(Side::Said, Scoring::new(&choosing.options));
            open.push((Side::Said, prompt));
        }
        if let Some(neutral) = order.neutral {
            let key = (neutral, choosing.options.clone());
            if let Some(known) = self.neutral.get(&key) {
                choosing.begin(Side::Neutral, Scoring::known(known.clone()));
            } else {
                choosing.begin(Side::Neutral, Scoring::new(&choosing.options));
                choosing.neutral_prompt = Some(key.0.clone());
                open.push((Side::Neutral, key.0));
            }
        }
        let longest = choosing.options.iter().map(Vec::len).max().unwrap_or(1);
        for (side, prompt) in open {
            let asked = Asked::of(choosing.class);
            let row = match side {
                Side::Said => self.begin(asked, prompt, longest),
                Side::Neutral => self.submit(asked, prompt, longest, 0, Logits::Last),
            };
            match row {
                Ok(row) => {
                    choosing.rows.insert(row);
                    self.tasks.insert(row, Task::Prompt { choice: id, side });
                }
                Err(error) => {
                    for row in &choosing.rows {
                        self.tasks.remove(row);
                        let _ = self.scheduler.cancel(*row);
                    }
                    return choosing.fail(refusal(&self.name, &error));
                }
            }
        }
        self.choices.insert(id, choosing);
        // A warm-up may find all known.
        self.conclude_if_complete(id);
    }

    /// The row of a request, which may be computed already.
    fn begin(
        &mut self,
        asked: Asked,
        prompt: Vec<u32>,
        max_new_tokens: usize,
    ) -> Result<RowId, SchedulerError> {
        let is_awaited = asked.class == Class::TurnCritical;
        let adopted = is_awaited.then(|| self.adopt(&prompt, max_new_tokens));
        match adopted.flatten() {
            Some(row) => Ok(row),
            None => self.submit(asked, prompt, max_new_tokens, 0, Logits::Last),
        }
    }

    pub(super) fn submit(
        &mut self,
        asked: Asked,
        prompt: Vec<u32>,
        max_new_tokens: usize,
        pinned_prefix: usize,
        logits: Logits,
    ) -> Result<RowId, SchedulerError> {
        let now = self.now();
        let request = Request {
            origin: self.origin(asked.tenant),
            class: asked.class,
            due: Due::at(now + FIRST_TOKEN),
            prompt,
            logits,
            max_new_tokens,
            pinned_prefix,
            cache: Some(Salt(0)),
        };
        let row = self.scheduler.submit(now, request);
        self.tell_the_displaced();
        row
    }

    /// Each request is a call of its own here: it is cancelled by dropping its stream.
    fn origin(&mut self, tenant: TenantId) -> Origin {
        self.counter += 1;
        let mut number = [0; 10];
        number[..8].copy_from_slice(&self.counter.to_le_bytes());
        Origin {
            call: CallId::new(Timestamp::from_micros(0), number),
            epoch: Epoch(0),
            tenant,
        }
    }
}
