//! A language model is exchanged while it serves, in `trunkline engine` and in `trunkline serve`.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use trunkline_tests::{Appliance, Ask, Engine, STORYTELLER, Settings, models_with_storyteller};

const LLM: &str = "smollm2-135m";
const CHAT: &str = "/v1/chat/completions";
const RELOAD: &str = "/v1/models/smollm2-135m/reload";

fn once_upon(more: &Value) -> Ask {
    let mut body = json!({
        "model": LLM, "temperature": 0, "max_completion_tokens": 400,
        "messages": [{"role": "user", "content": "Once upon a time there was"}],
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        body[field] = value.clone();
    }
    Ask::json(CHAT, &body)
}

fn model_name(engine: &Engine) -> Result<Value> {
    let model = engine.ask(Ask::get(&format!("/v1/models/{LLM}")))?;
    Ok(model.json()?["owned_by"].clone())
}

#[test]
fn a_stream_ends_whole_while_the_next_request_is_the_new_models() -> Result<()> {
    let place = tempfile::tempdir()?;
    models_with_storyteller(place.path())?;
    let models = format!("[node]\nmodels_dir = {:?}\n", place.path().join("models"));
    let engine = Engine::start_with("unix:./engine.sock", &models)?;
    // What it will say is known: the model has no choice.
    let story = "and then the sea was blue ".repeat(20);
    let mut stream = engine.begin(once_upon(&json!({
        "stream": true, "guided_choice": [story], "max_completion_tokens": 1000
    })))?;
    ensure!(stream.status == 200);
    let mut told = String::new();
    let mut next = || -> Result<Option<String>> {
        let event = stream.event()?.context("the stream broke off")?;
        if event == "[DONE]" {
            return Ok(None);
        }
        let chunk: Value = serde_json::from_str(&event)?;
        ensure!(chunk["error"].is_null(), "{chunk}");
        let text = chunk["choices"][0]["delta"]["content"].as_str();
        Ok(Some(text.unwrap_or_default().to_owned()))
    };
    while told.is_empty() {
        told.push_str(&next()?.context("over at once")?);
    }
    let exchanged = engine.ask(Ask::json(RELOAD, &json!({"model": STORYTELLER})))?;
    ensure!(exchanged.status == 200, "{}", exchanged.json()?);
    let exchanged = exchanged.json()?;
    ensure!(
        exchanged["id"] == LLM && exchanged["model"] == STORYTELLER,
        "{exchanged}"
    );
    let serves = model_name(&engine)?;
    ensure!(
        serves.as_str().is_some_and(|it| it.ends_with(STORYTELLER)),
        "{serves}"
    );
    let reply = engine.ask(once_upon(&json!({"max_completion_tokens": 20})))?;
    ensure!(reply.status == 200, "{}", reply.json()?);
    while let Some(text) = next()? {
        told.push_str(&text);
    }
    ensure!(told == story, "{told:?}");

    // The same again, alone: it is what the new model says.
    let again = engine
        .ask(once_upon(&json!({"max_completion_tokens": 20})))?
        .json()?;
    let said = |reply: &Value| reply["choices"][0]["message"]["content"].clone();
    ensure!(said(&again) == said(&reply.json()?), "{again}");
    Ok(())
}

#[test]
fn without_memory_for_both_the_old_one_stays_and_the_error_says_what_to_do() -> Result<()> {
    let engine = Engine::start_with("unix:./engine.sock", "[models]\nmemory_mib = 2000\n")?;
    let refused = engine.ask(Ask::json(RELOAD, &json!({})))?;
    let error = &refused.json()?["error"];
    ensure!(refused.status == 507, "{error}");
    ensure!(error["code"] == "insufficient_memory", "{error}");
    let message = error["message"].as_str().context("no message")?;
    for part in [LLM, "MiB", "models.memory_mib"] {
        ensure!(message.contains(part), "{part} is not in {message}");
    }
    let served = engine.ask(once_upon(&json!({"max_completion_tokens": 2})))?;
    ensure!(served.status == 200, "it serves no more");
    Ok(())
}

#[test]
fn the_appliance_exchanges_its_model_on_command() -> Result<()> {
    let place = tempfile::tempdir()?;
    models_with_storyteller(place.path())?;
    let appliance = Appliance::start(&Settings {
        node: format!("models_dir = {:?}\n", place.path().join("models")),
        models: format!("[models]\nstt = \"instant\"\nllm = {STORYTELLER:?}\ntts = \"instant\"\n"),
        ..Settings::default()
    })?;
    let done = appliance.command(&["models", "reload", STORYTELLER, "--with", LLM])?;
    ensure!(done.code == Some(0), "{}", done.stderr);
    ensure!(
        done.stdout
            .starts_with("smollm2-135m serves as storyteller"),
        "{}",
        done.stdout
    );
    let health = appliance.get("/health")?;
    ensure!(
        health.contains("storyteller (candle-cpu smollm2-135m)"),
        "{health}"
    );
    for (name, told) in [
        ("instant", "cannot be exchanged"),
        ("nobody", "no model named"),
    ] {
        let refused = appliance.command(&["models", "reload", name])?;
        ensure!(refused.code == Some(1), "{name}: {}", refused.stdout);
        ensure!(refused.stderr.contains(told), "{}", refused.stderr);
    }
    Ok(())
}
