//! From the caller's words and keys to slots and ways: by rule where the words decide, by the model's
//! scores where they do not, and by asking again where neither is sure.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use trunkline_types::{CallTime, Digit, EndReason};

use crate::check::GOODBYE_FAREWELL;
use crate::definition::{Agent, Choice, Digits, Event, Node, Slot};
use crate::flow::{FlowOutput, PromptRole, Provenance};
use crate::interpreter::Interpreter;
use crate::matcher::{Candidate, find, is_goodbye, yes_or_no};
use crate::prompts::{self, Offered};
use crate::state::{Meaning, Pending};
use crate::words::{digit_words, normalise, spoken_digits};
use crate::workflow::{Condition, Workflow};

impl Interpreter {
    /// Takes what the caller said.
    pub(crate) fn hear(&mut self, at: CallTime, text: &str, out: &mut Vec<FlowOutput>) {
        if self.state.ending.is_some() {
            return;
        }
        let nothing = normalise(text).is_empty();
        if nothing && self.state.pending.is_some() && !self.state.cut {
            // A noise: what was said before it still counts.
            return;
        }
        if matches!(self.state.pending.take(), Some(Pending::Generate { .. })) {
            // The caller did not wait for the answer: on to where it would have led.
            if let Some(next) = self.way_out(true) {
                self.enter(at, next, false, out);
            }
        }
        let workflow = Arc::clone(&self.workflow);
        let Some(agent) = listening(&workflow, self.state.node) else {
            return;
        };
        if nothing {
            return if self.state.cut {
                self.ask_again(agent, "reprompt.not_understood", out);
            } else {
                self.listen(agent, out);
            };
        }
        text.clone_into(&mut self.state.said);
        self.state.filled.clear();
        self.remember(PromptRole::User, text.to_owned());

        for name in agent.slots.iter().chain(&agent.optional_slots) {
            if let Some((value, spoken)) = self.read(&workflow, name, text) {
                self.fill(name, value, spoken, Provenance::Said, out);
            }
        }
        if !self.state.filled.is_empty() && self.go_on(at, agent, out) {
            return;
        }
        if let Some(next) = self.intent_in(&workflow, text) {
            return self.enter(at, next, true, out);
        }
        let farewell = self.text(GOODBYE_FAREWELL);
        if !farewell.is_empty() && is_goodbye(text) {
            return self.end(at, farewell, EndReason::WorkflowEnded, out);
        }
        for name in &agent.slots {
            if matches!(workflow.slots.get(name), Some(Slot::Text(_))) {
                self.fill(
                    name,
                    Value::from(text),
                    text.to_owned(),
                    Provenance::Said,
                    out,
                );
            }
        }
        if !self.state.filled.is_empty() && self.go_on(at, agent, out) {
            return;
        }
        self.ask_model(at, &workflow, agent, out);
    }

    /// What the words say for a slot, and how that is spoken; nothing when they do not decide.
    fn read(&self, workflow: &Workflow, slot: &str, text: &str) -> Option<(Value, String)> {
        match workflow.slots.get(slot)? {
            Slot::Choice(choice) => self.read_choice(workflow, choice, text),
            Slot::YesNo(words) => yes_or_no(text, &words.yes, &words.no).map(yes_no_value),
            Slot::Digits(digits) if digits.voice => read_digits(digits, text),
            Slot::Digits(_) | Slot::Text(_) => None,
        }
    }

    fn read_choice(
        &self,
        workflow: &Workflow,
        choice: &Choice,
        text: &str,
    ) -> Option<(Value, String)> {
        let options = self.state.options(workflow, choice);
        let candidates: Vec<Candidate> = options
            .iter()
            .map(|option| {
                let examples = option.examples.iter().map(String::as_str);
                Candidate::new(examples.chain([option.say.as_str()]))
            })
            .collect();
        let option = options.get(find(text, &candidates)?)?;
        Some((Value::from(option.value.as_str()), option.say.clone()))
    }

    /// The node behind the one intent that the words mean.
    fn intent_in(&self, workflow: &Workflow, text: &str) -> Option<usize> {
        let intents: Vec<_> = workflow
            .ways
            .get(self.state.node)?
            .iter()
            .filter_map(|way| match &way.condition {
                Condition::Intent { words, .. } => Some((way.to, words.clone())),
                _ => None,
            })
            .collect();
        let candidates: Vec<Candidate> = intents.iter().map(|(_, words)| words.clone()).collect();
        let (to, _) = intents.get(find(text, &candidates)?)?;
        Some(self.target(*to))
    }

