//! Leads a call through a workflow: entering and leaving nodes, lines, silence and the end.
//!
//! What the caller means is found in [`crate::hearing`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use trunkline_types::{CallTime, EndReason};

use crate::check::{FAILED_FAREWELL, SILENT_FAREWELL, TIME_UP_FAREWELL};
use crate::definition::{Agent, Answer, Event, Node, Slot};
use crate::flow::{
    CallContext, Expecting, FlowInput, FlowOutput, Prompt, PromptMessage, PromptRole, Provenance,
};
use crate::prompts;
use crate::state::{Ending, Pending, State};
use crate::workflow::{Condition, Target, Workflow};

/// Nodes passed in one go. The check finds circles, so this only guards against our own mistakes.
const MOST_STEPS: usize = 64;

/// Lines of both sides that are remembered for free answers.
const MOST_HISTORY: usize = 24;

/// A farewell that was never reported done does not keep the line open for longer than this.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(30);

/// The state of one call in its workflow.
#[derive(Debug, Clone)]
pub struct Interpreter {
    pub(crate) workflow: Arc<Workflow>,
    pub(crate) context: CallContext,
    pub(crate) state: State,
    /// The state before the caller spoke last.
    before: Option<Box<State>>,
    next_line: u32,
    pub(crate) next_request: u32,
    over: bool,
}

impl Interpreter {
    /// At the door of the start node.
    pub fn new(workflow: Arc<Workflow>, context: CallContext) -> Self {
        Self {
            state: State::new(&workflow),
            workflow,
            context,
            before: None,
            next_line: 0,
            next_request: 0,
            over: false,
        }
    }

    /// Takes one input and appends what to do. Times must not go back.
    pub fn handle(&mut self, at: CallTime, input: FlowInput, out: &mut Vec<FlowOutput>) {
        if self.over {
            return;
        }
        match input {
            FlowInput::Started => self.enter(at, self.workflow.start, true, out),
            FlowInput::CallerSaid { text } => {
                self.before = Some(Box::new(self.state.clone()));
                self.hear(at, &text, out);
            }
            FlowInput::CallerContinued { text } => {
                if let Some(before) = self.before.clone() {
                    self.take_back(*before, out);
                }
                self.hear(at, &text, out);
            }
            FlowInput::NotHeard => {
                if self.state.pending.is_none() && self.state.ending.is_none() {
                    self.not_understood(at, out);
                }
            }
            FlowInput::End { reason } => self.end_outside(at, reason, out),
            FlowInput::Digit { digit } => {
                self.before = None;
                self.key(at, digit, out);
            }
            FlowInput::Idle { count } => self.idle(at, count, out),
            FlowInput::Chosen {
                request,
                best,
                probabilities,
            } => self.chosen(at, request, best, &probabilities, out),
            FlowInput::Generated { request, text } => {
                self.generated(at, request, !text.trim().is_empty(), out);
            }
            FlowInput::ModelFailed { request } => self.model_failed(at, request, out),
            FlowInput::LineDone {
                line,
                heard,
                interrupted,
            } => self.line_done(line, heard, interrupted, out),
            FlowInput::Clock => self.clock(at, out),
        }
    }

    /// What the model would be asked if this happened now, if anything. Nothing changes.
    pub fn foresee(&self, at: CallTime, input: FlowInput) -> Option<Prompt> {
        let mut outputs = Vec::new();
        self.clone().handle(at, input, &mut outputs);
        outputs.into_iter().find_map(|output| match output {
            FlowOutput::Choose { prompt, .. } | FlowOutput::Generate { prompt, .. } => Some(prompt),
            _ => None,
        })
    }

    /// When [`FlowInput::Clock`] is due, if at all.
    pub fn next_deadline(&self) -> Option<CallTime> {
        let ending = self.state.ending.map(|ending| ending.deadline);
        if self.over {
            return None;
        }
        [self.state.key_deadline, ending]
            .into_iter()
            .flatten()
            .min()
    }

    /// The variables and their values; an empty text where there is none.
    pub fn variables(&self) -> &BTreeMap<String, Value> {
        &self.state.variables
    }

    /// The id of the current node.
    pub fn node(&self) -> &str {
        self.workflow
            .nodes
            .get(self.state.node)
            .map_or("", |node| node.id())
    }

