//! What is known at a moment of a call.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trunkline_types::{CallTime, EndReason};

use crate::definition::{Choice, Slot};
use crate::flow::{CallContext, PromptMessage};
use crate::workflow::Workflow;

/// The state of one call, without the counters that never go back.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) node: usize,
    /// The node where the caller was last listened to, before the current one.
    pub(crate) came_from: Option<usize>,
    pub(crate) variables: BTreeMap<String, Value>,
    /// Per slot, how its value is spoken.
    pub(crate) spoken: BTreeMap<String, String>,
    /// The slots that the caller filled last.
    pub(crate) filled: Vec<String>,
    /// What the caller said last.
    pub(crate) said: String,
    pub(crate) keyed: String,
    pub(crate) key_deadline: Option<CallTime>,
    /// How often in a row the caller was not understood at this node.
    pub(crate) misunderstood: u32,
    pub(crate) pending: Option<Pending>,
    pub(crate) ending: Option<Ending>,
    /// What both sides really heard of each other.
    pub(crate) history: Vec<PromptMessage>,
    /// The latest line was cut short.
    pub(crate) cut: bool,
}

/// A question to the model on its way.
#[derive(Debug, Clone)]
pub(crate) enum Pending {
    Choose {
        request: u32,
        candidates: Vec<Meaning>,
    },
    Generate {
        request: u32,
    },
}

/// What the choice of an option does.
#[derive(Debug, Clone)]
pub(crate) enum Meaning {
    Fill {
        slot: String,
        value: Value,
        spoken: String,
    },
    /// Goes the way with this number out of the current node.
    Go(usize),
}

/// The farewell is being said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    pub(crate) line: u32,
    pub(crate) reason: EndReason,
    /// Hang up now even if the line was never reported done.
    pub(crate) deadline: CallTime,
}

/// An option that may be chosen now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SlotOption {
    pub(crate) value: String,
    pub(crate) say: String,
    pub(crate) examples: Vec<String>,
}

impl State {
    /// Before the call.
    pub(crate) fn new(workflow: &Workflow) -> Self {
        Self {
            node: workflow.start,
            came_from: None,
            variables: workflow.initial_variables(),
            spoken: workflow
                .slots
                .keys()
                .map(|slot| (slot.clone(), String::new()))
                .collect(),
            filled: Vec::new(),
            said: String::new(),
            keyed: String::new(),
            key_deadline: None,
            misunderstood: 0,
            pending: None,
            ending: None,
            history: Vec::new(),
            cut: false,
        }
    }

    /// All names that templates and expressions may use.
    pub(crate) fn names(&self, workflow: &Workflow, call: &CallContext) -> minijinja::Value {
        let mut names: BTreeMap<&str, Value> = self
            .variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        let options: BTreeMap<&str, Vec<String>> = workflow
            .slots
            .iter()
            .filter_map(|(name, slot)| match slot {
                Slot::Choice(choice) => {
                    let options = self.options(workflow, choice);
                    Some((
                        name.as_str(),
                        options.into_iter().map(|option| option.say).collect(),
                    ))
                }
                Slot::Digits(_) | Slot::YesNo(_) | Slot::Text(_) => None,
            })
            .collect();
        let came_from = self
            .came_from
            .and_then(|node| workflow.nodes.get(node))
            .map_or("", |node| node.id());
        names.insert("call", json!(call));
        names.insert("spoken", json!(self.spoken));
        names.insert("options", json!(options));
        names.insert("filled", json!(self.filled));
        names.insert("came_from", json!(came_from));
        names.insert("said", json!(self.said));
        minijinja::value::Serde(names).into()
    }

    /// The options of a choice as things stand: first the rows of its table, then those written.
    pub(crate) fn options(&self, workflow: &Workflow, choice: &Choice) -> Vec<SlotOption> {
        let mut options = self.row_options(workflow, choice).unwrap_or_default();
        options.extend(choice.options.iter().map(|option| SlotOption {
            value: option.value.clone(),
            say: option.say.clone(),
            examples: option.examples.clone(),
        }));
        options
    }

    fn row_options(&self, workflow: &Workflow, choice: &Choice) -> Option<Vec<SlotOption>> {
        let from = choice.from.as_ref()?;
        let table = workflow.tables.get(&from.table)?;
        let wanted = |row: &BTreeMap<String, Value>| match &from.filter {
            Some(filter) => row.get(&filter.column) == self.variables.get(&filter.equals),
            None => true,
        };
        let options = table.rows.iter().filter(|row| wanted(row)).map(|row| {
            let text = |column: &str| texts(row.get(column)).concat();
            SlotOption {
                value: text(&table.key),
                say: text(&from.say),
                examples: from
                    .examples
                    .as_ref()
                    .map(|column| texts(row.get(column)))
                    .unwrap_or_default(),
            }
        });
        Some(options.collect())
    }

    /// Whether a variable has a value.
    pub(crate) fn has(&self, variable: &str) -> bool {
        self.variables
            .get(variable)
            .is_some_and(|value| value != "")
    }
}

/// A cell with one text or several.
fn texts(cell: Option<&Value>) -> Vec<String> {
    match cell {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => items.iter().flat_map(|item| texts(Some(item))).collect(),
        Some(other) => vec![other.to_string()],
    }
}
