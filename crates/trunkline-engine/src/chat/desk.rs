//! Everything that is open on a language model, and the step that moves all of it on: the
//! scheduler says which rows run, the network computes them, and what they were computed for
//! goes on with the logits.

mod ahead;
mod choices;
mod orders;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkline_inference::{InferenceError, ModelLoad};
use trunkline_nn::NnError;
use trunkline_nn::llama::{Llama, Logits, Row, Score};
use trunkline_scheduler::{Class, Due, Plan, RowId, RowStep, SchedulerError, TokenScheduler};

use self::ahead::Conversation;
use super::choice::{Choosing, Side};
use super::failure::{refusal, to_inference_error};
use super::network::StepNetwork;
use super::reply::{Reply, Verdict};
use super::settings::ChatSettings;

/// A listener hears so many tokens a second at the most; a reply that runs this fast is in time.
const SPOKEN_TOKEN: Duration = Duration::from_millis(150);
/// When a turn's first token is due after it was asked for.
const FIRST_TOKEN: Duration = Duration::from_millis(300);

/// What a row is computed for.
enum Task {
    Reply(Box<Reply>),
    /// The prompt of a choice.
    Prompt {
        choice: u64,
        side: Side,
    },
    /// An option of a choice, after the prompt.
    Scored {
        choice: u64,
        side: Side,
        at: usize,
    },
    WarmUp,
    /// A conversation that goes on.
    Ahead {
        id: u64,
    },
}

/// The prompt in which nothing was said, and the options.
type NeutralKey = (Vec<u32>, Vec<Vec<u32>>);

pub(super) struct Desk {
    name: String,
    model: Arc<Llama>,
    network: Box<dyn StepNetwork>,
    scheduler: TokenScheduler,
    started: Instant,
    tasks: BTreeMap<RowId, Task>,
    choices: BTreeMap<u64, Choosing>,
    /// Conversations that are computed ahead.
    ahead: BTreeMap<u64, Conversation>,
    /// Neutral scores by prompt and options. They never change.
    neutral: HashMap<NeutralKey, Vec<Score>>,
    /// Numbers what comes in.
    counter: u64,
    /// Steps computed.
    steps: u64,
}

impl Desk {
    pub(super) fn new(
        name: &str,
        model: &Arc<Llama>,
        network: Box<dyn StepNetwork>,
        settings: &ChatSettings,
    ) -> Result<Self, SchedulerError> {
        let settings = settings.of_tokens(model, network.blocks());
        Ok(Self {
            name: name.to_owned(),
            model: Arc::clone(model),
            network,
            scheduler: TokenScheduler::new(settings)?,
            started: Instant::now(),
            tasks: BTreeMap::new(),
            choices: BTreeMap::new(),
            ahead: BTreeMap::new(),
            neutral: HashMap::new(),
            counter: 0,
            steps: 0,
        })
    }

    /// Runs one step. `false` when there is nothing to run.
    pub(super) fn step(&mut self) -> bool {
        let plan = match self.scheduler.plan(self.now()) {
            Ok(plan) => plan,
            Err(error) => {
                tracing::error!(model = self.name, %error, "no step could be planned");
                return false;
            }
        };
        self.tell_the_displaced();
        if plan.is_empty() {
            return false;
        }
        let computed = self.compute(&plan);
        self.steps += 1;
        match computed {
            Ok(logits) => self.publish(&plan, logits),
            Err(error) => self.abandon(&plan, &error),
        }
        true
    }

    /// Tells those whose rows gave way to more urgent ones.
    fn tell_the_displaced(&mut self) {
        for shed in self.scheduler.take_shed() {
            let model = self.name.clone();
            self.give_up(shed.row, InferenceError::Overloaded { model });
        }
    }

    fn compute(&mut self, plan: &Plan) -> Result<Logits, NnError> {
        let copies = plan.copies().iter().map(|copy| (copy.from.0, copy.to.0));
        let copies: Vec<(u32, u32)> = copies.collect();
        let tables: Vec<Vec<u32>> = plan
            .steps()
            .map(|step| step.blocks.iter().map(|block| block.0).collect())
            .collect();
        let rows: Vec<Row<'_>> = plan
            .steps()
            .zip(&tables)
            .map(|(step, blocks)| Row {
                tokens: step.tokens,
                start: step.start,
                blocks,
                logits: step.logits,
            })
            .collect();
        self.network.step(&copies, &rows)
    }

    fn publish(&mut self, plan: &Plan, mut logits: Logits) {
        let stale = match self.scheduler.complete(plan, self.now()) {
            Ok(stale) => stale,
            Err(error) => return tracing::error!(model = self.name, %error, "a step is lost"),
        };
        for (at, step) in plan.steps().enumerate() {
            if !stale.contains(&step.row) {
                self.go_on(&step, at, &mut logits);
            }
        }
    }