    /// Whether [`FlowOutput::Hangup`] has been given.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Goes to a node, and on from it until the caller or the model is needed. Not `aloud` when the
    /// caller is already speaking: questions are then not asked and free answers not given.
    pub(crate) fn enter(
        &mut self,
        at: CallTime,
        first: usize,
        aloud: bool,
        out: &mut Vec<FlowOutput>,
    ) {
        let workflow = Arc::clone(&self.workflow);
        let mut next = Some(first);
        for _ in 0..MOST_STEPS {
            let Some((index, node)) = next.and_then(|at| Some((at, workflow.nodes.get(at)?)))
            else {
                break;
            };
            self.arrive(index, node, out);
            match node {
                Node::End(_) => {
                    let farewell = self.text(&node.template("farewell"));
                    return self.end(at, farewell, EndReason::WorkflowEnded, out);
                }
                Node::Start(start) => {
                    if aloud {
                        self.say(
                            self.text(&node.template("greeting")),
                            start.interruptible,
                            out,
                        );
                    }
                }
                Node::Agent(agent) => {
                    if aloud {
                        self.say(self.text(&node.template("say")), agent.interruptible, out);
                    }
                    // Only now: the question may have named the values that it asks for anew.
                    self.empty(&agent.slots, out);
                    if node.listens() {
                        return self.listen(agent, out);
                    }
                    self.look_up(agent, out);
                    if let Some(answer) = agent.answer.as_ref().filter(|_| aloud) {
                        return self.generate(agent, answer, out);
                    }
                }
            }
            next = self.way_out(true);
        }
        self.hang_up(EndReason::AgentFailed, out);
    }

    fn arrive(&mut self, index: usize, node: &Node, out: &mut Vec<FlowOutput>) {
        let workflow = Arc::clone(&self.workflow);
        if workflow
            .nodes
            .get(self.state.node)
            .is_some_and(Node::listens)
        {
            self.state.came_from = Some(self.state.node);
        }
        self.state.node = index;
        self.state.misunderstood = 0;
        self.state.keyed.clear();
        self.state.key_deadline = None;
        self.state.pending = None;
        out.push(FlowOutput::Entered {
            node: node.id().to_owned(),
        });
        if let Some(agent) = node.agent() {
            self.empty(&agent.clear, out);
        }
    }

    fn empty(&mut self, variables: &[String], out: &mut Vec<FlowOutput>) {
        let workflow = Arc::clone(&self.workflow);
        for variable in variables {
            let spoken = self.state.spoken.entry(variable.clone());
            spoken.and_modify(String::clear);
            let empty = workflow.empty_value(variable);
            self.set(variable, empty, Provenance::Cleared, out);
        }
    }

    /// The first way that is open, intents and events apart. The unconditional ones are open once
    /// the node is `complete`.
    pub(crate) fn way_out(&self, complete: bool) -> Option<usize> {
        let names = self.state.names(&self.workflow, &self.context);
        let way = self
            .workflow
            .ways
            .get(self.state.node)?
            .iter()
            .find(|way| match &way.condition {
                Condition::Always => complete,
                Condition::Expression(source) => {
                    self.workflow.texts.is_true(source, &names).unwrap_or(false)
                }
                Condition::Event(_) | Condition::Intent { .. } => false,
            })?;
        Some(self.target(way.to))
    }

    pub(crate) fn target(&self, target: Target) -> usize {
        match target {
            Target::Node(node) => node,
            Target::Back => self.state.came_from.unwrap_or(self.workflow.start),
        }
    }

    pub(crate) fn event_way(&self, event: Event) -> Option<usize> {
        let ways = self.workflow.ways.get(self.state.node)?;
        ways.iter()
            .find(|way| matches!(way.condition, Condition::Event(known) if known == event))
            .map(|way| self.target(way.to))
    }

    /// A template with the values of the moment. Templates were tried when the workflow was read; one
    /// that fails on a value all the same is not spoken.
    pub(crate) fn text(&self, template: &str) -> String {
        let names = self.state.names(&self.workflow, &self.context);
        self.workflow
            .texts
            .render(template, &names)
            .unwrap_or_default()
    }

