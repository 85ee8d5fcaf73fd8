//! Each fault of a definition is found, named by its node, and mended by what the message says.

use serde_json::{Value, json};

use crate::{Problem, Workflow};

/// A small workflow that is right, with a hook to make it wrong.
fn problems(spoil: impl FnOnce(&mut Value)) -> Vec<Problem> {
    let mut document = json!({
        "schema": "trunkline.workflow/1",
        "name": "small",
        "variables": { "person": { "type": "row", "table": "people" } },
        "tables": { "people": { "key": "id", "rows": [{ "id": "1", "name": "Ann" }] } },
        "slots": {
            "wish": { "kind": "choice", "options": [{ "value": "a", "say": "apples" }] },
            "number": { "kind": "digits", "length": 4 }
        },
        "nodes": [
            { "id": "start", "type": "start", "greeting": "Hello." },
            { "id": "ask", "type": "agent", "say": "What, {{ person.name }}?", "slots": ["wish"] },
            { "id": "end", "type": "end", "farewell": "Bye." }
        ],
        "edges": [
            { "from": "start", "to": "ask" },
            { "from": "ask", "to": "end", "when": { "expression": "wish == 'a'" } },
            { "from": "ask", "to": "end" }
        ]
    });
    spoil(&mut document);
    match Workflow::parse(&document.to_string()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems,
    }
}

/// The one problem, as a sentence.
#[track_caller]
fn problem(spoil: impl FnOnce(&mut Value)) -> String {
    let problems = problems(spoil);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems[0].to_string()
}

#[test]
fn the_small_workflow_is_right() {
    assert_eq!(problems(|_| ()), []);
}

#[test]
fn an_edge_to_nowhere_names_its_node_and_the_nearest() {
    assert_eq!(
        problem(|w| w["edges"][0]["to"] = json!("aks")),
        r#"edge 1 (start -> aks), field "to": there is no node "aks"; did you mean "ask"?"#
    );
    let found = problems(|w| w["edges"][0]["to"] = json!("aks"));
    assert_eq!(found[0].node.as_deref(), Some("start"));
}

#[test]
fn an_edge_from_nowhere_is_found() {
    assert_eq!(
        problem(|w| w["edges"][2]["from"] = json!(["ask", "x"])),
        r#"edge 3 (x -> end), field "from": there is no node "x"; use one of: ask, end, start"#
    );
}

#[test]
fn a_node_that_cannot_be_reached_is_found() {
    let lone = json!({ "id": "lone", "type": "end" });
    assert_eq!(
        problem(|w| w["nodes"].as_array_mut().unwrap().push(lone)),
        r#"node "lone": no way leads here from the start; add an edge to it, or remove it"#
    );
}

#[test]
fn a_dead_end_is_found() {
    let found = problems(|w| {
        w["edges"].as_array_mut().unwrap().truncate(1);
    });
    let dead = r#"node "ask": no edge leads out of it; add an edge to the node that follows"#;
    assert!(found.iter().any(|p| p.to_string() == dead), "{found:#?}");
}

#[test]
fn a_node_that_may_be_stuck_is_found() {
    assert_eq!(
        problem(|w| w["edges"][0]["when"] = json!({ "expression": "call.from" })),
        "node \"start\": the call is stuck here when none of the expressions is true; \
         add an edge without a condition"
    );
}

#[test]
fn a_circle_without_the_caller_is_found() {
    let found = problems(|w| {
        let nodes = w["nodes"].as_array_mut().unwrap();
        nodes.push(json!({ "id": "x", "type": "agent", "say": "x" }));
        let edges = w["edges"].as_array_mut().unwrap();
        edges.push(json!({ "from": "ask", "to": "x", "when": { "expression": "not wish" } }));
        edges.push(json!({ "from": "x", "to": "end", "when": { "expression": "wish" } }));
        edges.push(json!({ "from": "x", "to": "x" }));
    });
    assert_eq!(found[0].node.as_deref(), Some("x"), "{found:#?}");
    assert!(found[0].why.contains("without listening"));
}

#[test]
fn no_start_and_two_starts_are_found() {
    let none = problems(|w| w["nodes"][0]["type"] = json!("end"));
    assert!(none[0].why.contains("shape") || none[0].why.contains("no such field"));
    let none = problems(|w| {
        w["nodes"].as_array_mut().unwrap().remove(0);
        w["edges"].as_array_mut().unwrap().remove(0);
    });
    assert_eq!(none[0].why, "no node is the start");
    let two = problems(|w| {
        let nodes = w["nodes"].as_array_mut().unwrap();
        nodes.push(json!({ "id": "again", "type": "start" }));
    });
    assert_eq!(two[0].node.as_deref(), Some("again"));
}

#[test]
fn the_same_id_twice_is_found() {
    let found = problems(|w| {
        let copy = w["nodes"][2].clone();
        w["nodes"].as_array_mut().unwrap().push(copy);
    });
    assert_eq!(
        found[0].to_string(),
        r#"node "end", field "id": another node has the same id; rename one"#
    );
}

#[test]
fn unknown_variables_are_found_in_templates_and_expressions() {
    assert_eq!(
        problem(|w| w["nodes"][1]["say"] = json!("Hello {{ persom.name }}")),
        r#"node "ask", field "say": there is no variable "persom"; did you mean "person"?"#
    );
    assert_eq!(
        problem(|w| w["edges"][1]["when"]["expression"] = json!("whish == 'a'")),
        "edge 2 (ask -> end), field \"when.expression\": there is no variable \"whish\"; \
         did you mean \"wish\"?"
    );
}

