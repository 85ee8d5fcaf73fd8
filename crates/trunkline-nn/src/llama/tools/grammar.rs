//! What a model may write from the opening of a call on: a function that there is, and arguments
//! that meet its schema.

use serde_json::{Value, json};

use super::{Tool, ToolForm};
use crate::llama::constraint::spaced;

/// The grammar of one call, or of one or `several`, after [`ToolForm::opening`].
pub(in crate::llama) fn grammar(form: ToolForm, tools: &[Tool], several: bool) -> String {
    let several = several && form.takes_several();
    let start = match (form, several) {
        (ToolForm::Tagged, false) => r#"start: "\n" call "\n</tool_call>""#.to_owned(),
        (ToolForm::Tagged, true) => [
            r#"start: "\n" call "\n</tool_call>" more*"#,
            r#"more: "\n<tool_call>\n" call "\n</tool_call>""#,
        ]
        .join("\n"),
        (ToolForm::Listed, false) => r#"start: "[" call "]" | " [" call "]""#.to_owned(),
        (ToolForm::Listed, true) => [
            r#"start: "[" call more* "]" | " [" call more* "]""#,
            r#"more: ", " call"#,
        ]
        .join("\n"),
        (ToolForm::Bare, _) => "start: call".to_owned(),
    };
    let names: Vec<String> = (0..tools.len()).map(|at| format!("call_{at}")).collect();
    let mut rules = vec![start, format!("call: {}", names.join(" | "))];
    for (at, tool) in tools.iter().enumerate() {
        let name = Value::from(tool.name.as_str());
        let before = format!("{{\"name\": {name}, \"{}\": ", form.arguments());
        let schema = spaced(&of_object(&tool.parameters));
        rules.push(format!(
            "call_{at}: {} args_{at} \"}}\"",
            Value::from(before)
        ));
        rules.push(format!("args_{at}: %json {schema}"));
    }
    rules.join("\n")
}

/// A schema that only objects meet: arguments have names.
pub(in crate::llama) fn of_object(parameters: &Value) -> Value {
    match parameters {
        Value::Object(fields) if !fields.contains_key("type") => {
            let mut fields = fields.clone();
            fields.insert("type".to_owned(), json!("object"));
            Value::Object(fields)
        }
        Value::Object(_) => parameters.clone(),
        _ => json!({ "type": "object" }),
    }
}
