//! From JSON to the shapes of the definition, with every misshapen part named.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::definition::{Document, Edge, Node, SCHEMA, Settings, Slot, Table, Variable};
use crate::problem::{Place, Problem, suggest};

/// The document with every part read.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) language: String,
    pub(crate) settings: Settings,
    pub(crate) prompt: String,
    pub(crate) variables: BTreeMap<String, Variable>,
    pub(crate) tables: BTreeMap<String, Table>,
    pub(crate) slots: BTreeMap<String, Slot>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) edges: Vec<Edge>,
}

/// Reads a whole document. All faults of shape at once.
pub(crate) fn read(json: &str) -> Result<Definition, Vec<Problem>> {
    let document = serde_json::from_str::<Value>(json)
        .map_err(|error| {
            vec![Place::document().problem(
                "",
                format!("this is not JSON: {error}"),
                "mend the syntax there",
            )]
        })
        .and_then(|value| {
            serde_json::from_value::<Document>(value)
                .map_err(|error| vec![misshapen(&Place::document(), "", &error)])
        })?;
    let mut problems = Vec::new();
    if document.schema != SCHEMA {
        problems.push(Place::document().problem(
            "schema",
            format!("{:?} is not a schema that is known here", document.schema),
            format!("write {SCHEMA:?}"),
        ));
    }
    let settings = match document.settings {
        Value::Null => Settings::default(),
        given => part(given, &Place::document(), "settings", &mut problems).unwrap_or_default(),
    };
    let definition = Definition {
        name: document.name,
        language: document.language,
        settings,
        prompt: document.prompt,
        variables: named("variable", document.variables, &mut problems),
        tables: named("table", document.tables, &mut problems),
        slots: named("slot", document.slots, &mut problems),
        nodes: nodes(document.nodes, &mut problems),
        edges: edges(document.edges, &mut problems),
    };
    if problems.is_empty() {
        Ok(definition)
    } else {
        Err(problems)
    }
}

fn part<T: DeserializeOwned>(
    value: Value,
    place: &Place,
    field: &str,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    serde_json::from_value(value)
        .map_err(|error| problems.push(misshapen(place, field, &error)))
        .ok()
}

fn named<T: DeserializeOwned>(
    kind: &str,
    parts: serde_json::Map<String, Value>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, T> {
    parts
        .into_iter()
        .filter_map(|(name, value)| {
            let read = part(value, &Place::named(kind, &name), "", problems)?;
            Some((name, read))
        })
        .collect()
}

fn nodes(values: Vec<Value>, problems: &mut Vec<Problem>) -> Vec<Node> {
    let place = |number: usize, value: &Value| match value.get("id").and_then(Value::as_str) {
        Some(id) => Place::node(id),
        None => Place {
            text: format!("node number {number}"),
            node: None,
        },
    };
    (1..)
        .zip(values)
        .filter_map(|(number, value)| part(value.clone(), &place(number, &value), "", problems))
        .collect()
}

fn edges(values: Vec<Value>, problems: &mut Vec<Problem>) -> Vec<Edge> {
    let end = |value: &Value, name: &str| match value.get(name) {
        Some(Value::String(id)) => id.clone(),
        Some(Value::Array(ids)) => ids
            .first()
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        _ => String::new(),
    };
    (1..)
        .zip(values)
        .filter_map(|(number, value)| {
            let place = Place::edge(number, &end(&value, "from"), &end(&value, "to"));
            part(value, &place, "", problems)
        })
        .collect()
}

/// Turns the reader's words into a problem; of a name it does not know, the nearest is suggested.
fn misshapen(place: &Place, field: &str, error: &serde_json::Error) -> Problem {
    let message = error.to_string();
    let mut quoted = message.split('`').skip(1).step_by(2);
    let first = quoted.next().unwrap_or_default().to_owned();
    let known: Vec<&str> = quoted.collect();
    if message.starts_with("unknown field") {
        let path = if field.is_empty() {
            first.clone()
        } else {
            format!("{field}.{first}")
        };
        return place.problem(path, "there is no such field", suggest(&first, known));
    }
    if message.starts_with("unknown variant") {
        return place.problem(
            field,
            format!("{first:?} is not known here"),
            suggest(&first, known),
        );
    }
    if message.starts_with("missing field") {
        return place.problem(first, "this field is missing", "add it");
    }
    place.problem(field, message, "write the kind of value that is expected")
}
