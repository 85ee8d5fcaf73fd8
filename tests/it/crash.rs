//! `kill -9` in the middle of a call, and a polite stop.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use trunkline_audio::Wav;
use trunkline_tests::{Appliance, RtpEnd, RunningCall, Settings, Sipp, pause};

#[test]
fn a_crash_loses_at_most_a_second_of_a_call() -> Result<()> {
    let mut appliance = Appliance::start(&Settings::default())?;
    let call = RunningCall::place(&appliance, "agent_hangs_up.xml")?;
    let answered = Instant::now();
    pause(Duration::from_millis(3500));
    appliance.kill()?;
    let talked = answered.elapsed();
    call.rtp.finish();
    appliance.restart()?;

    let call = appliance
        .calls()?
        .into_iter()
        .next()
        .context("the call is gone")?;
    ensure!(call["end_reason"] == "interrupted", "{call}");
    let path = appliance
        .recording(&call)
        .context("the recording is gone")?;
    let wav = Wav::parse(&std::fs::read(path)?)?;
    let seconds = wav.channel(0).len() as f64 / f64::from(wav.format.sample_rate_hz);
    let lost = talked.as_secs_f64() - seconds;
    ensure!(
        lost < 1.0,
        "{lost:.2} s of {:.2} s are lost",
        talked.as_secs_f64()
    );
    let id = call["id"].as_str().context("no id")?;
    let replayed = appliance.command(&["calls", "replay", id])?;
    ensure!(
        replayed.code == Some(0),
        "{}{}",
        replayed.stdout,
        replayed.stderr
    );
    Ok(())
}

#[test]
fn a_stop_ends_running_calls_with_a_reason() -> Result<()> {
    let mut appliance = Appliance::start(&Settings::default())?;
    let call = RunningCall::place(&appliance, "agent_hangs_up.xml")?;
    let code = appliance.terminate()?;
    ensure!(code == Some(0), "stopped with {code:?}");
    call.end()?;
    let call = appliance
        .calls()?
        .into_iter()
        .next()
        .context("the call is gone")?;
    ensure!(call["end_reason"] == "shut_down", "{call}");
    Ok(())
}

#[test]
fn the_log_of_a_call_replays() -> Result<()> {
    let appliance = Appliance::start(&Settings::default())?;
    let rtp = RtpEnd::start(1000.0)?;
    let caller = Sipp::caller("plain_call.xml", appliance.sip_port())?;
    caller.key("rtp_port", rtp.port()).play()?;
    let call = appliance.ended_call()?;
    let id = call["id"].as_str().context("no id")?;
    let replayed = appliance.command(&["calls", "replay", id])?;
    ensure!(
        replayed.code == Some(0),
        "{}{}",
        replayed.stdout,
        replayed.stderr
    );
    Ok(())
}
