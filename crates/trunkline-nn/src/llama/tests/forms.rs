//! Replies with a form, drawn at random: whatever the model would rather say, the form holds.

use serde_json::{Value, json};

use super::made::LLAMA;
use super::*;

/// Says something of this form, at random.
fn say(model: &Llama, form: &Form, seed: u64) -> String {
    let mut constraint = model.constrain(form).unwrap();
    let mut sampler = Sampler::new(Sampling {
        temperature: 1.0,
        seed,
        ..Sampling::default()
    });
    let mut text = TextStream::new(&[]);
    let mut said = String::new();
    for _ in 0..2_000 {
        // As if each token were as likely as any other.
        let mut logits = vec![0.0; made::VOCABULARY];
        let allowed = constraint.allowed().unwrap();
        let token = sampler.draw(&mut logits, &[], Some(&allowed)).unwrap();
        if model.ends_turn(token) {
            break;
        }
        said.push_str(&model.read(&mut text, token).unwrap());
        if constraint.push(token).unwrap() {
            break;
        }
    }
    said + &model.read_rest(&mut text).unwrap()
}

#[test]
fn json_meets_its_schema() {
    let model = made::load(LLAMA, ComputePlan::Dense);
    let schema = json!({
        "type": "object",
        "properties": {
            "day": { "enum": ["Monday", "Tuesday"] },
            "guests": { "type": "integer", "minimum": 1, "maximum": 12 },
            "vegetarian": { "type": "boolean" },
        },
        "required": ["day", "guests"],
        "additionalProperties": false
    });
    for seed in 0..20 {
        let said = say(&model, &Form::JsonSchema(schema.clone()), seed);
        let value: Value = serde_json::from_str(&said).unwrap();
        assert!(
            ["Monday", "Tuesday"].contains(&value["day"].as_str().unwrap()),
            "{said}"
        );
        assert!(
            (1..=12).contains(&value["guests"].as_i64().unwrap()),
            "{said}"
        );
        assert!(value["vegetarian"].is_null() || value["vegetarian"].is_boolean());
        assert!(value.as_object().unwrap().len() <= 3, "{said}");
    }
}

#[test]
fn a_choice_is_one_of_the_list_and_any_of_it() {
    let model = made::load(LLAMA, ComputePlan::Dense);
    let texts = ["yes", "yes please", "no \"thanks\"", "grüezi\n"];
    let form = Form::Choice(texts.map(str::to_owned).to_vec());
    let said: Vec<String> = (0..60).map(|seed| say(&model, &form, seed)).collect();
    for text in texts {
        assert!(
            said.iter().any(|said| said == text),
            "never {text:?}: {said:?}"
        );
    }
    assert!(said.iter().all(|said| texts.contains(&said.as_str())));
}

#[test]
fn a_pattern_is_matched_to_its_end() {
    let model = made::load(LLAMA, ComputePlan::Dense);
    let form = Form::Regex("[0-9]{2}:[0-5][0-9]".to_owned());
    for seed in 0..20 {
        let said = say(&model, &form, seed);
        let parts: Vec<&str> = said.split(':').collect();
        assert!(
            parts.len() == 2 && parts.iter().all(|part| part.len() == 2),
            "{said}"
        );
        assert!(
            said.replace(':', "").chars().all(|c| c.is_ascii_digit()),
            "{said}"
        );
    }
}

#[test]
fn forms_that_no_text_has_are_refused_at_once() {
    let model = made::load(LLAMA, ComputePlan::Dense);
    let refusal = |form: Form| model.constrain(&form).err().unwrap();
    let never = json!({ "type": "integer", "minimum": 5, "maximum": 2 });
    let required = json!({
        "type": "object", "properties": { "a": false }, "required": ["a"]
    });
    for schema in [never, required, json!({ "type": "sandwich" }), json!(7)] {
        let error = refusal(Form::JsonSchema(schema.clone()));
        assert!(matches!(error, NnError::Constraint(_)), "{schema}: {error}");
    }
    assert!(matches!(
        refusal(Form::Regex("(".to_owned())),
        NnError::Constraint(_)
    ));
    assert!(matches!(
        refusal(Form::Choice(Vec::new())),
        NnError::NoOptions
    ));
    assert!(matches!(
        refusal(Form::Choice(vec![String::new()])),
        NnError::NoOptions
    ));
}

