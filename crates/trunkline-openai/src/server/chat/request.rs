//! What a request for a reply asks for.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use trunkline_inference::{ChatCapabilities, ChatRequest, Constraint, Sampling, Tool, Urgency};

use super::super::fields::{Fields, wrong};
use super::messages;
use crate::server::Refusal;

/// The longest reply where neither the request nor the model says how long.
const USUAL_TOKENS: usize = 4096;
/// As OpenAI's.
const MOST_STOPS: usize = 4;
/// As OpenAI's.
const MOST_TOOLS: usize = 128;
/// Texts that a reply can be chosen from.
const MOST_CHOICES: usize = 256;

/// A request, read.
pub(super) struct Asked {
    pub(super) request: ChatRequest,
    /// `None` where the whole reply is wanted at once.
    pub(super) streamed: Option<Streamed>,
}

/// How a stream is wanted.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Streamed {
    /// Whether the last chunk says what the reply took.
    #[serde(default)]
    pub(super) include_usage: bool,
    /// Padding against listeners on the wire; there are none here, so it changes nothing.
    #[serde(default, rename = "include_obfuscation")]
    _obfuscation: bool,
}

/// Reads everything but the model's name.
pub(super) fn read(
    mut fields: Fields,
    capabilities: &ChatCapabilities,
    urgency: Urgency,
) -> Result<Asked, Refusal> {
    let messages: Vec<Map<String, Value>> = fields.need("messages")?;
    let messages = messages::read("messages", messages)?;
    let streamed = streamed(&mut fields)?;
    let logprobs = logprobs(&mut fields)?;
    let (tools, called) = tools(&mut fields)?;
    let constraint = match (constraint(&mut fields)?, called) {
        (Some(_), Some(_)) => {
            let why = "a reply cannot be both a call of a tool and constrained otherwise";
            return Err(wrong("tool_choice", why));
        }
        (constraint, called) => constraint.or(called),
    };
    let request = ChatRequest {
        messages,
        max_tokens: max_tokens(&mut fields, capabilities)?,
        sampling: sampling(&mut fields)?,
        stop: stop(&mut fields)?,
        tools,
        one_tool_call: !fields.take("parallel_tool_calls")?.unwrap_or(true),
        constraint,
        logprobs,
        urgency,
        ..ChatRequest::default()
    };
    refuse_the_rest(fields)?;
    Ok(Asked { request, streamed })
}

fn streamed(fields: &mut Fields) -> Result<Option<Streamed>, Refusal> {
    let stream: bool = fields.take("stream")?.unwrap_or(false);
    let options: Option<Streamed> = fields.take("stream_options")?;
    match (stream, options) {
        (true, options) => Ok(Some(options.unwrap_or_default())),
        (false, None) => Ok(None),
        (false, Some(_)) => Err(wrong("stream_options", "only a stream has them")),
    }
}

fn logprobs(fields: &mut Fields) -> Result<Option<u8>, Refusal> {
    let wanted: bool = fields.take("logprobs")?.unwrap_or(false);
    let alternatives: Option<u8> = fields.take("top_logprobs")?;
    match (wanted, alternatives) {
        (true, alternatives) => Ok(Some(alternatives.unwrap_or(0))),
        (false, None | Some(0)) => Ok(None),
        (false, Some(_)) => Err(wrong("top_logprobs", "it needs logprobs to be true")),
    }
}

fn max_tokens(fields: &mut Fields, capabilities: &ChatCapabilities) -> Result<usize, Refusal> {
    let old: Option<usize> = fields.take("max_tokens")?;
    let new: Option<usize> = fields.take("max_completion_tokens")?;
    match new.or(old) {
        Some(0) => Err(wrong("max_completion_tokens", "it must be 1 or more")),
        Some(tokens) => Ok(tokens),
        None => Ok(capabilities.context_tokens.unwrap_or(USUAL_TOKENS)),
    }
}

fn sampling(fields: &mut Fields) -> Result<Sampling, Refusal> {
    // Signed as in OpenAI's API; only that equal seeds stay equal matters.
    let seed: Option<i64> = fields.take("seed")?;
    Ok(Sampling {
        temperature: fields.number("temperature", 0.0, 2.0)?.unwrap_or(1.0),
        top_p: fields.number("top_p", 0.0, 1.0)?.unwrap_or(1.0),
        min_p: fields.number("min_p", 0.0, 1.0)?.unwrap_or(0.0),
        repetition_penalty: fields
            .number("repetition_penalty", 0.1, 10.0)?
            .unwrap_or(1.0),
        seed: match seed {
            Some(seed) => seed.cast_unsigned(),
            None => getrandom::u64()
                .map_err(|_| Refusal::internal("the system gives no random numbers".to_owned()))?,
        },
    })
}

fn stop(fields: &mut Fields) -> Result<Vec<String>, Refusal> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stop {
        One(String),
        Many(Vec<String>),
    }
    let stop = match fields.take("stop")? {
        None => Vec::new(),
        Some(Stop::One(one)) => vec![one],
        Some(Stop::Many(many)) => many,
    };
    if stop.len() > MOST_STOPS || stop.iter().any(String::is_empty) {
        let why = format!("at most {MOST_STOPS} texts, none of them empty");
        return Err(wrong("stop", &why));
    }
    Ok(stop)
}

