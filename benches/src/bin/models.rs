//! How fast the starter models compute on this machine.
//!
//! `peers` compares the language model with others; here stand its figures alone. Speech is measured as real-time factor: seconds of
//! computation per second of audio. Expects the starter models on the disk, and `flite`.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use trunkline_audio::Wav;
use trunkline_benches::{Better, Report, repository_root};
use trunkline_nn::{
    Chat, ENVIRONMENT, GenerateOptions, Llama, Message, Role, Step, Whisper, WhisperOptions, cpu,
    environment_is_set,
};

/// Looked for in the models folder; the first that is there is measured.
const LANGUAGE_MODELS: [&str; 2] = ["smollm2-135m", "smollm2-135m-instruct"];

/// Replies are cut here, so that every run decodes about as much.
const REPLY_TOKENS: usize = 64;

/// The best of so many runs counts: whatever else runs on the machine only ever slows it down.
const RUNS: usize = 3;

const SPOKEN: &str = "Thank you for calling. We are open from eight until six, Monday to Friday. \
     How can I help you today?";

fn main() -> anyhow::Result<()> {
    if !environment_is_set() {
        let environment = ENVIRONMENT.iter().copied();
        let failed = Command::new(std::env::current_exe()?)
            .envs(environment)
            .exec();
        return Err(failed).context("the bench cannot start itself with the variables it needs");
    }
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
    let folder = language_model()?;
    let model = Llama::load(&folder, &cpu())?;
    let ours = language_speed(model, RUNS)?;
    let higher = Better::Higher;
    report.add("llm_prefill_tok_s", ours.prefill, "tok/s", 300.0, higher);
    report.add("llm_decode_tok_s", ours.decode, "tok/s", 60.0, higher);
    Ok(())
}

fn language_model() -> anyhow::Result<PathBuf> {
    let models = trunkline_engine::default_models_dir();
    LANGUAGE_MODELS
        .iter()
        .map(|name| models.join(name))
        .find(|folder| folder.is_dir())
        .with_context(|| {
            let name = LANGUAGE_MODELS[0];
            format!(
                "{} has no {name}: run `trunkline models pull {name}`",
                models.display()
            )
        })
}

fn language_speed(model: Llama, runs: usize) -> anyhow::Result<Speed> {
    let model = Arc::new(model);
    let mut best = Speed::default();
    for run in 0..runs {
        let speed = one_reply(&model, run)?;
        best.prefill = best.prefill.max(speed.prefill);
        best.decode = best.decode.max(speed.decode);
    }
    Ok(best)
}

/// A prompt as long as a front desk's, and a reply. `run` makes each prompt another one.
fn one_reply(model: &Arc<Llama>, run: usize) -> anyhow::Result<Speed> {
    let hours = "The clinic is open from eight until six, and the pharmacy until seven. ";
    let message = |role, content: String| Message { role, content };
    let conversation = [
        message(Role::System, format!("Run {run}. {}", hours.repeat(12))),
        message(Role::User, "Tell me a long story about the sea.".to_owned()),
    ];
    let options = GenerateOptions {
        max_tokens: REPLY_TOKENS,
        ..GenerateOptions::default()
    };
    let mut chat = Chat::new(Arc::clone(model), 1)?;
    let mut reply = chat.generate(&conversation, &options)?;
    let start = Instant::now();
    let mut first = None;
    let usage = loop {
        match reply.step()? {
            Step::Quiet => {}
            Step::Text(_) => {
                first.get_or_insert_with(|| start.elapsed());
            }
            Step::Done(usage) => break usage,
        }
    };
    let Some(first) = first else {
        bail!("the model replied with nothing");
    };
    let rest = start.elapsed().saturating_sub(first);
    Ok(Speed {
        prefill: usage.prompt_tokens as f64 / first.as_secs_f64(),
        decode: usage.reply_tokens.saturating_sub(1) as f64 / rest.as_secs_f64(),
    })
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