    pub(crate) fn say(&mut self, text: String, interruptible: bool, out: &mut Vec<FlowOutput>) {
        if text.is_empty() {
            return;
        }
        self.state.cut = false;
        out.push(FlowOutput::Say {
            line: self.next_line,
            text,
            interruptible,
        });
        self.next_line += 1;
    }

    pub(crate) fn listen(&self, agent: &Agent, out: &mut Vec<FlowOutput>) {
        let kinds = || {
            agent
                .slots
                .iter()
                .filter_map(|name| self.workflow.slots.get(name))
        };
        let expecting = if kinds().any(|slot| matches!(slot, Slot::Digits(_))) {
            Expecting::Digits
        } else if kinds().all(|slot| matches!(slot, Slot::YesNo(_))) {
            Expecting::YesNo
        } else {
            Expecting::Free
        };
        let digits = kinds().find_map(|slot| match slot {
            Slot::Digits(digits) => Some((digits.least(), digits.most())),
            _ => None,
        });
        out.push(FlowOutput::Listen { expecting, digits });
    }

    /// Says a reprompt of the node, or its question when it has none, and listens again.
    pub(crate) fn ask_again(&mut self, agent: &Agent, field: &str, out: &mut Vec<FlowOutput>) {
        let reprompt = self.text(&format!("{}/{field}", agent.id));
        let text = if reprompt.is_empty() {
            self.text(&format!("{}/say", agent.id))
        } else {
            reprompt
        };
        self.say(text, agent.interruptible, out);
        self.listen(agent, out);
    }

    fn generate(&mut self, agent: &Agent, answer: &Answer, out: &mut Vec<FlowOutput>) {
        let request = self.next_request;
        self.next_request += 1;
        self.state.pending = Some(Pending::Generate { request });
        let earlier = self.state.history.len().saturating_sub(1);
        out.push(FlowOutput::Generate {
            request,
            line: self.next_line,
            prompt: prompts::answer(
                &self.workflow.prompt,
                answer,
                &self.state.history[..earlier],
                &self.state.said,
            ),
            max_tokens: answer.max_tokens,
            stop: vec!["\n".to_owned()],
            interruptible: agent.interruptible,
        });
        self.next_line += 1;
        out.push(FlowOutput::Listen {
            expecting: Expecting::Free,
            digits: None,
        });
    }

    fn generated(&mut self, at: CallTime, request: u32, spoke: bool, out: &mut Vec<FlowOutput>) {
        let open = matches!(self.state.pending, Some(Pending::Generate { request: open }) if open == request);
        if !open {
            return;
        }
        self.state.pending = None;
        if !spoke {
            let failed = self.text(&format!("{}/answer.failed", self.node()));
            self.say(failed, true, out);
        }
        match self.way_out(true) {
            Some(next) => self.enter(at, next, true, out),
            None => self.hang_up(EndReason::AgentFailed, out),
        }
    }

    fn model_failed(&mut self, at: CallTime, request: u32, out: &mut Vec<FlowOutput>) {
        match self.state.pending {
            Some(Pending::Generate { .. }) => self.generated(at, request, false, out),
            Some(Pending::Choose { request: open, .. }) if open == request => {
                self.state.pending = None;
                self.not_understood(at, out);
            }
            _ => {}
        }
    }

    fn look_up(&mut self, agent: &Agent, out: &mut Vec<FlowOutput>) {
        let workflow = Arc::clone(&self.workflow);
        for lookup in &agent.lookup {
            let found = workflow
                .tables
                .get(&lookup.table)
                .zip(self.state.variables.get(&lookup.key))
                .and_then(|(table, key)| table.row(key));
            let (row, source) = match found {
                Some(row) => (row.clone().into_iter().collect(), Provenance::LookedUp),
                None => (workflow.empty_value(&lookup.into), Provenance::Cleared),
            };
            self.set(&lookup.into, row, source, out);
        }
    }

    /// All that the node asks for is known: looks up what follows from it.
    pub(crate) fn complete(&mut self, agent: &Agent, out: &mut Vec<FlowOutput>) -> bool {
        let complete = agent.slots.iter().all(|slot| self.state.has(slot));
        if complete {
            self.look_up(agent, out);
        }
        complete
    }

