//! The definition as it is written: the shapes of the JSON, nothing checked beyond them.
//!
//! Unknown fields are errors everywhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The schema that this crate reads.
pub const SCHEMA: &str = "trunkline.workflow/1";

/// An edge with this target returns to the node where the caller was last listened to.
pub const BACK: &str = "$back";

/// What holds for the whole call. Times in milliseconds; what is absent is the appliance's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How patient the agent is; what is set below goes before it.
    pub turn_taking: TurnTaking,
    /// Silence that ends the caller's turn.
    pub end_silence_ms: Option<u32>,
    /// The same while digits are dictated.
    pub digits_end_silence_ms: Option<u32>,
    /// Speech needed to interrupt the agent.
    pub barge_in_ms: Option<u32>,
    /// Silence of both sides before the caller is asked again.
    pub idle_ms: Option<u32>,
    /// The longest call.
    pub max_call_ms: Option<u32>,
    /// How often in a row a silent caller is asked again before the node's `no_answer` edge is
    /// taken, or the call ends.
    pub max_idle: u32,
    /// How often in a row a caller who is not understood is asked again before the node's
    /// `not_understood` edge is taken.
    pub max_not_understood: u32,
    /// A choice scored by the model counts from this probability on.
    pub min_probability: f32,
    /// Said before hanging up on a caller who stays silent.
    pub silent_farewell: String,
    /// Said before hanging up when the longest call is reached.
    pub time_up_farewell: String,
    /// Said before hanging up when the appliance itself has failed.
    pub failed_farewell: String,
    /// Said to a caller who says goodbye where the workflow expects something else; empty to take no
    /// notice of goodbyes.
    pub goodbye_farewell: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            turn_taking: TurnTaking::default(),
            end_silence_ms: None,
            digits_end_silence_ms: None,
            barge_in_ms: None,
            idle_ms: None,
            max_call_ms: None,
            max_idle: 2,
            max_not_understood: 2,
            min_probability: 0.5,
            silent_farewell: String::new(),
            time_up_farewell: String::new(),
            failed_farewell: String::new(),
            goodbye_farewell: String::new(),
        }
    }
}

/// How patient the agent is with a caller who pauses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnTaking {
    /// Answers fast; now and then cuts off a caller who thinks aloud.
    Brisk,
    /// For most callers.
    #[default]
    Balanced,
    /// For callers who speak slowly, or have much to say.
    Patient,
    /// For numbers and spellings that are read out in groups.
    Digits,
}

/// The whole file, its parts still unread so that each fault is reported with its place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    pub(crate) schema: String,
    pub(crate) name: String,
    #[serde(default = "english")]
    pub(crate) language: String,
    #[serde(default)]
    pub(crate) settings: Value,
    #[serde(default)]
    pub(crate) prompt: String,
    #[serde(default)]
    pub(crate) variables: Map<String, Value>,
    #[serde(default)]
    pub(crate) tables: Map<String, Value>,
    #[serde(default)]
    pub(crate) slots: Map<String, Value>,
    pub(crate) nodes: Vec<Value>,
    pub(crate) edges: Vec<Value>,
}

fn english() -> String {
    "en".to_owned()
}

fn yes() -> bool {
    true
}

/// A named value that templates and expressions may read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variable {
    #[serde(rename = "type")]
    pub(crate) kind: VariableKind,
    /// For a row: its table.
    pub(crate) table: Option<String>,
    /// The value at the start of the call.
    pub(crate) value: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VariableKind {
    Text,
    Number,
    YesNo,
    Row,
}

/// Facts to look up.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// The column whose value is unique.
    pub(crate) key: String,
    pub(crate) rows: Vec<BTreeMap<String, Value>>,
}

/// Something to learn from the caller. Its name is the variable that it fills.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Slot {
    Choice(Choice),
    Digits(Digits),
    YesNo(YesNo),
    Text(Text),
}

/// One of a closed list, written here, taken from a table, or both.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    #[serde(default)]
    pub(crate) options: Vec<ChoiceOption>,
    pub(crate) from: Option<FromTable>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChoiceOption {
    /// What the variable becomes.
    pub(crate) value: String,
    /// How it is spoken.
    pub(crate) say: String,
    /// Words and phrases of a caller who means it.
    #[serde(default)]
    pub(crate) examples: Vec<String>,
}

