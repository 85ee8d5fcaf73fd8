//! What a chat template knows of functions, found out by rendering, and conversations in which
//! functions are called, put so that the template understands them.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use super::{Call, Tool, ToolForm, Turn, arguments};
use crate::NnError;
use crate::llama::template::{Message, Role, Template};

/// Mistral's templates take ids of exactly this many letters and digits.
const ID_LETTERS: usize = 9;
/// What frames the answer of a function where the template has no form for it.
const ANSWER: [&str; 2] = ["<tool_response>", "</tool_response>"];
/// What people and functions may not say, since it would look like a call or an answer.
const FRAMES: [&str; 5] = [
    "<tool_call>",
    "</tool_call>",
    ANSWER[0],
    ANSWER[1],
    "[TOOL_CALLS]",
];

/// What a template knows of functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::llama) struct ToolSupport {
    pub(in crate::llama) form: ToolForm,
    /// It says which functions there are and how they are called.
    lists: bool,
    /// It renders calls that were made.
    calls: bool,
    /// It renders answers.
    answers: bool,
}

impl ToolSupport {
    /// By what the template makes of a function, a call and an answer.
    pub(in crate::llama) fn of(template: &Template) -> Self {
        let told_in_words = Self {
            form: ToolForm::Tagged,
            lists: false,
            calls: false,
            answers: false,
        };
        let tool = Tool {
            name: "probe_tool".to_owned(),
            description: "probe".to_owned(),
            parameters: json!({
                "type": "object", "properties": { "probe_key": { "type": "string" } }
            }),
        };
        let question = json!({ "role": "user", "content": "question" });
        let made = Call {
            id: "a1b2c3d4e".to_owned(),
            name: tool.name.clone(),
            arguments: r#"{"probe_key": "probe_value"}"#.to_owned(),
        };
        let called = called("", std::slice::from_ref(&made));
        let answered = answered(&made.id, &made.name, "probe_answer");
        let tools = [tool.described()];
        let rendered = |messages: &[Value]| template.render_json(messages, &tools, true).ok();
        let having =
            |messages: &[Value], word: &str| rendered(messages).filter(|text| text.contains(word));
        let Some(listed) = having(std::slice::from_ref(&question), "probe_tool") else {
            return told_in_words;
        };
        let with_call = having(&[question.clone(), called.clone()], "probe_value");
        let calls = with_call.is_some();
        let text = with_call.unwrap_or(listed);
        let form = if text.contains(ToolForm::Listed.opening()) {
            ToolForm::Listed
        } else if text.contains(r#""parameters": {"probe_key""#) {
            ToolForm::Bare
        } else if text.contains(ToolForm::Tagged.opening()) {
            ToolForm::Tagged
        } else {
            // A form that is not known here.
            return told_in_words;
        };
        let before = match calls {
            true => called,
            false => json!({ "role": "assistant", "content": "call" }),
        };
        let answers = having(&[question, before, answered], "probe_answer").is_some();
        Self {
            form,
            lists: true,
            calls,
            answers,
        }
    }

    /// The text of a conversation, up to where the model's reply begins.
    pub(in crate::llama) fn render(
        &self,
        template: &Template,
        turns: &[Turn],
        tools: &[Tool],
    ) -> Result<String, NnError> {
        let tools: Vec<Value> = tools
            .iter()
            .map(|tool| clean_tool(template, tool))
            .collect();
        let mut messages = Vec::new();
        for turn in &self.in_order(turns) {
            self.add(template, turn, &mut messages);
        }
        if self.lists || tools.is_empty() {
            return template.render_json(&messages, &tools, true);
        }
        instruct(&mut messages, &tools);
        template.render_json(&messages, &[], true)
    }

    /// A form that takes one call at a time gets each call with its answer.
    fn in_order(&self, turns: &[Turn]) -> Vec<Turn> {
        if self.form.takes_several() {
            return turns.to_vec();
        }
        let mut ordered = Vec::new();
        let mut answers: Vec<Turn> = turns.iter().filter(is_answer).cloned().collect();
        for turn in turns {
            match turn {
                Turn::Said(_) => ordered.push(turn.clone()),
                Turn::Called { text, calls } => {
                    for (at, call) in calls.iter().enumerate() {
                        ordered.push(Turn::Called {
                            text: if at == 0 { text.clone() } else { String::new() },
                            calls: vec![call.clone()],
                        });
                        let answer = answers.iter().position(|answer| answers_to(answer, call));
                        ordered.extend(answer.map(|at| answers.remove(at)));
                    }
                }
                // Those to a call stand behind it already.
                Turn::Answered { .. } => {
                    if let Some(at) = answers.iter().position(|answer| answer == turn) {
                        ordered.push(answers.remove(at));
                    }
                }
            }
        }
        ordered
    }

