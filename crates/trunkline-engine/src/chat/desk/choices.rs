//! Choices: each option becomes a row that shares the prompt's blocks and says its tokens.

use trunkline_nn::llama::Score;
use trunkline_scheduler::{Logits, RowId, SchedulerError};

use super::{Desk, Task};
use crate::chat::choice::{Choosing, Side};
use crate::chat::failure::refusal;

/// Neutral scores that are kept; a workflow has a few dozen choices.
const KEPT_NEUTRAL: usize = 512;

impl Desk {
    /// The prompt of one side is computed: its options follow, each on a row of its own.
    pub(super) fn score_options(&mut self, row: RowId, id: u64, side: Side, logits: &[f32]) {
        let forked = self.fork_options(row, id, side, logits);
        self.tasks.remove(&row);
        if let Some(choosing) = self.choices.get_mut(&id) {
            choosing.rows.remove(&row);
        }
        let _ = self.scheduler.finish(row);
        if let Err(error) = forked {
            if let Some(choosing) = self.close_choice(id) {
                choosing.fail(refusal(&self.name, &error));
            }
            return;
        }
        self.conclude_if_complete(id);
    }

    fn fork_options(
        &mut self,
        row: RowId,
        id: u64,
        side: Side,
        logits: &[f32],
    ) -> Result<(), SchedulerError> {
        let Some(choosing) = self.choices.get_mut(&id) else {
            return Ok(());
        };
        for at in 0..choosing.options.len() {
            choosing.count(side, at, logits);
            // What follows the last token of an option is nobody's concern.
            let Some((_, said)) = choosing.options[at].split_last() else {
                continue;
            };
            if said.is_empty() {
                continue;
            }
            let fork = self.scheduler.fork(row)?;
            choosing.rows.insert(fork);
            let task = Task::Scored {
                choice: id,
                side,
                at,
            };
            self.tasks.insert(fork, task);
            self.scheduler.push(fork, said, Logits::All)?;
        }
        Ok(())
    }

    /// More of an option's tokens were said.
    pub(super) fn score_on<'l>(
        &mut self,
        row: RowId,
        id: u64,
        side: Side,
        at: usize,
        logits: impl Iterator<Item = &'l [f32]>,
    ) {
        let Some(choosing) = self.choices.get_mut(&id) else {
            return;
        };
        for line in logits {
            choosing.count(side, at, line);
        }
        if choosing.has_scored(side, at) {
            choosing.rows.remove(&row);
            self.end(row);
            self.conclude_if_complete(id);
        }
    }

    pub(super) fn conclude_if_complete(&mut self, id: u64) {
        let choosing = self.choices.get(&id);
        if !choosing.is_some_and(|choosing| choosing.is_complete()) {
            return;
        }
        let Some(choosing) = self.close_choice(id) else {
            return;
        };
        let options = choosing.options.clone();
        if let Some((prompt, scores)) = choosing.conclude() {
            self.keep_neutral(prompt, options, scores);
        }
    }

    fn keep_neutral(&mut self, prompt: Vec<u32>, options: Vec<Vec<u32>>, scores: Vec<Score>) {
        if self.neutral.len() >= KEPT_NEUTRAL {
            self.neutral.clear();
        }
        self.neutral.insert((prompt, options), scores);
    }

    /// Takes a choice out, with all that computes for it.
    pub(super) fn close_choice(&mut self, id: u64) -> Option<Choosing> {
        let choosing = self.choices.remove(&id)?;
        for row in &choosing.rows {
            self.tasks.remove(row);
            let _ = self.scheduler.cancel(*row);
        }
        Some(choosing)
    }
}
