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
struct Asked {
    class: Class,
    tenant: TenantId,
}

impl Asked {
    /// For nobody in particular.
    fn of(class: Class) -> Self {
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
        match self.submit(asked, prompt, max_tokens.max(1), 0, Logits::Last) {
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
            match self.submit(Asked::of(choosing.class), prompt, longest, 0, Logits::Last) {
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

    /// Brings the row of a conversation to what is expected now. Not to be able to is no failure.
    fn expect(&mut self, id: u64, prompt: Option<Vec<u32>>) {
        let Some(prompt) = prompt else {
            if let Some(row) = self.ahead.remove(&id) {
                self.end(row);
            }
            return;
        };
        let now = self.now();
        if let Some(row) = self.ahead.get(&id).copied() {
            let known = self.scheduler.tokens(row).unwrap_or_default();
            let shared = known
                .iter()
                .zip(&prompt)
                .take_while(|(a, b)| a == b)
                .count();
            let changed = self
                .scheduler
                .retract(row, shared)
                .and_then(|()| self.scheduler.extend(now, row, &prompt[shared..]));
            if changed.is_ok() {
                return;
            }
            self.ahead.remove(&id);
            self.end(row);
        }
        match self.submit(Asked::of(Class::Speculative), prompt, 0, 0, Logits::None) {
            Ok(row) => {
                self.tasks.insert(row, Task::Ahead { id });
                self.ahead.insert(id, row);
            }
            Err(error) => tracing::debug!(model = self.name, %error, "nothing is computed ahead"),
        }
    }

    fn submit(
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
