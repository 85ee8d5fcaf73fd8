//! Templates and expressions can be read, name only what exists, and can be spoken.

use std::collections::BTreeSet;

use minijinja::Value;

use crate::check::names::{RESERVED, all_variables};
use crate::definition::{Node, Slot, VariableKind, When};
use crate::flow::CallContext;
use crate::language::Language;
use crate::problem::{Place, Problem, suggest};
use crate::read::Definition;
use crate::state::State;
use crate::workflow::Workflow;

/// The template said before hanging up on a silent caller.
pub(crate) const SILENT_FAREWELL: &str = "settings/silent_farewell";
/// The one when the call has lasted for as long as it may.
pub(crate) const TIME_UP_FAREWELL: &str = "settings/time_up_farewell";
/// The one when the appliance has failed.
pub(crate) const FAILED_FAREWELL: &str = "settings/failed_farewell";
/// The answer to a goodbye that nothing else answers.
pub(crate) const GOODBYE_FAREWELL: &str = "settings/goodbye_farewell";

/// Reads every text. What cannot be read is reported; the rest is ready to be spoken.
pub(crate) fn texts(definition: &Definition) -> (Language, Vec<Problem>) {
    let mut texts = Language::new();
    let mut problems = Vec::new();
    for node in &definition.nodes {
        let place = Place::node(node.id());
        for (field, source) in node.templates() {
            match texts.add(&node.template(field), source) {
                Ok(names) => check_names(definition, &place, field, &names, &mut problems),
                Err(error) => problems.push(unreadable(&place, field, &error)),
            }
        }
    }
    let settings = &definition.settings;
    for (template, source) in [
        (SILENT_FAREWELL, &settings.silent_farewell),
        (TIME_UP_FAREWELL, &settings.time_up_farewell),
        (FAILED_FAREWELL, &settings.failed_farewell),
        (GOODBYE_FAREWELL, &settings.goodbye_farewell),
    ] {
        let (place, field) = (Place::document(), template.replace('/', "."));
        match texts.add(template, source) {
            Ok(names) => check_names(definition, &place, &field, &names, &mut problems),
            Err(error) => problems.push(unreadable(&place, &field, &error)),
        }
    }
    for (number, edge) in (1..).zip(&definition.edges) {
        let When::Expression(source) = &edge.when else {
            continue;
        };
        let from = edge.from.names().first().map_or("", String::as_str);
        let place = Place::edge(number, from, &edge.to);
        match texts.names_of(source) {
            Ok(names) => check_names(definition, &place, "when.expression", &names, &mut problems),
            Err(error) => problems.push(unreadable(&place, "when.expression", &error)),
        }
    }
    (texts, problems)
}

fn unreadable(place: &Place, field: &str, error: &minijinja::Error) -> Problem {
    let detail = error.detail().map_or_else(
        || error.kind().to_string(),
        |detail| format!("{}: {detail}", error.kind()),
    );
    place.problem(field, detail, "mend it; the language is that of Jinja")
}

fn check_names(
    definition: &Definition,
    place: &Place,
    field: &str,
    names: &BTreeSet<String>,
    problems: &mut Vec<Problem>,
) {
    for name in names {
        let (root, rest) = name.split_once('.').unwrap_or((name, ""));
        let part = rest.split('.').next().unwrap_or_default();
        if !RESERVED.contains(&root) && !all_variables(definition).any(|known| known == root) {
            problems.push(place.problem(
                field,
                format!("there is no variable {root:?}"),
                suggest(root, all_variables(definition).chain(RESERVED)),
            ));
            continue;
        }
        let Some(parts) = parts_of(definition, root).filter(|_| !part.is_empty()) else {
            continue;
        };
        if !parts.contains(&part) {
            problems.push(place.problem(
                field,
                format!("{root:?} has no part {part:?}"),
                suggest(part, parts),
            ));
        }
    }
}

/// The names after the dot; `None` when the check cannot tell.
fn parts_of<'a>(definition: &'a Definition, root: &str) -> Option<Vec<&'a str>> {
    let slots = |wanted: fn(&Slot) -> bool| {
        definition
            .slots
            .iter()
            .filter(|(_, slot)| wanted(slot))
            .map(|(name, _)| name.as_str())
            .collect()
    };
    match root {
        "call" => Some(vec!["from", "to", "today"]),
        "spoken" => Some(slots(|_| true)),
        "options" => Some(slots(|slot| matches!(slot, Slot::Choice(_)))),
        _ => {
            let variable = definition.variables.get(root)?;
            match variable.kind {
                VariableKind::Row => {
                    let table = definition.tables.get(variable.table.as_deref()?)?;
                    Some(table.columns().collect())
                }
                VariableKind::Text | VariableKind::Number | VariableKind::YesNo => Some(Vec::new()),
            }
        }
    }
}

/// Speaks every text once with empty variables: unknown filters and wrong calls come out so.
pub(crate) fn speaks(workflow: &Workflow) -> Result<(), Vec<Problem>> {
    let names = State::new(workflow).names(workflow, &CallContext::default());
    let problems: Vec<Problem> = workflow
        .nodes
        .iter()
        .flat_map(|node| speak_node(workflow, node, &names))
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

fn speak_node(workflow: &Workflow, node: &Node, names: &Value) -> Vec<Problem> {
    node.templates()
        .into_iter()
        .filter_map(|(field, _)| {
            let error = workflow.texts.render(&node.template(field), names).err()?;
            Some(unreadable(&Place::node(node.id()), field, &error))
        })
        .collect()
}
