//! How fast the starter models compute on this machine.
//!
//! `peers` compares the language model with others; here stand its figures alone. Speech is measured as real-time factor: seconds of
//! computation per second of audio. Expects the starter models on the disk, and `flite`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use trunkline_audio::Wav;
use trunkline_benches::{Better, Report, repository_root, with_environment};
use trunkline_engine::{Catalog, LlamaChat, ModelStore};
use trunkline_inference::{
    ChatDelta, ChatMessage, ChatModel as _, ChatRequest, ChatStream, Urgency,
};
use trunkline_nn::{Whisper, WhisperOptions, cpu};

const LANGUAGE_MODEL: &str = "smollm2-135m";

/// Replies are cut here, so that every run decodes about as much.
const REPLY_TOKENS: usize = 64;

/// The best of so many runs counts: whatever else runs on the machine only ever slows it down.
const RUNS: usize = 3;

const SPOKEN: &str = "Thank you for calling. We are open from eight until six, Monday to Friday. \
     How can I help you today?";

fn main() -> anyhow::Result<()> {
    with_environment()?;
    let mut report = Report::new("models");
    measure_language(&mut report)?;
    measure_hearing(&mut report)?;
    measure_speaking(&mut report)?;
    report.finish()?;
    Ok(())
}

/// Tokens per second.
#[derive(Clone, Copy, Default)]
struct Speed {
    prefill: f64,
    decode: f64,
}

fn measure_language(report: &mut Report) -> anyhow::Result<()> {
    let models = trunkline_engine::default_models_dir();
    let store = ModelStore::open(&models, Catalog::embedded()?)?;
    let chat = LlamaChat::load(&store.locate(LANGUAGE_MODEL)?)?;
    let mut best = Speed::default();
    for run in 0..RUNS {
        let speed = one_reply(&chat, run)?;
        best.prefill = best.prefill.max(speed.prefill);
        best.decode = best.decode.max(speed.decode);
    }
    let higher = Better::Higher;
    report.add("llm_prefill_tok_s", best.prefill, "tok/s", 300.0, higher);
    report.add("llm_decode_tok_s", best.decode, "tok/s", 60.0, higher);
    measure_anticipation(&chat, report)
}

/// What a caller asks, as it becomes known while it is said.
const PARTIALS: [&str; 5] = [
    "I would like to know whether",
    "I would like to know whether there is any parking near",
    "I would like to know whether there is any parking near the clinic, because my mother",
    "I would like to know whether there is any parking near the clinic, because my mother cannot \
     walk very far and",
    "I would like to know whether there is any parking near the clinic, because my mother cannot \
     walk very far and we have to come by car on Friday",
];

/// Time to the first token of a reply whose question was computed while it was said, against one
/// where nothing was, the beginning of the prompt being known in both.
fn measure_anticipation(chat: &LlamaChat, report: &mut Report) -> anyhow::Result<()> {
    let (mut cold, mut ahead) = (Duration::MAX, Duration::MAX);
    for run in 0..RUNS {
        cold = cold.min(first_token(chat, 2 * run, false)?);
        ahead = ahead.min(first_token(chat, 2 * run + 1, true)?);
    }
    let millis = |span: Duration| span.as_secs_f64() * 1000.0;
    let lower = Better::Lower;
    report.add("llm_question_ttft_ms", millis(cold), "ms", None, lower);
    report.add("anticipated_ttft_ms", millis(ahead), "ms", None, lower);
    let ratio = cold.as_secs_f64() / ahead.as_secs_f64();
    report.add("anticipated_ttft_ratio", ratio, "x", 2.0, Better::Higher);
    Ok(())
}

fn first_token(chat: &LlamaChat, run: usize, anticipates: bool) -> anyhow::Result<Duration> {
    let hours = "The clinic is open from eight until six, and the pharmacy until seven. ";
    let system = ChatMessage::system(format!("Question {run}. {}", hours.repeat(8)));
    let said = |words: &str| vec![system.clone(), ChatMessage::user(words)];
    // The beginning is known, as that of a workflow is.
    let short = |words: &str, urgency| ChatRequest {
        messages: said(words),
        max_tokens: 1,
        urgency,
        ..ChatRequest::default()
    };
    whole_reply(chat, short("Hello.", Urgency::TurnCritical))?;
    let mut expected = anticipates.then(|| chat.anticipate());
    if let Some(expected) = &mut expected {
        for partial in PARTIALS {
            expected.expect(&said(partial));
            // Behind it in the queue: when this is answered, the partial is computed.
            whole_reply(chat, short("Hello.", Urgency::Background))?;
        }
    }
    let question = format!("{}.", PARTIALS[PARTIALS.len() - 1]);
    let mut stream = chat.generate(short(&question, Urgency::TurnCritical))?;
    drop(expected);
    first_token_of(&mut stream)
}