/// One option per row; the key is the value.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FromTable {
    pub(crate) table: String,
    /// The column with how it is spoken.
    pub(crate) say: String,
    /// The column with a list of examples.
    pub(crate) examples: Option<String>,
    /// Only the rows where a column equals a variable.
    #[serde(rename = "where")]
    pub(crate) filter: Option<RowFilter>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RowFilter {
    pub(crate) column: String,
    /// The name of a variable.
    pub(crate) equals: String,
}

/// A number, keyed or spoken digit by digit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Digits {
    /// Exactly so many; instead of `min` and `max`.
    pub(crate) length: Option<u32>,
    pub(crate) min: Option<u32>,
    pub(crate) max: Option<u32>,
    /// A key that ends the entry.
    pub(crate) terminator: Option<char>,
    #[serde(default = "yes")]
    pub(crate) keypad: bool,
    #[serde(default = "yes")]
    pub(crate) voice: bool,
    /// The longest wait for the next key.
    #[serde(default = "four_seconds")]
    pub(crate) timeout_ms: u32,
}

fn four_seconds() -> u32 {
    4_000
}

impl Digits {
    pub(crate) fn least(&self) -> u32 {
        self.length.or(self.min).unwrap_or(1)
    }

    pub(crate) fn most(&self) -> u32 {
        self.length.or(self.max).unwrap_or(32)
    }
}

/// Yes or no, with words beyond the usual ones.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct YesNo {
    #[serde(default)]
    pub(crate) yes: Vec<String>,
    #[serde(default)]
    pub(crate) no: Vec<String>,
}

/// Whatever is said.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Text {}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Node {
    Start(Start),
    Agent(Box<Agent>),
    End(End),
}

/// Where a call begins.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Start {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) greeting: String,
    #[serde(default)]
    pub(crate) interruptible: bool,
}

/// Where the agent says something, and perhaps listens or answers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Agent {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) say: String,
    #[serde(default)]
    pub(crate) reprompt: Reprompt,
    #[serde(default = "yes")]
    pub(crate) interruptible: bool,
    /// What the caller is asked for. Emptied on entry, once `say` has been rendered.
    #[serde(default)]
    pub(crate) slots: Vec<String>,
    /// What is taken along when the caller happens to say it.
    #[serde(default)]
    pub(crate) optional_slots: Vec<String>,
    /// Variables to empty on entry.
    #[serde(default)]
    pub(crate) clear: Vec<String>,
    /// Done when the slots are filled, or at once when there are none.
    #[serde(default)]
    pub(crate) lookup: Vec<Lookup>,
    pub(crate) answer: Option<Answer>,
}

/// What is said when the caller has to be asked again; the node's `say` where absent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Reprompt {
    pub(crate) no_answer: Option<String>,
    pub(crate) not_understood: Option<String>,
}

/// Finds a row. The variable is empty when there is none.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lookup {
    pub(crate) table: String,
    /// The variable that holds the key.
    pub(crate) key: String,
    /// The variable, a row of the table, that is set.
    pub(crate) into: String,
}

/// A free answer by the model to what the caller said last.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// What may be said, one short sentence each.
    #[serde(default)]
    pub(crate) facts: Vec<String>,
    #[serde(default)]
    pub(crate) examples: Vec<AnswerExample>,
    #[serde(default = "forty_eight")]
    pub(crate) max_tokens: u32,
    /// How many of the latest lines of both sides the model sees.
    #[serde(default)]
    pub(crate) history: u32,
    /// Said when the model gives nothing.
    pub(crate) failed: String,
}

fn forty_eight() -> u32 {
    48
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerExample {
    pub(crate) question: String,
    pub(crate) answer: String,
}

/// Where the agent says farewell and hangs up.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct End {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) farewell: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edge {
    pub(crate) from: OneOrMany,
    pub(crate) to: String,
    /// Lower is tried first. Expressions have 0, intents 50 and `always` 100.
    pub(crate) priority: Option<i32>,
    #[serde(default)]
    pub(crate) when: When,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(crate) fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}

/// What must hold for an edge to be taken.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum When {
    /// Nothing, once the slots are filled.
    #[default]
    Always,
    /// The expression is true. Also tried when only some of the slots were filled.
    Expression(String),
    Event(Event),
    Intent(Intent),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    /// The caller stayed silent too often.
    NoAnswer,
    /// The caller was not understood too often.
    NotUnderstood,
}

/// The caller says this instead of answering.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Intent {
    /// What the caller wants, in a few words.
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) examples: Vec<String>,
}
