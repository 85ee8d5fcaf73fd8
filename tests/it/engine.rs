//! `trunkline engine` with the starter models, where clients misbehave: they go away, come a
//! thousand at a time, or send what cannot be served.

use std::io::Cursor;
use std::sync::Barrier;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use trunkline_audio::WavWriter;
use trunkline_tests::{Answer, Ask, Engine, pause};

const LLM: &str = "smollm2-135m";
const STT: &str = "whisper-starter";
const CHAT: &str = "/v1/chat/completions";
const TRANSCRIPTIONS: &str = "/v1/audio/transcriptions";

fn chat(more: &Value) -> Ask {
    let mut body = json!({
        "model": LLM,
        "messages": [{"role": "user", "content": "Tell me a long story about the sea."}],
        "temperature": 0,
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        body[field] = value.clone();
    }
    Ask::json(CHAT, &body)
}

/// A figure of the worker's own count.
fn load(engine: &Engine, figure: &str) -> Result<u64> {
    let model = engine.ask(Ask::get(&format!("/v1/models/{LLM}")))?.json()?;
    model["load"][figure]
        .as_u64()
        .with_context(|| format!("no {figure} in {model}"))
}

/// Waits until a figure of the server's health has this value.
fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..3000 {
        if holds()? {
            return Ok(());
        }
        pause(Duration::from_millis(10));
    }
    anyhow::bail!("{what} did not come about within thirty seconds")
}

#[test]
fn a_client_that_leaves_within_a_reply_frees_its_row_within_a_step() -> Result<()> {
    const WORDS: usize = 400;
    let engine = Engine::start("unix:./engine.sock")?;
    let mut reply = engine.begin(chat(&json!({
        "stream": true, "max_completion_tokens": 2 * WORDS, "guided_choice": ["word ".repeat(WORDS)],
    })))?;
    ensure!(reply.status == 200);
    for _ in 0..4 {
        reply.event()?.context("the reply was over at once")?;
    }
    ensure!(load(&engine, "rows")? == 1, "the reply has no row");
    drop(reply);
    // The connection is given up first; what the worker does from then on is what counts.
    let serving =
        || -> Result<Value> { Ok(engine.ask(Ask::get("/health"))?.json()?["requests"].clone()) };
    until("the end of the request", || Ok(serving()? == json!(0)))?;
    let told = load(&engine, "steps")?;
    until("an empty worker", || Ok(load(&engine, "rows")? == 0))?;
    let steps = load(&engine, "steps")?;
    ensure!(
        steps <= told + 1,
        "{} steps were computed for nobody",
        steps - told
    );
    ensure!(steps < WORDS as u64 / 2, "the reply was over before");
    Ok(())
}

/// Comes with so many clients at once; gives their answers.
fn storm(engine: &Engine, clients: usize) -> Result<Vec<Answer>> {
    let together = Barrier::new(clients);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..clients)
            .map(|_| {
                let (together, ask) = (&together, chat(&json!({"max_completion_tokens": 4})));
                std::thread::Builder::new()
                    .stack_size(128 << 10)
                    .spawn_scoped(scope, move || {
                        together.wait();
                        engine.ask(ask)
                    })
                    .context("a client cannot start")
            })
            .collect::<Result<_>>()?;
        let answers = clients.into_iter().map(|client| {
            let answer = client.join();
            answer.map_err(|_| anyhow::anyhow!("a client panicked"))?
        });
        answers.collect()
    })
}

#[test]
fn of_a_thousand_requests_at_once_some_are_served_the_rest_told_to_come_back_and_nothing_grows()
-> Result<()> {
    const CLIENTS: usize = 1000;
    let mut engine = Engine::start("127.0.0.1:0")?;
    let mut resident = Vec::new();
    for _ in 0..4 {
        let answers = storm(&engine, CLIENTS)?;
        let (served, refused): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.status == 200);
        ensure!(served.len() >= 16, "only {} were served", served.len());
        ensure!(!refused.is_empty(), "nobody was refused");
        for answer in served {
            let reply = answer.json()?;
            let choice = &reply["choices"][0];
            ensure!(
                choice["message"]["content"].is_string() && choice["finish_reason"].is_string(),
                "an admitted request was not served: {reply}"
            );
        }
        for answer in refused {
            let error = &answer.json()?["error"];
            ensure!(answer.status == 429, "{}: {error}", answer.status);
            ensure!(error["code"] == "rate_limit_exceeded", "{error}");
            let wait: u64 = answer.header("retry-after").context("when?")?.parse()?;
            ensure!((1..=60).contains(&wait), "come back in {wait} s");
        }
        until("an empty worker", || Ok(load(&engine, "rows")? == 0))?;
        resident.push(engine.resident_kib()?);
    }
    // The first storm fills caches. Three thousand requests later there is no more than then.
    let grown = resident[3].saturating_sub(resident[0]);
    ensure!(grown < 64 << 10, "memory grows: {resident:?} KiB");
    ensure!(engine.terminate()? == Some(0), "it did not stop well");
    Ok(())
}