    /// The step failed; what it was for fails with it.
    fn abandon(&mut self, plan: &Plan, error: &NnError) {
        tracing::error!(model = self.name, %error, "a step failed");
        if let Err(error) = self.scheduler.abandon(plan) {
            tracing::error!(model = self.name, %error, "a step is lost");
        }
        let failure = to_inference_error(&self.name, error);
        for step in plan.steps() {
            self.give_up(step.row, failure.clone());
        }
    }

    /// Moves on what row number `at` of a step was for.
    fn go_on(&mut self, step: &RowStep<'_>, at: usize, logits: &mut Logits) {
        match self.tasks.get_mut(&step.row) {
            Some(Task::Reply(reply)) => {
                reply.starts_at(step.start);
                if let Some(last) = logits.last_mut(at) {
                    self.draw(step.row, last);
                }
            }
            Some(Task::Prompt { choice, side }) => {
                let (choice, side) = (*choice, *side);
                if let Some(last) = logits.last_mut(at) {
                    self.score_options(step.row, choice, side, last);
                }
            }
            Some(Task::Scored {
                choice,
                side,
                at: option,
            }) => {
                let (choice, side, option) = (*choice, *side, *option);
                self.score_on(step.row, choice, side, option, logits.of(at));
            }
            Some(Task::WarmUp) if step.logits > 0 => self.end(step.row),
            Some(Task::Ahead { id }) => {
                if let Some(conversation) = self.ahead.get_mut(id) {
                    conversation.ran(step.start, step.tokens.len());
                }
            }
            Some(Task::WarmUp) | None => {}
        }
    }

    /// Draws the next token of a reply.
    fn draw(&mut self, row: RowId, logits: &mut [f32]) {
        let Some(Task::Reply(reply)) = self.tasks.get_mut(&row) else {
            return;
        };
        let before = self.scheduler.tokens(row).unwrap_or_default();
        let verdict = reply.advance(&self.model, before, logits);
        let said = reply.said();
        match verdict {
            Ok(Verdict::Next(token)) => {
                if let Err(error) = self.extend_reply(row, token, said) {
                    self.give_up(row, refusal(&self.name, &error));
                }
            }
            Ok(Verdict::Done) => self.end(row),
            Err(error) => {
                let failure = to_inference_error(&self.name, &error);
                self.give_up(row, failure);
            }
        }
    }

    /// A reply is played as it comes: from its first token on it must only keep up.
    fn extend_reply(&mut self, row: RowId, token: u32, said: usize) -> Result<(), SchedulerError> {
        let now = self.now();
        let due = Due::at(now + SPOKEN_TOKEN);
        self.scheduler
            .push(row, &[token], trunkline_scheduler::Logits::Last)?;
        if said == 1 {
            self.scheduler.promote(now, row, Class::Playing, due)
        } else {
            self.scheduler.set_deadline(row, due)
        }
    }

    /// A row has done its work. What it computed stays findable.
    fn end(&mut self, row: RowId) {
        self.tasks.remove(&row);
        // It may be gone already.
        let _ = self.scheduler.finish(row);
    }

    /// A row cannot do its work; whoever waits for it is told.
    fn give_up(&mut self, row: RowId, error: InferenceError) {
        let task = self.tasks.remove(&row);
        let _ = self.scheduler.cancel(row);
        match task {
            Some(Task::Reply(reply)) => reply.fail(error),
            Some(Task::Prompt { choice, .. } | Task::Scored { choice, .. }) => {
                if let Some(choosing) = self.close_choice(choice) {
                    choosing.fail(error);
                }
            }
            Some(Task::Ahead { id }) => {
                if let Some(conversation) = self.ahead.get_mut(&id) {
                    conversation.row = None;
                }
            }
            Some(Task::WarmUp) => tracing::warn!(model = self.name, %error, "a warm-up failed"),
            None => {}
        }
    }

    /// Cancels what nobody waits for any more.
    pub(super) fn drop_abandoned(&mut self) {
        let replies = self.tasks.iter().filter_map(|(row, task)| match task {
            Task::Reply(reply) if reply.is_abandoned() => Some(*row),
            _ => None,
        });
        for row in replies.collect::<Vec<_>>() {
            self.tasks.remove(&row);
            let _ = self.scheduler.cancel(row);
        }
        let choices = self.choices.iter();
        let abandoned = choices.filter(|(_, choosing)| choosing.is_abandoned());
        for choice in abandoned.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.close_choice(choice);
        }
    }

    /// Tells everybody who waits that it will not be done.
    pub(super) fn fail_all(&mut self, error: &InferenceError) {
        for task in std::mem::take(&mut self.tasks).into_values() {
            if let Task::Reply(reply) = task {
                reply.fail(error.clone());
            }
        }
        for choosing in std::mem::take(&mut self.choices).into_values() {
            choosing.fail(error.clone());
        }
    }

    /// How busy it is.
    pub(super) fn load(&self) -> ModelLoad {
        let figures = self.scheduler.metrics();
        let awaited = |task: &&Task| !matches!(task, Task::WarmUp | Task::Ahead { .. });
        ModelLoad {
            rows: self.tasks.values().filter(awaited).count(),
            steps: self.steps,
            blocks_used: figures.blocks_used,
            blocks: self.network.blocks(),
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}
