//! Audio both ways, checked by signal, with one call and with twenty.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use trunkline_audio::{Wav, tone_dbfs};
use trunkline_tests::{Appliance, RtpEnd, Settings, Sipp, program, run};

#[test]
fn the_recording_has_the_caller_left_and_the_agent_right() -> Result<()> {
    let appliance = Appliance::start(&Settings::default())?;
    let rtp = RtpEnd::start(1000.0)?;
    let caller = Sipp::caller("plain_call.xml", appliance.sip_port())?;
    caller.key("rtp_port", rtp.port()).play()?;
    let call = appliance.ended_call()?;
    let path = appliance.recording(&call).context("no recording")?;
    let wav = Wav::parse(&std::fs::read(path)?)?;
    ensure!(wav.format.channels == 2);
    let rate = wav.format.sample_rate_hz;
    let loudest = |channel: u16, hz: f64| {
        wav.channel(channel)
            .chunks_exact(3200)
            .map(|window| tone_dbfs(window, hz, rate))
            .fold(f64::NEG_INFINITY, f64::max)
    };
    ensure!(
        loudest(0, 1000.0) > -20.0,
        "left lacks the caller: {}",
        loudest(0, 1000.0)
    );
    ensure!(
        loudest(1, 440.0) > -20.0,
        "right lacks the agent: {}",
        loudest(1, 440.0)
    );
    ensure!(loudest(0, 440.0) < -40.0, "the agent is heard on the left");
    ensure!(
        loudest(1, 1000.0) < -40.0,
        "the caller is heard on the right"
    );
    Ok(())
}

#[test]
fn twenty_calls_at_once_have_audio_both_ways_and_none_leaks() -> Result<()> {
    let appliance = Appliance::start(&Settings::default())?;
    let load = run(Command::new(program("trunkline-caller")?).args([
        "load",
        "--to",
        &format!("sip:demo@127.0.0.1:{}", appliance.sip_port()),
        "--calls",
        "20",
        "--rate",
        "20",
        "--seconds",
        "4",
    ]))?;
    ensure!(load.code == Some(0), "{}{}", load.stdout, load.stderr);
    for _ in 0..100 {
        if appliance.active_calls()? == 0.0 {
            break;
        }
    }
    let calls = appliance.calls()?;
    ensure!(calls.len() == 20, "{} calls are stored", calls.len());
    for call in &calls {
        let path = appliance
            .recording(call)
            .context("a call has no recording")?;
        let wav = Wav::parse(&std::fs::read(path)?)?;
        let loud = |channel: u16| trunkline_audio::peak_dbfs(&wav.channel(channel)) > -30.0;
        ensure!(loud(0) && loud(1), "one side of a call is silent: {call}");
    }
    ensure!(appliance.active_calls()? == 0.0, "a call leaks");
    Ok(())
}