    fn fill(
        &mut self,
        slot: &str,
        value: Value,
        spoken: String,
        source: Provenance,
        out: &mut Vec<FlowOutput>,
    ) {
        self.state.spoken.insert(slot.to_owned(), spoken);
        self.state.filled.push(slot.to_owned());
        self.set(slot, value, source, out);
    }

    /// Leaves the node if a way is open now.
    fn go_on(&mut self, at: CallTime, agent: &Agent, out: &mut Vec<FlowOutput>) -> bool {
        let complete = self.complete(agent, out);
        match self.way_out(complete) {
            Some(next) => {
                self.enter(at, next, true, out);
                true
            }
            None => false,
        }
    }

    /// Lets the model score what the caller may mean: the options of the first slot that is still
    /// empty, and the intents.
    fn ask_model(
        &mut self,
        at: CallTime,
        workflow: &Workflow,
        agent: &Agent,
        out: &mut Vec<FlowOutput>,
    ) {
        let mut offers = self.slot_offers(workflow, agent);
        if offers.is_empty() {
            return self.not_understood(at, out);
        }
        let ways = workflow.ways.get(self.state.node).into_iter().flatten();
        for (number, way) in ways.enumerate() {
            if let Condition::Intent { intent, .. } = &way.condition {
                offers.push(Offer {
                    label: intent.description.clone(),
                    examples: intent.examples.clone(),
                    meaning: Meaning::Go(number),
                });
            }
        }
        let offered: Vec<Offered<'_>> = offers
            .iter()
            .map(|offer| Offered {
                label: &offer.label,
                examples: &offer.examples,
            })
            .collect();
        let question = self.text(&format!("{}/say", agent.id));
        let (prompt, neutral) =
            prompts::choice(&workflow.prompt, &question, &offered, &self.state.said);
        let request = self.next_request;
        self.next_request += 1;
        out.push(FlowOutput::Choose {
            request,
            prompt,
            neutral,
            options: offers.iter().map(|offer| offer.label.clone()).collect(),
        });
        self.state.pending = Some(Pending::Choose {
            request,
            candidates: offers.into_iter().map(|offer| offer.meaning).collect(),
        });
    }

    fn slot_offers(&self, workflow: &Workflow, agent: &Agent) -> Vec<Offer> {
        let empty = agent.slots.iter().find(|slot| !self.state.has(slot));
        let Some((name, slot)) = empty.and_then(|name| Some((name, workflow.slots.get(name)?)))
        else {
            return Vec::new();
        };
        let offer = |value: Value, say: String, examples: Vec<String>| Offer {
            label: say.clone(),
            examples,
            meaning: Meaning::Fill {
                slot: name.clone(),
                value,
                spoken: say,
            },
        };
        match slot {
            Slot::Choice(choice) => self
                .state
                .options(workflow, choice)
                .into_iter()
                .map(|option| offer(option.value.into(), option.say, option.examples))
                .collect(),
            Slot::YesNo(words) => [(true, &words.yes), (false, &words.no)]
                .into_iter()
                .map(|(answer, examples)| {
                    let (value, say) = yes_no_value(answer);
                    offer(value, say, examples.clone())
                })
                .collect(),
            Slot::Digits(_) | Slot::Text(_) => Vec::new(),
        }
    }

    /// Takes the model's scores.
    pub(crate) fn chosen(
        &mut self,
        at: CallTime,
        request: u32,
        best: usize,
        probabilities: &[f32],
        out: &mut Vec<FlowOutput>,
    ) {
        let workflow = Arc::clone(&self.workflow);
        let open = matches!(&self.state.pending, Some(Pending::Choose { request: open, .. }) if *open == request);
        let Some(agent) = listening(&workflow, self.state.node).filter(|_| open) else {
            return;
        };
        let Some(Pending::Choose { candidates, .. }) = self.state.pending.take() else {
            return;
        };
        let sure = probabilities
            .get(best)
            .is_some_and(|probability| *probability >= workflow.settings().min_probability);
        match candidates.into_iter().nth(best).filter(|_| sure) {
            Some(Meaning::Fill {
                slot,
                value,
                spoken,
            }) => {
                self.fill(&slot, value, spoken, Provenance::Chosen, out);
                if !self.go_on(at, agent, out) {
                    self.not_understood(at, out);
                }
            }
            Some(Meaning::Go(number)) => {
                let ways = workflow.ways.get(self.state.node);
                if let Some(way) = ways.and_then(|ways| ways.get(number)) {
                    self.enter(at, self.target(way.to), true, out);
                }
            }
            None => self.not_understood(at, out),
        }
    }

