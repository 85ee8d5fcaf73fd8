//! A softphone calls in: baresip dials, and what it recorded holds the agent's greeting.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use trunkline_audio::{Wav, tone_dbfs};
use trunkline_tests::{Appliance, Settings, free_udp_port, pause};

struct Baresip(Child);

impl Drop for Baresip {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a softphone that dials at once, plays silence and records both directions.
fn dial(folder: &Path, target: &str) -> Result<Baresip> {
    let silence = folder.join("silence.wav");
    let file = std::fs::File::create(&silence)?;
    let mut wav = trunkline_audio::WavWriter::new(file, 1, 8000)?;
    wav.write(&vec![0; 8000 * 60])?;
    wav.finish()?;
    let modules = "/usr/lib/baresip/modules";
    std::fs::write(
        folder.join("config"),
        format!(
            "sip_listen 127.0.0.1:{}\naudio_source aufile,{}\naudio_player aufile,{}\n\
             module_path {modules}\nmodule g711.so\nmodule aufile.so\nmodule sndfile.so\n\
             module_tmp uuid.so\nmodule_tmp account.so\nmodule_app menu.so\nsnd_path {}\n",
            free_udp_port(),
            silence.display(),
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
    Command::new("kill")
        .args(["-INT", &phone.0.id().to_string()])
        .status()?;
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
