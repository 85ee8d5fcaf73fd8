//! Tools: who must call one does, who may is held to the form once a call opens, and a call's
//! arguments meet their schema whatever the model would rather say.

use serde_json::{Value, json};
use trunkline_inference::{ChatRole, Constraint, Tool, ToolCall};

use super::*;

fn tools() -> Vec<Tool> {
    let tool = |name: &str, parameters| Tool {
        name: name.to_owned(),
        description: format!("Does what {name} does"),
        parameters,
    };
    vec![
        tool(
            "play",
            json!({
                "type": "object",
                "properties": { "toy": { "enum": ["ball", "doll"] }, "red": { "type": "boolean" } },
                "required": ["toy", "red"],
                "additionalProperties": false,
            }),
        ),
        tool(
            "sleep",
            json!({ "properties": {}, "additionalProperties": false }),
        ),
    ]
}

/// A storyteller who can read more than he ever learnt, such as what tools there are.
fn patient() -> Llama {
    let place = story_folder("");
    let file = place.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config["max_position_embeddings"] = json!(2048);
    std::fs::write(&file, config.to_string()).unwrap();
    Llama::load(place.path(), &trunkline_nn::cpu()).unwrap()
}

fn bench() -> Bench {
    Bench::on(patient(), ChatSettings::default(), None)
}

fn with_tools(constraint: Option<Constraint>) -> ChatRequest {
    ChatRequest {
        tools: tools(),
        constraint,
        ..ask("Once upon a time", 200)
    }
}

/// The calls of a reply, each checked against its tool.
fn calls(said: &Said) -> Vec<ToolCall> {
    let calls = said.deltas.iter().filter_map(|delta| match delta {
        ChatDelta::ToolCall(call) => Some(call.clone()),
        _ => None,
    });
    let calls: Vec<ToolCall> = calls.collect();
    for call in &calls {
        let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
        match call.name.as_str() {
            "play" => {
                assert!(["ball", "doll"].contains(&arguments["toy"].as_str().unwrap()));
                assert!(arguments["red"].is_boolean());
            }
            "sleep" => assert_eq!(arguments, json!({})),
            other => panic!("there is no tool {other}"),
        }
    }
    calls
}

#[test]
fn a_reply_that_must_call_a_tool_does_and_says_nothing_else() {
    let bench = bench();
    let named = |name: &str| Some(Constraint::ToolCall(Some(name.to_owned())));
    for (constraint, name) in [(named("sleep"), "sleep"), (named("play"), "play")] {
        let said = bench.say(with_tools(constraint));
        let called = calls(&said);
        assert_eq!(called.len(), 1);
        assert_eq!(called[0].name, name);
        assert_eq!(said.text, "");
        assert_eq!(said.end.unwrap().finish, FinishReason::ToolCalls);
    }
    let mut ids = Vec::new();
    for _ in 0..2 {
        let any = bench.say(ChatRequest {
            one_tool_call: true,
            ..with_tools(Some(Constraint::ToolCall(None)))
        });
        let called = calls(&any);
        assert_eq!(called.len(), 1);
        ids.push(called[0].id.clone());
    }
    assert_ne!(ids[0], ids[1]);
}

/// Would say a text, whatever the network thinks.
struct Scripted {
    network: LlamaNetwork,
    script: Vec<u32>,
    said: usize,
}

impl StepNetwork for Scripted {
    fn blocks(&self) -> usize {
        self.network.blocks()
    }

    fn step(&mut self, copies: &[(u32, u32)], rows: &[Row<'_>]) -> Result<Logits, NnError> {
        let mut logits = self.network.step(copies, rows)?;
        if let Some(last) = logits.last_mut(0) {
            if let Some(token) = self.script.get(self.said) {
                last[*token as usize] = 1e6;
            }
            self.said += 1;
        }
        Ok(logits)
    }
}

fn scripted(text: &str) -> LlamaChat {
    let (settings, text) = (ChatSettings::default(), text.to_owned());
    let build = move |model: &Arc<Llama>| {
        let mut script = model.reply(&text).unwrap();
        script.pop();
        Ok(Box::new(Scripted {
            network: LlamaNetwork::new(model, &settings).unwrap(),
            script,
            said: 0,
        }) as Box<dyn StepNetwork>)
    };
    LlamaChat::start("test", patient(), settings, Box::new(build)).unwrap()
}

#[test]
fn once_a_call_opens_the_model_can_write_nothing_but_a_right_one() {
    // It would go on with a tool that there is not, and looks as if it came to a stop string.
    let chat = scripted("Well.\n<tool_call>\n{\"name\": \"fly\", \"arguments\": {}}");
    let said = hear(
        chat.generate(ChatRequest {
            one_tool_call: true,
            stop: vec!["\n{".to_owned()],
            ..with_tools(None)
        })
        .unwrap(),
    );
    assert_eq!(calls(&said).len(), 1, "{:?}", said.deltas);
    assert_eq!(said.text.trim_start(), "Well.\n");
    assert_eq!(said.end.unwrap().finish, FinishReason::ToolCalls);
}

#[test]
fn a_reply_that_may_call_a_tool_may_also_just_speak() {
    let chat = scripted("It rains and rains and rains.");
    let said = hear(
        chat.generate(ChatRequest {
            max_tokens: 6,
            ..with_tools(None)
        })
        .unwrap(),
    );
    assert!(calls(&said).is_empty());
    assert!(said.text.trim_start().starts_with("It"), "{}", said.text);
    assert_eq!(said.end.unwrap().finish, FinishReason::Length);
}

#[test]
fn a_call_that_the_end_cuts_short_is_none() {
    let chat = scripted("<tool_call>\n{\"name\": \"play\"");
    let said = hear(
        chat.generate(ChatRequest {
            max_tokens: 14,
            ..with_tools(None)
        })
        .unwrap(),
    );
    assert!(calls(&said).is_empty() && said.text.is_empty(), "{said:?}");
    assert_eq!(said.end.unwrap().finish, FinishReason::Length);
}

#[test]
fn calls_and_answers_are_part_of_the_conversation() {
    let bench = bench();
    let mut request = with_tools(None);
    request.max_tokens = 1;
    let alone = bench.say(request.clone()).end.unwrap().prompt;
    let mut called = ChatMessage::assistant("");
    called.tool_calls = vec![ToolCall {
        id: "one".to_owned(),
        name: "play".to_owned(),
        arguments: "{\"toy\": \"ball\", \"red\": true}".to_owned(),
    }];
    let mut answer = ChatMessage::new(ChatRole::Tool, "It was fun.");
    answer.tool_call_id = Some("one".to_owned());
    request.messages.extend([called, answer]);
    let told = bench.say(request.clone()).end.unwrap().prompt;
    assert!(told > alone + 20, "{told} after {alone}");
    // Also where nothing can be called any more.
    request.tools.clear();
    assert!(bench.say(request).end.is_ok());
}