/// A refusal of OpenAI's shape with this status, whose message has all of `saying`.
fn refuses(engine: &Engine, ask: Ask, status: u16, param: Value, saying: &[&str]) -> Result<()> {
    let answer = engine.ask(ask)?;
    let body = answer.json()?;
    let error = &body["error"];
    ensure!(answer.status == status, "{}: {body}", answer.status);
    ensure!(error["type"] == "invalid_request_error", "{body}");
    ensure!(error["param"] == param, "{body}");
    let message = error["message"].as_str().context("no message")?;
    for words in saying {
        ensure!(message.contains(words), "{words:?} is not in {message:?}");
    }
    Ok(())
}

/// A WAV file with so many samples of silence.
fn silence(samples: usize) -> Result<Vec<u8>> {
    let mut file = WavWriter::new(Cursor::new(Vec::new()), 1, 16_000)?;
    file.write(&vec![0; samples])?;
    Ok(file.finish()?.into_inner())
}

#[test]
fn what_cannot_be_served_is_told_what_where_and_what_to_do() -> Result<()> {
    let engine = Engine::start("unix:./engine.sock")?;
    let no_param = Value::Null;
    let hear = |file: &[u8]| Ask::file(TRANSCRIPTIONS, STT, file);
    let asked = |schema: Value| {
        chat(&json!({"response_format": {
            "type": "json_schema", "json_schema": {"name": "reply", "schema": schema}
        }}))
    };

    let unknown = Ask::file(TRANSCRIPTIONS, "whisper-1", b"");
    refuses(&engine, unknown, 404, json!("model"), &["whisper-1", STT])?;

    let long = json!({"messages": [{"role": "user", "content": "word ".repeat(20_000)}]});
    refuses(
        &engine,
        chat(&long),
        400,
        no_param.clone(),
        &["tokens", "shorten"],
    )?;

    let bytes = Ask::bytes(CHAT, "application/json", b"{\"model\": \"\xff\"}".to_vec());
    refuses(&engine, bytes, 400, no_param.clone(), &["UTF-8", "byte 11"])?;

    // Nothing is both; and what is not there cannot be referred to.
    let none = json!({"allOf": [{"type": "string"}, {"type": "integer"}]});
    refuses(
        &engine,
        asked(none),
        400,
        no_param.clone(),
        &["Unsatisfiable"],
    )?;
    let dangling = json!({"$ref": "#/$defs/nowhere"});
    refuses(&engine, asked(dangling), 400, no_param, &["nowhere"])?;

    let sound = silence(16_000)?;
    let header = &sound[..44];
    refuses(&engine, hear(b""), 400, json!("file"), &["no audio"])?;
    refuses(&engine, hear(header), 400, json!("file"), &["no audio"])?;
    refuses(&engine, hear(&sound[..20]), 400, json!("file"), &["WAV"])?;
    let mut lying = sound.clone();
    lying[20] = 0x55;
    refuses(&engine, hear(&lying), 400, json!("file"), &["WAV"])?;
    let noise = b"fLaC and then nothing that is FLAC";
    refuses(
        &engine,
        hear(noise),
        400,
        json!("file"),
        &["cannot be decoded"],
    )?;
    let ten_minutes = hear(&silence(600 * 16_000)?);
    let told = ["longer than 300 seconds", "parts"];
    refuses(&engine, ten_minutes, 400, json!("file"), &told)?;

    // It is none the worse for it.
    let fine = engine.ask(chat(&json!({"max_completion_tokens": 2})))?;
    ensure!(fine.status == 200);
    Ok(())
}