#[test]
fn unknown_columns_are_found_in_templates() {
    assert_eq!(
        problem(|w| w["nodes"][1]["say"] = json!("Hello {{ person.nam }}")),
        r#"node "ask", field "say": "person" has no part "nam"; did you mean "name"?"#
    );
}

#[test]
fn templates_that_cannot_be_read_or_spoken_are_found() {
    let found = problem(|w| w["nodes"][1]["say"] = json!("Hello {{ person.name"));
    assert!(
        found.starts_with(r#"node "ask", field "say": syntax error"#),
        "{found}"
    );
    let found = problem(|w| w["nodes"][2]["farewell"] = json!("{{ wish | shouted }}"));
    assert!(
        found.starts_with(r#"node "end", field "farewell": unknown filter"#),
        "{found}"
    );
    let found = problem(|w| w["edges"][1]["when"]["expression"] = json!("wish =="));
    assert!(found.starts_with("edge 2 (ask -> end)"), "{found}");
}

#[test]
fn unknown_tables_and_columns_of_lookups_are_found() {
    let lookup = |table: &str, key: &str, into: &str| {
        let lookup = json!([{ "table": table, "key": key, "into": into }]);
        problems(move |w| w["nodes"][1]["lookup"] = lookup)
    };
    assert_eq!(lookup("people", "wish", "person"), []);
    assert!(
        lookup("peoples", "wish", "person")[0]
            .mend
            .contains("people")
    );
    assert!(
        lookup("people", "wishes", "person")[0]
            .why
            .contains("no variable")
    );
    assert!(
        lookup("people", "wish", "wish")[0]
            .why
            .contains("not a row")
    );
}

#[test]
fn unknown_columns_of_options_are_found() {
    let from = json!({ "kind": "choice", "from": { "table": "people", "say": "nme" } });
    assert_eq!(
        problem(|w| w["slots"]["wish"] = from),
        r#"slot "wish", field "from.say": the table has no column "nme"; did you mean "name"?"#
    );
}

#[test]
fn digits_that_cannot_be_keyed_are_found() {
    for (spoilt, field) in [
        (json!({ "kind": "digits", "length": 0 }), "length"),
        (json!({ "kind": "digits", "length": 4, "min": 2 }), "length"),
        (json!({ "kind": "digits", "min": 5, "max": 4 }), "length"),
        (json!({ "kind": "digits", "terminator": "5" }), "terminator"),
        (
            json!({ "kind": "digits", "keypad": false, "voice": false }),
            "keypad",
        ),
    ] {
        let found = problems(|w| w["slots"]["number"] = spoilt);
        assert_eq!(found[0].place, r#"slot "number""#, "{found:#?}");
        assert_eq!(found[0].field, field);
    }
}

#[test]
fn a_choice_of_nothing_is_found() {
    let found = problem(|w| w["slots"]["wish"]["options"] = json!([]));
    assert!(
        found.starts_with(r#"slot "wish", field "options": there is nothing"#),
        "{found}"
    );
}

#[test]
fn unknown_slots_are_found() {
    assert_eq!(
        problem(|w| w["nodes"][1]["slots"] = json!(["wihs"])),
        r#"node "ask", field "slots": there is no slot "wihs"; did you mean "wish"?"#
    );
}

#[test]
fn misspelt_fields_and_types_are_named_with_the_nearest() {
    assert_eq!(
        problem(|w| w["nodes"][0]["greting"] = json!("Hi")),
        r#"node "start", field "greting": there is no such field; did you mean "greeting"?"#
    );
    assert_eq!(
        problem(|w| w["nodes"][1]["type"] = json!("agnet")),
        r#"node "ask": "agnet" is not known here; did you mean "agent"?"#
    );
    assert_eq!(
        problem(|w| w["settings"] = json!({ "idel_ms": 3 })),
        r#"field "settings.idel_ms": there is no such field; did you mean "idle_ms"?"#
    );
    assert_eq!(
        problem(|w| w["edges"][0]["whan"] = json!("always")),
        r#"edge 1 (start -> ask), field "whan": there is no such field; did you mean "when"?"#
    );
}

#[test]
fn events_and_intents_need_a_listening_node() {
    let found = problem(|w| {
        let edge = json!({ "from": "start", "to": "end", "when": { "event": "no_answer" } });
        w["edges"].as_array_mut().unwrap().push(edge);
    });
    assert!(found.starts_with("edge 4 (start -> end)"), "{found}");
}

#[test]
fn several_faults_are_reported_at_once() {
    let found = problems(|w| {
        w["edges"][0]["to"] = json!("aks");
        w["nodes"][1]["say"] = json!("{{ nobody }}");
        w["slots"]["number"]["length"] = json!(0);
    });
    assert_eq!(found.len(), 3, "{found:#?}");
}

#[test]
fn another_schema_and_broken_json_are_refused() {
    assert!(
        problem(|w| w["schema"] = json!("trunkline.workflow/9")).contains("trunkline.workflow/1")
    );
    let found = Workflow::parse("{\"schema\": ").unwrap_err();
    assert!(found[0].why.contains("line 1"), "{}", found[0]);
}
