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
