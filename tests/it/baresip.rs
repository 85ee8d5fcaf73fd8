//! A softphone calls in: baresip dials, and what it recorded holds the agent's greeting.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use trunkline_audio::{Wav, WavWriter, resample, tone_dbfs};
use trunkline_tests::{Appliance, Settings, Signal, free_udp_port, pause, run, signal};

static SILENCE: [i16; 8000 * 60] = [0; 8000 * 60];

struct Baresip(Child);

impl Drop for Baresip {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a softphone that dials at once, plays this at 8 kHz and records both directions.
fn dial(folder: &Path, target: &str, pcm: &[i16]) -> Result<Baresip> {
    let spoken = folder.join("spoken.wav");
    let file = std::fs::File::create(&spoken)?;
    let mut wav = WavWriter::new(file, 1, 8000)?;
    wav.write(pcm)?;
    wav.finish()?;
    let modules = "/usr/lib/baresip/modules";
    std::fs::write(
        folder.join("config"),
        format!(
            "sip_listen 127.0.0.1:{}\naudio_source aufile,{}\naudio_player aufile,{}\n\
             module_path {modules}\nmodule g711.so\nmodule aufile.so\nmodule sndfile.so\n\
             module_tmp uuid.so\nmodule_tmp account.so\nmodule_app menu.so\nsnd_path {}\n",
            free_udp_port(),
            spoken.display(),
            folder.join("played.wav").display(),
            folder.display(),
        ),
    )?;
    std::fs::write(
        folder.join("accounts"),
        "<sip:phone@127.0.0.1>;regint=0;answermode=manual\n",
    )?;
    let child = Command::new("baresip")
        .args([
            "-f".as_ref(),
            folder.as_os_str(),
            "-e".as_ref(),
            format!("/dial {target}").as_ref(),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start baresip")?;
    Ok(Baresip(child))
}

/// The audio that the softphone decoded.
fn decoded(folder: &Path) -> Result<Wav> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name.starts_with("dump-") && name.ends_with("-dec.wav") {
            return Ok(Wav::parse(&std::fs::read(path)?)?);
        }
    }
    bail!("the softphone recorded nothing")
}

#[test]
fn a_softphone_hears_the_greeting() -> Result<()> {
    let appliance = Appliance::start(&Settings::default())?;
    let folder = tempfile::tempdir()?;
    let phone = dial(
        folder.path(),
        &format!("sip:demo@127.0.0.1:{}", appliance.sip_port()),
        &SILENCE,
    )?;
    for _ in 0..50 {
        if appliance.active_calls()? > 0.0 {
            break;
        }
        pause(Duration::from_millis(100));
    }
    ensure!(
        appliance.active_calls()? > 0.0,
        "the softphone does not get through"
    );
    pause(Duration::from_secs(3));
    signal(&phone.0, Signal::INT)?;
    let call = appliance.ended_call()?;
    ensure!(call["end_reason"] == "caller_hung_up", "{call}");
    drop(phone);
    let heard = decoded(folder.path())?;
    let rate = heard.format.sample_rate_hz;
    let loudest = heard
        .channel(0)
        .chunks_exact(1600)
        .map(|window| tone_dbfs(window, 440.0, rate))
        .fold(f64::NEG_INFINITY, f64::max);
    ensure!(
        loudest > -25.0,
        "the greeting is not in what the softphone heard: {loudest} dBFS"
    );
    Ok(())
}

/// What a synthetic voice says after so long a silence, then silence.
fn speak(text: &str, after: Duration) -> Result<Vec<i16>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("speech.wav");
    let flite = run(Command::new("flite")
        .args(["-voice", "slt", "-t", text, "-o"])
        .arg(&file))?;
    ensure!(flite.code == Some(0), "flite: {}", flite.stderr);
    let wav = Wav::parse(&std::fs::read(&file)?)?;
    let speech = resample(&wav.channel(0), wav.format.sample_rate_hz, 8000)?;
    let mut pcm = vec![0; usize::try_from(after.as_millis())? * 8];
    pcm.extend(speech);
    pcm.extend(SILENCE);
    Ok(pcm)
}

/// The speech models of the starter profile listen and speak; the answer to each question is the
/// first that there is, so the language model need not be installed here.
#[test]
fn a_softphone_holds_a_conversation() -> Result<()> {
    let models = std::path::absolute("../models/starter")?;
    let appliance = Appliance::start(&Settings {
        node: format!("models_dir = {models:?}"),
        models: "[models]\nstt = \"whisper-starter\"\nllm = \"instant\"\ntts = \"flite\"\n"
            .to_owned(),
        ..Settings::default()
    })?;
    let folder = tempfile::tempdir()?;
    let request = "I would like to book an appointment with doctor patel please.";
    let phone = dial(
        folder.path(),
        &format!("sip:demo@127.0.0.1:{}", appliance.sip_port()),
        &speak(request, Duration::from_secs(9))?,
    )?;
    let mut said = String::new();
    for _ in 0..250 {
        pause(Duration::from_millis(100));
        said = transcript(&appliance)?;
        if said.contains("patient number") {
            break;
        }
    }
    drop(phone);
    ensure!(said.contains("doctor patel please"), "heard: {said}");
    ensure!(said.contains("patient number"), "answered: {said}");
    Ok(())
}

/// What both sides of the only call have said so far, one line each.
fn transcript(appliance: &Appliance) -> Result<String> {
    let Some(call) = appliance.calls()?.into_iter().next() else {
        return Ok(String::new());
    };
    let id = call["id"].as_str().context("no id")?;
    let shown: Value = serde_json::from_str(&appliance.get(&format!("/v1/calls/{id}"))?)?;
    let lines = shown["transcript"].as_array().context("no transcript")?;
    let texts: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["text"].as_str())
        .collect();
    Ok(texts.join("\n"))
}