/// The tools, and the constraint that `tool_choice` is.
fn tools(fields: &mut Fields) -> Result<(Vec<Tool>, Option<Constraint>), Refusal> {
    let given: Vec<Value> = fields.take("tools")?.unwrap_or_default();
    if given.len() > MOST_TOOLS {
        return Err(wrong("tools", &format!("more than {MOST_TOOLS}")));
    }
    let tools: Vec<Tool> = given
        .into_iter()
        .enumerate()
        .map(|(index, tool)| {
            self::tool(tool).map_err(|why| wrong(&format!("tools[{index}]"), &why))
        })
        .collect::<Result<_, _>>()?;
    let choice: Option<Value> = fields.take("tool_choice")?;
    let has_tool = |name: &str| tools.iter().any(|tool| tool.name == name);
    match &choice {
        None => Ok((tools, None)),
        Some(Value::String(word)) if word == "auto" => Ok((tools, None)),
        // Of tools that cannot be called the model need not know.
        Some(Value::String(word)) if word == "none" => Ok((Vec::new(), None)),
        Some(Value::String(word)) if word == "required" && !tools.is_empty() => {
            Ok((tools, Some(Constraint::ToolCall(None))))
        }
        Some(choice) => match choice["function"]["name"].as_str() {
            Some(name) if has_tool(name) => {
                let constraint = Constraint::ToolCall(Some(name.to_owned()));
                Ok((tools, Some(constraint)))
            }
            Some(name) => Err(wrong("tool_choice", &format!("there is no tool {name:?}"))),
            None => Err(wrong(
                "tool_choice",
                "it must be none, auto, required (with tools), or name a function",
            )),
        },
    }
}

fn tool(tool: Value) -> Result<Tool, String> {
    let function = match (tool["type"].as_str(), &tool["function"]) {
        (Some("function"), Value::Object(function)) => function,
        _ => return Err("only functions are supported".to_owned()),
    };
    let name = function.get("name").and_then(Value::as_str).unwrap_or("");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_plain) {
        return Err("its name must be 1 to 64 letters, digits, _ and -".to_owned());
    }
    let description = function.get("description").and_then(Value::as_str);
    let parameters = match function.get("parameters") {
        None | Some(Value::Null) => json!({"type": "object", "properties": {}}),
        Some(schema @ Value::Object(_)) => schema.clone(),
        Some(_) => return Err("its parameters are no JSON Schema".to_owned()),
    };
    Ok(Tool {
        name: name.to_owned(),
        description: description.unwrap_or_default().to_owned(),
        parameters,
    })
}

/// `response_format`, or `guided_choice` as vLLM has it.
fn constraint(fields: &mut Fields) -> Result<Option<Constraint>, Refusal> {
    let choice: Option<Vec<String>> = fields.take("guided_choice")?;
    let format: Option<Value> = fields.take("response_format")?;
    let constraint = match format.as_ref().map(|format| format["type"].as_str()) {
        None | Some(Some("text")) => None,
        Some(Some("json_object")) => Some(Constraint::JsonObject),
        Some(Some("json_schema")) => {
            let schema = format.map(|mut format| format["json_schema"]["schema"].take());
            match schema {
                Some(schema @ Value::Object(_)) => Some(Constraint::JsonSchema(schema)),
                _ => {
                    return Err(wrong(
                        "response_format",
                        "json_schema.schema is no JSON Schema",
                    ));
                }
            }
        }
        Some(_) => {
            let why = "its type must be text, json_object or json_schema";
            return Err(wrong("response_format", why));
        }
    };
    match (constraint, choice) {
        (constraint, None) => Ok(constraint),
        (None, Some(choice)) if (1..=MOST_CHOICES).contains(&choice.len()) => {
            Ok(Some(Constraint::Choice(choice)))
        }
        (None, Some(_)) => Err(wrong(
            "guided_choice",
            &format!("1 to {MOST_CHOICES} texts"),
        )),
        (Some(_), Some(_)) => Err(wrong("guided_choice", "response_format is given as well")),
    }
}

/// What OpenAI knows beyond this is refused, unless it asks for what happens anyway.
fn refuse_the_rest(mut fields: Fields) -> Result<(), Refusal> {
    fields.only("n", &[json!(1)])?;
    fields.only("frequency_penalty", &[json!(0), json!(0.0)])?;
    fields.only("presence_penalty", &[json!(0), json!(0.0)])?;
    fields.only("logit_bias", &[json!({})])?;
    fields.only("modalities", &[json!(["text"])])?;
    fields.only("store", &[json!(false)])?;
    // Who asks, and how a cloud bills and caches it.
    fields.pass_over(&[
        "user",
        "metadata",
        "safety_identifier",
        "prompt_cache_key",
        "service_tier",
    ]);
    fields.finish()
}