    fn add(&self, template: &Template, turn: &Turn, messages: &mut Vec<Value>) {
        match turn {
            Turn::Said(Message { role, content }) => {
                let content = match role {
                    Role::User => from_outside(template, content),
                    Role::System | Role::Assistant => template.without_markers(content),
                };
                messages.push(json!({ "role": role.name(), "content": content }));
            }
            Turn::Called { text, calls } => {
                let text = template.without_markers(text);
                messages.push(match self.calls {
                    true => called(&text, calls),
                    false => json!({ "role": "assistant", "content": self.written(&text, calls) }),
                });
            }
            Turn::Answered { call, text } => {
                let text = from_outside(template, text);
                if self.answers {
                    let name = name_of(messages, call);
                    return messages.push(answered(call, &name, &text));
                }
                let framed = format!("{}\n{text}\n{}", ANSWER[0], ANSWER[1]);
                match messages.last_mut() {
                    // Answers to calls that were made together come together.
                    Some(last) if is_framed(last) => {
                        let before = last["content"].as_str().unwrap_or_default();
                        last["content"] = json!(format!("{before}\n{framed}"));
                    }
                    _ => messages.push(json!({ "role": "user", "content": framed })),
                }
            }
        }
    }

    /// Calls as the model wrote them.
    fn written(&self, text: &str, calls: &[Call]) -> String {
        let opening = self.form.opening();
        let mut parts: Vec<String> = Vec::new();
        parts.extend((!text.is_empty()).then(|| text.to_owned()));
        for call in calls {
            let object = self.form.object(call);
            parts.push(format!("{opening}\n{object}\n</tool_call>"));
        }
        parts.join("\n")
    }
}

/// Tells in words which functions there are, within the instructions.
fn instruct(messages: &mut Vec<Value>, tools: &[Value]) {
    let listed: Vec<String> = tools
        .iter()
        .map(|tool| tool["function"].to_string())
        .collect();
    let text = format!(
        "These functions can be called, each described by one line of JSON:\n<tools>\n{}\n</tools>\n\
         To call a function, reply with nothing but its name and its arguments in this form:\n\
         <tool_call>\n{{\"name\": \"the name\", \"arguments\": {{\"an argument\": \"its value\"}}}}\n\
         </tool_call>\nIts answer then comes between {} and {}.",
        listed.join("\n"),
        ANSWER[0],
        ANSWER[1],
    );
    match messages.first_mut() {
        Some(first) if first["role"] == Role::System.name() => {
            let before = first["content"].as_str().unwrap_or_default();
            first["content"] = json!(format!("{before}\n\n{text}"));
        }
        _ => messages.insert(0, json!({ "role": Role::System.name(), "content": text })),
    }
}

fn called(text: &str, calls: &[Call]) -> Value {
    let calls: Vec<Value> = calls
        .iter()
        .map(|call| {
            json!({
                "id": short(&call.id),
                "type": "function",
                "function": { "name": call.name, "arguments": arguments(call) },
            })
        })
        .collect();
    json!({ "role": "assistant", "content": text, "tool_calls": calls })
}

fn answered(call: &str, name: &str, text: &str) -> Value {
    json!({ "role": "tool", "tool_call_id": short(call), "name": name, "content": text })
}

/// An id that every template takes: as it is, or another that is always the same for it.
fn short(id: &str) -> String {
    if id.len() == ID_LETTERS && id.chars().all(|c| c.is_ascii_alphanumeric()) {
        return id.to_owned();
    }
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    let mut rest = hasher.finish();
    let mut letter = || {
        let digit = u32::try_from(rest % 36).unwrap_or(0);
        rest /= 36;
        char::from_digit(digit, 36).unwrap_or('0')
    };
    (0..ID_LETTERS).map(|_| letter()).collect()
}

/// The function of a call that was made earlier.
fn name_of(messages: &[Value], call: &str) -> String {
    let id = short(call);
    let calls = messages
        .iter()
        .filter_map(|message| message["tool_calls"].as_array());
    let mut found = calls.flatten().filter(|made| made["id"] == id.as_str());
    let name = found
        .next()
        .and_then(|made| made["function"]["name"].as_str());
    name.unwrap_or_default().to_owned()
}

fn is_answer(turn: &&Turn) -> bool {
    matches!(turn, Turn::Answered { .. })
}

fn answers_to(turn: &Turn, made: &Call) -> bool {
    matches!(turn, Turn::Answered { call, .. } if *call == made.id)
}

fn is_framed(message: &Value) -> bool {
    let content = message["content"].as_str().unwrap_or_default();
    message["role"] == "user" && content.ends_with(ANSWER[1])
}

/// What people and functions say, without anything that would be taken for markup.
fn from_outside(template: &Template, text: &str) -> String {
    let mut text = template.without_markers(text);
    while let Some(frame) = FRAMES.iter().find(|frame| text.contains(**frame)) {
        text = template.without_markers(&text.replace(frame, ""));
    }
    text
}

/// A function as templates take it, without the vocabulary's markers: they hold nothing that is
/// part of JSON's own writing.
fn clean_tool(template: &Template, tool: &Tool) -> Value {
    let described = tool.described();
    let clean = template.without_markers(&described.to_string());
    serde_json::from_str(&clean).unwrap_or(described)
}