fn whole_reply(chat: &LlamaChat, request: ChatRequest) -> anyhow::Result<()> {
    first_token_of(&mut chat.generate(request)?)?;
    Ok(())
}

fn first_token_of(reply: &mut ChatStream) -> anyhow::Result<Duration> {
    loop {
        match reply.deltas.blocking_recv() {
            Some(ChatDelta::Done { first_token, .. }) => return Ok(first_token),
            Some(ChatDelta::Failed(error)) => return Err(error.into()),
            Some(_) => {}
            None => bail!("the reply just ended"),
        }
    }
}

/// A prompt as long as a front desk's, and a reply. `run` makes each prompt another one.
fn one_reply(chat: &LlamaChat, run: usize) -> anyhow::Result<Speed> {
    let hours = "The clinic is open from eight until six, and the pharmacy until seven. ";
    let mut reply = chat.generate(ChatRequest {
        messages: vec![
            ChatMessage::system(format!("Run {run}. {}", hours.repeat(12))),
            ChatMessage::user("Tell me a long story about the sea."),
        ],
        max_tokens: REPLY_TOKENS,
        ..ChatRequest::default()
    })?;
    loop {
        match reply.deltas.blocking_recv() {
            Some(ChatDelta::Done {
                prompt_tokens,
                reply_tokens,
                first_token,
                compute,
                ..
            }) => {
                let rest = compute.saturating_sub(first_token);
                return Ok(Speed {
                    prefill: prompt_tokens as f64 / first_token.as_secs_f64(),
                    decode: reply_tokens.saturating_sub(1) as f64 / rest.as_secs_f64(),
                });
            }
            Some(ChatDelta::Failed(error)) => return Err(error.into()),
            Some(_) => {}
            None => bail!("the reply just ended"),
        }
    }
}

/// The starter recogniser on its own clips.
fn measure_hearing(report: &mut Report) -> anyhow::Result<()> {
    let folder = repository_root().join("models/starter/whisper-starter");
    let whisper = Whisper::load(&folder, &cpu())?;
    let clips = clips(&folder.join("clips/golden16k"))?;
    let heard: f64 = clips.iter().map(|pcm| pcm.len() as f64 / 16_000.0).sum();
    let options = WhisperOptions {
        language: Some("en".to_owned()),
        full_window: false,
        ..WhisperOptions::default()
    };
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        for pcm in &clips {
            whisper.transcribe(pcm, &options)?;
        }
        best = best.min(start.elapsed());
    }
    let factor = best.as_secs_f64() / heard;
    report.add("whisper_rtf", factor, "x", 0.15, Better::Lower);
    Ok(())
}

/// Every clip of a folder, -1 to 1 at 16 kHz.
fn clips(folder: &Path) -> anyhow::Result<Vec<Vec<f32>>> {
    let mut clips = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == "wav") {
            let wav = read_wav(&path)?;
            let samples = wav.mono_at(16_000)?.into_iter();
            clips.push(samples.map(|s| f32::from(s) / 32_768.0).collect());
        }
    }
    if clips.is_empty() {
        bail!("{} has no clips", folder.display());
    }
    Ok(clips)
}

/// The voice, started anew for each clause as the product does.
fn measure_speaking(report: &mut Report) -> anyhow::Result<()> {
    let file = tempfile::Builder::new().suffix(".wav").tempfile()?;
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        let status = Command::new("flite")
            .args(["-voice", "slt", "-t", SPOKEN, "-o"])
            .arg(file.path())
            .status()
            .context("cannot start flite (Debian package flite)")?;
        if !status.success() {
            bail!("flite failed: {status}");
        }
        best = best.min(start.elapsed());
    }
    let wav = read_wav(file.path())?;
    let spoken = wav.samples.len() as f64 / f64::from(wav.format.sample_rate_hz);
    let factor = best.as_secs_f64() / spoken;
    report.add("tts_rtf", factor, "x", 0.2, Better::Lower);
    Ok(())
}

fn read_wav(file: &Path) -> anyhow::Result<Wav> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Wav::parse(&bytes).with_context(|| format!("{} is no WAV file", file.display()))
}
