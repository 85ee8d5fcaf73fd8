//! Every name refers to something, and what it refers to is sound.

use std::collections::BTreeSet;

use crate::definition::{
    Agent, Choice, Digits, FromTable, Lookup, Node, Slot, Table, VariableKind,
};
use crate::problem::{Place, Problem, suggest};
use crate::read::Definition;

/// Names that templates find beside the variables.
pub(crate) const RESERVED: [&str; 6] = ["call", "spoken", "options", "filled", "came_from", "said"];

pub(crate) fn names(definition: &Definition) -> Vec<Problem> {
    let mut problems = settings(definition);
    for (name, table) in &definition.tables {
        check_table(&Place::named("table", name), table, &mut problems);
    }
    variables(definition, &mut problems);
    for (name, slot) in &definition.slots {
        let place = Place::named("slot", name);
        match slot {
            Slot::Choice(choice) => check_choice(definition, &place, choice, &mut problems),
            Slot::Digits(digits) => check_digits(&place, digits, &mut problems),
            Slot::YesNo(_) | Slot::Text(_) => {}
        }
    }
    for agent in definition.nodes.iter().filter_map(Node::agent) {
        check_agent(definition, agent, &mut problems);
    }
    problems
}

fn settings(definition: &Definition) -> Vec<Problem> {
    let probability = definition.settings.min_probability;
    if (0.0..=1.0).contains(&probability) {
        return Vec::new();
    }
    vec![Place::document().problem(
        "settings.min_probability",
        format!("{probability} is no probability"),
        "write a number from 0 to 1",
    )]
}

/// The names of all variables, those of slots among them.
pub(crate) fn all_variables(definition: &Definition) -> impl Iterator<Item = &str> {
    definition
        .variables
        .keys()
        .chain(definition.slots.keys())
        .map(String::as_str)
}

fn known_table<'a>(
    definition: &'a Definition,
    place: &Place,
    field: &str,
    name: &str,
    problems: &mut Vec<Problem>,
) -> Option<&'a Table> {
    let table = definition.tables.get(name);
    if table.is_none() {
        problems.push(place.problem(
            field,
            format!("there is no table {name:?}"),
            suggest(name, definition.tables.keys().map(String::as_str)),
        ));
    }
    table
}

fn known_column(
    table: &Table,
    place: &Place,
    field: &str,
    column: &str,
    problems: &mut Vec<Problem>,
) {
    if !table.columns().any(|known| known == column) {
        problems.push(place.problem(
            field,
            format!("the table has no column {column:?}"),
            suggest(column, table.columns()),
        ));
    }
}

fn known_variable(
    definition: &Definition,
    place: &Place,
    field: &str,
    name: &str,
    problems: &mut Vec<Problem>,
) {
    if !all_variables(definition).any(|known| known == name) {
        problems.push(place.problem(
            field,
            format!("there is no variable {name:?}"),
            suggest(name, all_variables(definition)),
        ));
    }
}

fn check_table(place: &Place, table: &Table, problems: &mut Vec<Problem>) {
    let Some(first) = table.rows.first() else {
        problems.push(place.problem("rows", "the table is empty", "add a row"));
        return;
    };
    let mut keys = BTreeSet::new();
    for (number, row) in (1..).zip(&table.rows) {
        let field = format!("rows[{}]", number - 1);
        if !row.keys().eq(first.keys()) {
            let columns: Vec<&str> = first.keys().map(String::as_str).collect();
            problems.push(place.problem(
                &field,
                "the row has other columns than the first one",
                format!("give it exactly: {}", columns.join(", ")),
            ));
        }
        match row.get(&table.key).and_then(|key| key.as_str()) {
            None => problems.push(place.problem(
                &field,
                format!("the key column {:?} is missing or not a text", table.key),
                suggest(&table.key, row.keys().map(String::as_str)),
            )),
            Some(key) if !keys.insert(key) => problems.push(place.problem(
                &field,
                format!("the key {key:?} occurs twice"),
                "make it unique",
            )),
            Some(_) => {}
        }
    }
}

fn variables(definition: &Definition, problems: &mut Vec<Problem>) {
    for name in all_variables(definition) {
        let place = Place::named("variable", name);
        let first = |c: char| c.is_ascii_lowercase() || c == '_';
        let rest = |c: char| first(c) || c.is_ascii_digit();
        if !name.starts_with(first) || !name.chars().all(rest) {
            problems.push(place.problem(
                "",
                "a template could not name it",
                "use lower-case letters, digits and _",
            ));
        }
        if RESERVED.contains(&name) {
            problems.push(place.problem("", "the name has a meaning of its own", "use another"));
        }
        if definition.variables.contains_key(name) && definition.slots.contains_key(name) {
            problems.push(place.problem(
                "",
                "a slot has the same name",
                "remove the variable: the slot is one itself",
            ));
        }
    }
    for (name, variable) in &definition.variables {
        let place = Place::named("variable", name);
        match (&variable.table, variable.kind) {
            (Some(table), VariableKind::Row) => {
                known_table(definition, &place, "table", table, problems);
            }
            (None, VariableKind::Row) => {
                problems.push(place.problem("table", "a row belongs to a table", "name the table"))
            }
            (Some(_), _) => problems.push(place.problem(
                "table",
                "only a row has a table",
                "remove it, or make the type \"row\"",
            )),
            (None, _) => {}
        }
    }
}

