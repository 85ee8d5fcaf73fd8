//! A whole call whose models all run in other processes, with the starter models.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use trunkline_tests::{Appliance, Ask, Engine, Finished, Settings, pause, program, run};

const LLM: &str = "smollm2-135m";

/// Tables that say where each model is served: by these engines, in this order.
fn remote(engines: &[&Engine]) -> String {
    let mut tables = String::new();
    for (part, model) in [("stt", "whisper-starter"), ("llm", LLM), ("tts", "flite")] {
        let _ = writeln!(tables, "[remote.{part}]\nmodel = {model:?}");
        for engine in engines {
            let url = match engine.address().strip_prefix("unix:") {
                Some(path) => format!("unix:{}", engine.folder().join(path).display()),
                None => format!("http://{}/v1", engine.address()),
            };
            let key = engine.folder().join("key");
            let _ = writeln!(
                tables,
                "[[remote.{part}.endpoint]]\nurl = {url:?}\nkey = [{{ api_key_file = {key:?} }}]"
            );
        }
    }
    tables
}

/// Steps that the language model of an engine has computed.
fn steps(engine: &Engine) -> Result<u64> {
    let model = engine.ask(Ask::get(&format!("/v1/models/{LLM}")))?.json()?;
    model["load"]["steps"].as_u64().context("no steps")
}

/// The call that runs, with what was said so far.
fn running_call(appliance: &Appliance) -> Result<Value> {
    let calls: Value = serde_json::from_str(&appliance.get("/v1/calls")?)?;
    let Some(id) = calls["calls"][0]["id"].as_str() else {
        return Ok(Value::Null);
    };
    Ok(serde_json::from_str(
        &appliance.get(&format!("/v1/calls/{id}"))?,
    )?)
}

/// What the recogniser heard, turn by turn.
fn heard(call: &Value) -> String {
    let turns = call["turns"].as_array().into_iter().flatten();
    let heard: Vec<&str> = turns.filter_map(|turn| turn["heard"].as_str()).collect();
    heard.join(" ").to_lowercase()
}

#[test]
fn a_call_over_other_processes_goes_on_when_one_of_them_dies() -> Result<()> {
    let mut first = Engine::start("127.0.0.1:0")?;
    let second = Engine::start("unix:./engine.sock")?;
    let appliance = Appliance::start(&Settings {
        more: remote(&[&first, &second]),
        ..Settings::default()
    })?;
    let report = appliance.folder().join("caller.json");
    let caller = {
        let scenario = std::path::absolute("../crates/trunkline-caller/scenarios/front-desk.toml")?;
        let to = format!("sip:demo@127.0.0.1:{}", appliance.sip_port());
        let mut caller = Command::new(program("trunkline-caller")?);
        caller
            .arg("--scenario")
            .arg(scenario)
            .args(["--to", &to, "--report"])
            .arg(&report);
        std::thread::spawn(move || run(&mut caller))
    };
    // The first engine serves until the caller has been understood once; then it is gone.
    while steps(&first)? == 0 || !heard(&running_call(&appliance)?).contains("appointment") {
        ensure!(!caller.is_finished(), "the call was over before");
        pause(Duration::from_millis(100));
    }
    ensure!(steps(&second)? == 0, "the second engine was asked already");
    first.kill()?;
    let said = caller.join();
    let said = said.map_err(|_| anyhow::anyhow!("the caller panicked"))??;
    ensure!(steps(&second)? > 0, "the second engine was not asked");
    appliance.ended_call()?;
    is_right(&read(&report, &said)?, &running_call(&appliance)?)
}

fn read(report: &Path, said: &Finished) -> Result<Value> {
    let text = std::fs::read_to_string(report);
    let text = text.with_context(|| format!("the caller left no report: {}", said.stderr))?;
    Ok(serde_json::from_str(&text)?)
}

/// Every turn was answered, every wish was understood, and the agent ended the call.
fn is_right(report: &Value, call: &Value) -> Result<()> {
    ensure!(report["failure"].is_null(), "{report}\n{call}");
    let turns = report["turns"].as_array().context("no turns")?;
    ensure!(turns.len() == 6, "{report}");
    ensure!(
        turns.iter().all(|turn| turn["answered"] == true),
        "{report}"
    );
    let heard = heard(call);
    for word in ["appointment", "wednesday", "yes", "parking", "goodbye"] {
        ensure!(heard.contains(word), "{word:?} was not heard: {heard}");
    }
    ensure!(call["call"]["outcome"] == "completed", "{call}");
    let turns = call["turns"].as_array().into_iter().flatten();
    let keys: String = turns.filter_map(|turn| turn["dtmf"].as_str()).collect();
    ensure!(keys == "4729", "{call}");
    Ok(())
}
