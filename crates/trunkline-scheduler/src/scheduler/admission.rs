//! Who may come in: limits on what waits, and who makes room.

use std::time::Duration;

use super::{Queued, Row, TokenScheduler, check_length};
use crate::row::NO_LOGITS;
use crate::{Class, Logits, Request, RowId, SchedulerError, ShedReason};

/// Who makes room for a more urgent request, in this order.
const DISPLACED: [Class; 2] = [Class::Speculative, Class::Background];

/// The retry hint while nothing was measured yet, and its bounds.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const SHORTEST_RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

impl TokenScheduler {
    /// Admits a row. Turn-critical and playing requests displace waiting speculative, then
    /// background rows, the latest first, when there is no room.
    ///
    /// # Errors
    /// [`SchedulerError::Overloaded`] when there is no room; [`SchedulerError::TooLong`] when the
    /// row could never fit; [`SchedulerError::EmptyPrompt`] for a closed prompt without a token.
    pub fn submit(&mut self, now: Duration, request: Request) -> Result<RowId, SchedulerError> {
        if request.prompt.is_empty() && request.logits != Logits::None {
            return Err(SchedulerError::EmptyPrompt);
        }
        let total = request.prompt.len().saturating_add(request.max_new_tokens);
        check_length(total, self.settings.max_row_tokens)?;
        self.tick(now);
        if let Err(error) = self.make_room(request.class, request.prompt.len()) {
            self.metrics.refused[request.class] += 1;
            return Err(error);
        }
        let id = self.claim_row()?;
        let arrival = self.next_arrival();
        self.adopt(new_row(id, arrival, self.now, request));
        Ok(id)
    }

    /// An id for one more row.
    pub(super) fn claim_row(&mut self) -> Result<RowId, SchedulerError> {
        match self.ids.claim() {
            Some(slot) => Ok(RowId(slot)),
            None => Err(self.overloaded()),
        }
    }

    pub(super) fn next_arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    /// Sheds who has waited in vain.
    pub(super) fn shed_overdue(&mut self) {
        for class in Class::ALL.into_iter().filter(|class| class.is_sheddable()) {
            let patience = self.settings.patience[class];
            while let Some(((since, _), id)) = self.waiting[class].first_key_value() {
                if since.saturating_add(patience) >= self.now {
                    break;
                }
                let id = *id;
                self.shed_row(id, ShedReason::WaitedTooLong);
            }
        }
    }

    /// Displaces as few waiting rows as it takes; none when that is not enough.
    fn make_room(&mut self, class: Class, tokens: usize) -> Result<(), SchedulerError> {
        let sheds = |other: &Class| !class.is_sheddable() && !self.waiting[*other].is_empty();
        let displaced: Vec<Class> = DISPLACED.into_iter().filter(sheds).collect();
        let (mut rows, mut waiting_tokens) = self.waiting_in_all();
        for other in &displaced {
            rows -= self.waiting[*other].len();
            waiting_tokens -= self.waiting_tokens[*other];
        }
        let ids_suffice = self.ids.free() > 0 || !displaced.is_empty();
        if !ids_suffice || !self.has_room(rows, waiting_tokens, tokens) {
            return Err(self.overloaded());
        }
        for other in displaced {
            loop {
                let (rows, waiting_tokens) = self.waiting_in_all();
                if self.ids.free() > 0 && self.has_room(rows, waiting_tokens, tokens) {
                    return Ok(());
                }
                let Some((_, id)) = self.waiting[other].last_key_value() else {
                    break;
                };
                let id = *id;
                self.shed_row(id, ShedReason::Displaced);
            }
        }
        Ok(())
    }

    fn waiting_in_all(&self) -> (usize, usize) {
        Class::ALL
            .into_iter()
            .fold((0, 0), |(rows, tokens), class| {
                (
                    rows + self.waiting[class].len(),
                    tokens + self.waiting_tokens[class],
                )
            })
    }

    fn has_room(&self, rows: usize, waiting_tokens: usize, tokens: usize) -> bool {
        rows < self.settings.max_waiting_rows
            && waiting_tokens.saturating_add(tokens) <= self.settings.max_waiting_tokens
    }

    /// The refusal, with the time that what waits will take to begin.
    fn overloaded(&self) -> SchedulerError {
        let budget = self.settings.prefill_tokens;
        let (_, tokens) = self.waiting_in_all();
        let steps = u32::try_from(tokens.div_ceil(budget)).unwrap_or(u32::MAX);
        let retry_after = match self.step_time.predict(budget) {
            Some(step) => step.saturating_mul(steps.max(1)),
            None => FIRST_RETRY,
        };
        SchedulerError::Overloaded {
            retry_after: retry_after.clamp(SHORTEST_RETRY, LONGEST_RETRY),
        }
    }
}

fn new_row(id: RowId, arrival: u64, now: Duration, request: Request) -> Row {
    Row {
        id,
        arrival,
        origin: request.origin,
        class: request.class,
        due: request.due,
        since: now,
        prompt_len: request.prompt.len(),
        max_new_tokens: request.max_new_tokens,
        computed: 0,
        blocks: Vec::new(),
        cache: request.cache,
        hashes: Vec::new(),
        registered: 0,
        pinned_prefix: request.pinned_prefix,
        logits_from: match request.logits {
            Logits::None => NO_LOGITS,
            Logits::Last => request.prompt.len().saturating_sub(1),
            Logits::All => 0,
        },
        open: request.logits == Logits::None,
        flight: None,
        queued: Queued::No,
        turns: 0,
        ahead: 0,
        tokens: request.prompt,
    }
}