fn check_choice(
    definition: &Definition,
    place: &Place,
    choice: &Choice,
    problems: &mut Vec<Problem>,
) {
    if choice.options.is_empty() && choice.from.is_none() {
        problems.push(place.problem(
            "options",
            "there is nothing to choose from",
            "write options, or take them from a table with \"from\"",
        ));
    }
    let mut values = BTreeSet::new();
    for option in &choice.options {
        if !values.insert(&option.value) {
            problems.push(place.problem(
                "options",
                format!("the value {:?} occurs twice", option.value),
                "give all its examples to one option",
            ));
        }
    }
    if let Some(from) = &choice.from {
        check_from(definition, place, from, problems);
    }
}

fn check_from(
    definition: &Definition,
    place: &Place,
    from: &FromTable,
    problems: &mut Vec<Problem>,
) {
    let Some(table) = known_table(definition, place, "from.table", &from.table, problems) else {
        return;
    };
    known_column(table, place, "from.say", &from.say, problems);
    if let Some(column) = &from.examples {
        known_column(table, place, "from.examples", column, problems);
    }
    if let Some(filter) = &from.filter {
        known_column(table, place, "from.where.column", &filter.column, problems);
        known_variable(
            definition,
            place,
            "from.where.equals",
            &filter.equals,
            problems,
        );
    }
}

fn check_digits(place: &Place, digits: &Digits, problems: &mut Vec<Problem>) {
    if digits.length.is_some() && (digits.min.is_some() || digits.max.is_some()) {
        problems.push(place.problem(
            "length",
            "length excludes min and max",
            "keep one of the two ways",
        ));
    }
    if digits.least() < 1 || digits.most() > 64 || digits.least() > digits.most() {
        problems.push(place.problem(
            "length",
            format!("{} to {} digits cannot be", digits.least(), digits.most()),
            "use 1 to 64, min not above max",
        ));
    }
    if digits.terminator.is_some_and(|key| !"*#".contains(key)) {
        problems.push(place.problem("terminator", "this key cannot end an entry", "use # or *"));
    }
    if !digits.keypad && !digits.voice {
        problems.push(place.problem(
            "keypad",
            "the number can neither be keyed nor spoken",
            "allow keypad or voice",
        ));
    }
}

fn check_agent(definition: &Definition, agent: &Agent, problems: &mut Vec<Problem>) {
    let place = Place::node(&agent.id);
    for (field, slots) in [
        ("slots", &agent.slots),
        ("optional_slots", &agent.optional_slots),
    ] {
        for slot in slots
            .iter()
            .filter(|slot| !definition.slots.contains_key(*slot))
        {
            problems.push(place.problem(
                field,
                format!("there is no slot {slot:?}"),
                suggest(slot, definition.slots.keys().map(String::as_str)),
            ));
        }
    }
    if agent.slots.is_empty() && !agent.optional_slots.is_empty() {
        problems.push(place.problem(
            "optional_slots",
            "the caller is not listened to without slots to fill",
            "move one to \"slots\"",
        ));
    }
    for variable in &agent.clear {
        known_variable(definition, &place, "clear", variable, problems);
    }
    for lookup in &agent.lookup {
        check_lookup(definition, &place, lookup, problems);
    }
    if agent.answer.is_some() && !agent.slots.is_empty() {
        problems.push(place.problem(
            "answer",
            "a node either asks or answers",
            "put the answer into a node of its own",
        ));
    }
    if agent
        .answer
        .as_ref()
        .is_some_and(|answer| answer.max_tokens == 0)
    {
        problems.push(place.problem(
            "answer.max_tokens",
            "nothing can be said in 0 tokens",
            "use 48",
        ));
    }
    if !agent.slots.is_empty() && agent.say.trim().is_empty() {
        problems.push(place.problem(
            "say",
            "the caller is asked without a word",
            "write a question",
        ));
    }
}

fn check_lookup(
    definition: &Definition,
    place: &Place,
    lookup: &Lookup,
    problems: &mut Vec<Problem>,
) {
    known_table(definition, place, "lookup.table", &lookup.table, problems);
    known_variable(definition, place, "lookup.key", &lookup.key, problems);
    let is_row = |name: &String| {
        definition.variables.get(name).is_some_and(|variable| {
            variable.kind == VariableKind::Row && variable.table.as_ref() == Some(&lookup.table)
        })
    };
    if !is_row(&lookup.into) {
        problems.push(
            place.problem(
                "lookup.into",
                format!(
                    "{:?} is not a row of the table {:?}",
                    lookup.into, lookup.table
                ),
                suggest(
                    &lookup.into,
                    definition
                        .variables
                        .keys()
                        .filter(|name| is_row(name))
                        .map(String::as_str),
                ),
            ),
        );
    }
}
