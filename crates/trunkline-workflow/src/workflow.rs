//! A workflow that has passed every check, in the form that the interpreter walks.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::definition::{
    Agent, BACK, Edge, Event, Intent, Node, Settings, Slot, Table, Variable, VariableKind, When,
};
use crate::flow::Prompt;
use crate::language::Language;
use crate::matcher::Candidate;
use crate::problem::Problem;
use crate::read::{Definition, read};
use crate::{check, prompts};

/// A checked workflow.
#[derive(Debug)]
pub struct Workflow {
    name: String,
    language: String,
    settings: Settings,
    pub(crate) prompt: String,
    pub(crate) texts: Language,
    pub(crate) tables: BTreeMap<String, Table>,
    pub(crate) slots: BTreeMap<String, Slot>,
    pub(crate) variables: BTreeMap<String, Variable>,
    pub(crate) nodes: Vec<Node>,
    /// The ways out of each node, in the order in which they are tried.
    pub(crate) ways: Vec<Vec<Way>>,
    pub(crate) start: usize,
}

/// A way out of a node.
#[derive(Debug)]
pub(crate) struct Way {
    priority: i32,
    pub(crate) to: Target,
    pub(crate) condition: Condition,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Node(usize),
    /// Where the caller was last listened to.
    Back,
}

#[derive(Debug)]
pub(crate) enum Condition {
    Always,
    Expression(String),
    Event(Event),
    Intent { intent: Intent, words: Candidate },
}

impl Workflow {
    /// Reads and checks a definition.
    ///
    /// # Errors
    /// Every [`Problem`] that was found.
    pub fn parse(json: &str) -> Result<Self, Vec<Problem>> {
        let definition = read(json)?;
        let mut problems = check::names(&definition);
        problems.extend(check::graph(&definition));
        let (texts, faults) = check::texts(&definition);
        problems.extend(faults);
        if problems.is_empty() {
            let workflow = Self::compile(definition, texts);
            check::speaks(&workflow)?;
            Ok(workflow)
        } else {
            Err(problems)
        }
    }

    fn compile(definition: Definition, texts: Language) -> Self {
        let position = |id: &str| definition.nodes.iter().position(|node| node.id() == id);
        let mut ways: Vec<Vec<Way>> = definition.nodes.iter().map(|_| Vec::new()).collect();
        for edge in &definition.edges {
            let to = match position(&edge.to) {
                Some(node) => Target::Node(node),
                None => Target::Back,
            };
            for from in edge.from.names().iter().filter_map(|id| position(id)) {
                ways[from].push(Way::new(edge, to));
            }
        }
        for out in &mut ways {
            out.sort_by_key(|way| way.priority);
        }
        let start = definition
            .nodes
            .iter()
            .position(|node| matches!(node, Node::Start(_)))
            .unwrap_or_default();
        Self {
            name: definition.name,
            language: definition.language,
            settings: definition.settings,
            prompt: definition.prompt,
            texts,
            tables: definition.tables,
            slots: definition.slots,
            variables: definition.variables,
            nodes: definition.nodes,
            ways,
            start,
        }
    }

    /// The name of the workflow.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// ISO 639-1 code of the language it speaks.
    pub fn language(&self) -> &str {
        &self.language
    }

    /// What holds for the whole call.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The beginnings of the prompts of its free answers, which are the same in every call: computed
    /// once ahead, they need not be computed while a caller waits.
    pub fn constant_prompts(&self) -> Vec<Prompt> {
        self.nodes
            .iter()
            .filter_map(|node| node.agent()?.answer.as_ref())
            .map(|answer| prompts::answer_beginning(&self.prompt, answer))
            .collect()
    }

    /// Every variable, slots among them, with its value before the call.
    pub(crate) fn initial_variables(&self) -> BTreeMap<String, Value> {
        let declared = self.variables.keys().map(|name| {
            let empty = || self.empty_value(name);
            let given = self
                .variables
                .get(name)
                .and_then(|known| known.value.clone());
            (name.clone(), given.unwrap_or_else(empty))
        });
        let slots = self
            .slots
            .keys()
            .map(|name| (name.clone(), self.empty_value(name)));
        declared.chain(slots).collect()
    }

    /// What a variable holds while it has no value: an empty text, or a row of empty texts.
    pub(crate) fn empty_value(&self, variable: &str) -> Value {
        let row = self
            .variables
            .get(variable)
            .filter(|known| known.kind == VariableKind::Row)
            .and_then(|known| self.tables.get(known.table.as_deref()?));
        match row {
            Some(table) => table
                .columns()
                .map(|column| (column.to_owned(), Value::from("")))
                .collect::<Map<_, _>>()
                .into(),
            None => Value::from(""),
        }
    }
}

impl Way {
    fn new(edge: &Edge, to: Target) -> Self {
        let (usual, condition) = match &edge.when {
            When::Always => (100, Condition::Always),
            When::Expression(source) => (0, Condition::Expression(source.clone())),
            When::Event(event) => (0, Condition::Event(*event)),
            When::Intent(intent) => (
                50,
                Condition::Intent {
                    words: Candidate::new(intent.examples.iter().map(String::as_str)),
                    intent: intent.clone(),
                },
            ),
        };
        Self {
            priority: edge.priority.unwrap_or(usual),
            to,
            condition,
        }
    }
}

impl Table {
    /// The columns; every row has them all.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.rows
            .iter()
            .take(1)
            .flatten()
            .map(|(name, _)| name.as_str())
    }

    /// The row with this key.
    pub(crate) fn row(&self, key: &Value) -> Option<&BTreeMap<String, Value>> {
        self.rows.iter().find(|row| row.get(&self.key) == Some(key))
    }
}

impl Node {
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Start(start) => &start.id,
            Self::Agent(agent) => &agent.id,
            Self::End(end) => &end.id,
        }
    }

    pub(crate) fn agent(&self) -> Option<&Agent> {
        match self {
            Self::Agent(agent) => Some(agent),
            Self::Start(_) | Self::End(_) => None,
        }
    }

    /// Whether the caller is listened to here.
    pub(crate) fn listens(&self) -> bool {
        self.agent().is_some_and(|agent| !agent.slots.is_empty())
    }

    /// The templates, with the fields where they stand.
    pub(crate) fn templates(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Start(start) => vec![("greeting", start.greeting.as_str())],
            Self::End(end) => vec![("farewell", end.farewell.as_str())],
            Self::Agent(agent) => [
                ("say", Some(agent.say.as_str())),
                ("reprompt.no_answer", agent.reprompt.no_answer.as_deref()),
                (
                    "reprompt.not_understood",
                    agent.reprompt.not_understood.as_deref(),
                ),
                (
                    "answer.failed",
                    agent.answer.as_ref().map(|answer| answer.failed.as_str()),
                ),
            ]
            .into_iter()
            .filter_map(|(field, source)| Some((field, source?)))
            .collect(),
        }
    }

    /// The name of a template of this node.
    pub(crate) fn template(&self, field: &str) -> String {
        format!("{}/{field}", self.id())
    }
}

/// Whether an edge leads back to where the caller was.
pub(crate) fn is_back(target: &str) -> bool {
    target == BACK
}