    /// Asks again, or gives up asking.
    pub(crate) fn not_understood(&mut self, at: CallTime, out: &mut Vec<FlowOutput>) {
        let workflow = Arc::clone(&self.workflow);
        let Some(agent) = listening(&workflow, self.state.node) else {
            return;
        };
        self.state.misunderstood += 1;
        let too_often = self.state.misunderstood > workflow.settings().max_not_understood;
        match self.event_way(Event::NotUnderstood).filter(|_| too_often) {
            Some(next) => self.enter(at, next, true, out),
            None => self.ask_again(agent, "reprompt.not_understood", out),
        }
    }

    /// Takes a key. Keys that nothing asks for are ignored.
    pub(crate) fn key(&mut self, at: CallTime, key: Digit, out: &mut Vec<FlowOutput>) {
        let workflow = Arc::clone(&self.workflow);
        let Some((_, digits)) = keyed_slot(&workflow, self.state.node) else {
            return;
        };
        if self.state.ending.is_some() {
            return;
        }
        self.state.pending = None;
        let key = key.as_char();
        if digits.terminator == Some(key) {
            return self.finish_keys(at, out);
        }
        if !key.is_ascii_digit() {
            return;
        }
        if self.state.keyed.is_empty() {
            out.push(FlowOutput::Hush);
        }
        self.state.keyed.push(key);
        let patience = Duration::from_millis(u64::from(digits.timeout_ms));
        self.state.key_deadline = Some(at + patience);
        if self.state.keyed.len() >= usize::try_from(digits.most()).unwrap_or(usize::MAX) {
            self.finish_keys(at, out);
        }
    }

    /// No further key follows.
    pub(crate) fn finish_keys(&mut self, at: CallTime, out: &mut Vec<FlowOutput>) {
        let workflow = Arc::clone(&self.workflow);
        let keyed = std::mem::take(&mut self.state.keyed);
        self.state.key_deadline = None;
        let Some((slot, digits)) = keyed_slot(&workflow, self.state.node) else {
            return;
        };
        let Some(agent) = listening(&workflow, self.state.node) else {
            return;
        };
        if !fits(digits, &keyed) {
            return self.not_understood(at, out);
        }
        self.state.filled.clear();
        let spoken = digit_words(&keyed);
        self.fill(slot, keyed.into(), spoken, Provenance::Keyed, out);
        if !self.go_on(at, agent, out) {
            self.ask_model(at, &workflow, agent, out);
        }
    }
}

/// Something that the model may choose.
struct Offer {
    label: String,
    examples: Vec<String>,
    meaning: Meaning,
}

fn listening(workflow: &Workflow, node: usize) -> Option<&Agent> {
    workflow
        .nodes
        .get(node)
        .filter(|node| node.listens())
        .and_then(Node::agent)
}

fn keyed_slot(workflow: &Workflow, node: usize) -> Option<(&str, &Digits)> {
    listening(workflow, node)?
        .slots
        .iter()
        .find_map(|name| match workflow.slots.get(name)? {
            Slot::Digits(digits) if digits.keypad => Some((name.as_str(), digits)),
            _ => None,
        })
}

fn fits(digits: &Digits, number: &str) -> bool {
    u32::try_from(number.len())
        .is_ok_and(|length| (digits.least()..=digits.most()).contains(&length))
}

fn read_digits(digits: &Digits, text: &str) -> Option<(Value, String)> {
    [false, true]
        .into_iter()
        .map(|lenient| spoken_digits(text, lenient))
        .find(|number| fits(digits, number))
        .map(|number| {
            let spoken = digit_words(&number);
            (Value::from(number), spoken)
        })
}

fn yes_no_value(answer: bool) -> (Value, String) {
    (
        Value::Bool(answer),
        if answer { "yes" } else { "no" }.to_owned(),
    )
}