    pub(crate) fn set(
        &mut self,
        variable: &str,
        value: Value,
        source: Provenance,
        out: &mut Vec<FlowOutput>,
    ) {
        let old = self
            .state
            .variables
            .insert(variable.to_owned(), value.clone());
        let cleared_nothing = source == Provenance::Cleared && old.as_ref() == Some(&value);
        if !cleared_nothing {
            out.push(FlowOutput::Set {
                variable: variable.to_owned(),
                value,
                source,
            });
        }
    }

    fn idle(&mut self, at: CallTime, count: u32, out: &mut Vec<FlowOutput>) {
        let workflow = Arc::clone(&self.workflow);
        let node = workflow.nodes.get(self.state.node);
        let Some(agent) = node.filter(|node| node.listens()).and_then(Node::agent) else {
            return;
        };
        if self.state.pending.is_some() || self.state.ending.is_some() {
            return;
        }
        if !self.state.keyed.is_empty() {
            return self.finish_keys(at, out);
        }
        if count <= workflow.settings().max_idle {
            return self.ask_again(agent, "reprompt.no_answer", out);
        }
        match self.event_way(Event::NoAnswer) {
            Some(next) => self.enter(at, next, true, out),
            None => self.end(at, self.text(SILENT_FAREWELL), EndReason::CallerSilent, out),
        }
    }

    /// Ends the call for a reason that the workflow does not know.
    fn end_outside(&mut self, at: CallTime, reason: EndReason, out: &mut Vec<FlowOutput>) {
        // What the caller goes on to say does not take this back.
        self.before = None;
        if self.state.ending.is_some() {
            return;
        }
        self.state.pending = None;
        self.state.key_deadline = None;
        out.push(FlowOutput::Hush);
        let farewell = match reason {
            EndReason::MaximumDuration => TIME_UP_FAREWELL,
            _ => FAILED_FAREWELL,
        };
        self.end(at, self.text(farewell), reason, out);
    }

    pub(crate) fn end(
        &mut self,
        at: CallTime,
        text: String,
        reason: EndReason,
        out: &mut Vec<FlowOutput>,
    ) {
        if text.is_empty() {
            return self.hang_up(reason, out);
        }
        self.state.ending = Some(Ending {
            line: self.next_line,
            reason,
            deadline: at + FAREWELL_PATIENCE,
        });
        self.say(text, false, out);
        out.push(FlowOutput::Listen {
            expecting: Expecting::Nothing,
            digits: None,
        });
    }

    fn line_done(
        &mut self,
        line: u32,
        heard: String,
        interrupted: bool,
        out: &mut Vec<FlowOutput>,
    ) {
        self.state.cut |= interrupted;
        if !heard.is_empty() {
            self.remember(PromptRole::Assistant, heard);
        }
        if let Some(ending) = self.state.ending.filter(|ending| ending.line == line) {
            self.hang_up(ending.reason, out);
        }
    }

    pub(crate) fn remember(&mut self, role: PromptRole, text: String) {
        let history = &mut self.state.history;
        if history.len() == MOST_HISTORY {
            history.remove(0);
        }
        history.push(PromptMessage { role, text });
    }

    fn clock(&mut self, at: CallTime, out: &mut Vec<FlowOutput>) {
        if self
            .state
            .key_deadline
            .is_some_and(|deadline| deadline <= at)
        {
            self.finish_keys(at, out);
        }
        if let Some(ending) = self.state.ending.filter(|ending| ending.deadline <= at) {
            self.hang_up(ending.reason, out);
        }
    }

    fn hang_up(&mut self, reason: EndReason, out: &mut Vec<FlowOutput>) {
        if !self.over {
            self.over = true;
            out.push(FlowOutput::Hangup { reason });
        }
    }

    /// Undoes what the caller's last words did.
    fn take_back(&mut self, before: State, out: &mut Vec<FlowOutput>) {
        out.push(FlowOutput::Hush);
        let after = std::mem::replace(&mut self.state, before);
        if after.node != self.state.node {
            out.push(FlowOutput::Entered {
                node: self.node().to_owned(),
            });
        }
        for (variable, value) in &self.state.variables {
            if after.variables.get(variable) != Some(value) {
                out.push(FlowOutput::Set {
                    variable: variable.clone(),
                    value: value.clone(),
                    source: Provenance::TakenBack,
                });
            }
        }
    }
}