#[test]
fn a_token_outside_the_form_is_an_error() {
    let model = made::load(LLAMA, ComputePlan::Dense);
    let mut constraint = model
        .constrain(&Form::Choice(vec!["yes".to_owned()]))
        .unwrap();
    let no = model.reply("no").unwrap()[0];
    assert!(matches!(constraint.push(no), Err(NnError::Constraint(_))));
}

#[test]
fn the_text_ends_before_a_stop_string_and_whole_characters_come_whole() {
    let model = made::load(LLAMA, ComputePlan::Dense);
    let tokens = model.reply("Grüße, 世界! User: no").unwrap();
    let mut text = TextStream::new(&["User:".to_owned()]);
    let mut pieces = Vec::new();
    for token in &tokens[..tokens.len() - 1] {
        pieces.push(model.read(&mut text, *token).unwrap());
        if text.is_stopped() {
            break;
        }
    }
    assert_eq!(pieces.concat(), "Grüße, 世界! ");
    assert!(text.is_stopped());
    assert_eq!(model.read_rest(&mut text).unwrap(), "");
    // One token a byte: the two of ü and the three of 世 bring one piece each.
    assert!(pieces.contains(&"ü".to_owned()) && pieces.contains(&"世".to_owned()));
    assert_eq!(model.spelling(tokens[0]), b"G");
    assert!(model.spelling(tokens[tokens.len() - 1]).is_empty());
}

#[test]
fn calls_name_a_function_and_meet_its_schema_in_each_family_s_form() {
    let model = made::load(LLAMA, ComputePlan::Dense);
    let tool = |name: &str, parameters| Tool {
        name: name.to_owned(),
        description: String::new(),
        parameters,
    };
    let tools = vec![
        tool(
            "say \"hi\"",
            json!({ "properties": {}, "additionalProperties": false }),
        ),
        tool(
            "count",
            json!({
                "type": "object",
                "properties": { "to": { "type": "integer", "minimum": 1, "maximum": 9 } },
                "required": ["to"],
                "additionalProperties": false,
            }),
        ),
    ];
    for form in [ToolForm::Tagged, ToolForm::Listed, ToolForm::Bare] {
        let (mut most, mut counted) = (0, 0);
        for seed in 0..20 {
            let several = seed % 2 == 1;
            let wanted = Form::ToolCalls {
                form,
                tools: tools.clone(),
                several,
            };
            let said = say(&model, &wanted, seed);
            let mut reader = CallReader::new(form, Vec::new(), true);
            let mut pieces = reader.push(&said);
            pieces.extend(reader.finish());
            assert!(several || pieces.len() == 1, "{said}");
            most = most.max(pieces.len());
            for piece in pieces {
                let Piece::Call { name, arguments } = piece else {
                    panic!("{said}");
                };
                let arguments: Value = serde_json::from_str(&arguments).unwrap();
                if name == "count" {
                    counted += 1;
                    assert!(
                        (1..=9).contains(&arguments["to"].as_i64().unwrap()),
                        "{said}"
                    );
                } else {
                    assert_eq!((name.as_str(), arguments), ("say \"hi\"", json!({})));
                }
            }
        }
        assert!(counted > 0);
        assert_eq!(most > 1, form.takes_several(), "{form:?}: {most}");
    }
}

#[test]
fn a_function_whose_arguments_no_text_can_be_is_named() {
    let model = made::load(LLAMA, ComputePlan::Dense);
    let tools = vec![Tool {
        name: "never".to_owned(),
        description: String::new(),
        parameters: json!({ "properties": { "a": false }, "required": ["a"] }),
    }];
    let form = Form::ToolCalls {
        form: ToolForm::Tagged,
        tools,
        several: false,
    };
    let error = model.constrain(&form).err().unwrap().to_string();
    assert!(error.contains("never"), "{error}");
}
