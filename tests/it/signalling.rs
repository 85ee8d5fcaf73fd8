//! Calls of a SIP trunk, behaviour by behaviour. The far end is SIPp, its steps are in
//! tests/sipp.

use anyhow::{Context, Result, ensure};
use trunkline_tests::{Appliance, RtpEnd, Settings, Sipp};

/// Plays a scenario with audio beside it and gives what the caller heard of the agent.
fn call(settings: &Settings, scenario: &str) -> Result<(Appliance, f64)> {
    let appliance = Appliance::start(settings)?;
    let rtp = RtpEnd::start(1000.0)?;
    // SIPp would else sign a URI without the user, which is not the one that it asks for.
    let signed = format!("demo@127.0.0.1:{}", appliance.sip_port());
    Sipp::caller(scenario, appliance.sip_port())?
        .key("rtp_port", rtp.port())
        .args(&["-auth_uri", &signed])
        .play()?;
    let heard = rtp.finish();
    Ok((appliance, heard.loudest_dbfs(440.0)))
}

fn ends_well(settings: &Settings, scenario: &str, reason: &str) -> Result<()> {
    let (appliance, agent_dbfs) = call(settings, scenario)?;
    ensure!(
        agent_dbfs > -30.0,
        "the caller does not hear the agent: {agent_dbfs} dBFS"
    );
    let ended = appliance.ended_call()?;
    ensure!(ended["end_reason"] == reason, "{ended}");
    ensure!(appliance.calls()?.len() == 1, "one call is one call");
    ensure!(appliance.active_calls()? == 0.0, "a call leaks");
    Ok(())
}

#[test]
fn a_plain_call_is_answered_and_ended_by_the_caller() -> Result<()> {
    ends_well(&Settings::default(), "plain_call.xml", "caller_hung_up")
}

#[test]
fn a_call_leaves_its_figures_in_the_metrics() -> Result<()> {
    let (appliance, _) = call(&Settings::default(), "plain_call.xml")?;
    appliance.ended_call()?;
    let page = appliance.get("/metrics")?;
    let value = |series: &str| -> Result<f64> {
        let line = page.lines().find(|line| line.starts_with(series));
        let value = line.and_then(|line| line.split_whitespace().last());
        Ok(value
            .with_context(|| format!("no {series} in {page}"))?
            .parse()?)
    };
    for counted_once in [
        "trunkline_calls_total{",
        "trunkline_call_setup_ms_count",
        "trunkline_call_duration_seconds_count",
        "trunkline_sip_requests_total{method=\"INVITE\"}",
        "trunkline_sip_requests_total{method=\"BYE\"}",
    ] {
        ensure!(value(counted_once)? == 1.0, "{counted_once} in {page}");
    }
    ensure!(
        value("trunkline_sip_responses_total{status=\"200\"}")? == 2.0,
        "{page}"
    );
    ensure!(value("trunkline_turns_total")? >= 1.0, "{page}");
    // The greeting and the question last longer than two seconds.
    for stream in ["received", "sent"] {
        let packets = value(&format!("trunkline_rtp_packets_{stream}_total"))?;
        ensure!(packets > 50.0, "{stream}: {packets}");
    }
    ensure!(value("trunkline_media_legs")? == 0.0, "{page}");
    Ok(())
}

#[test]
fn hold_is_answered_with_recvonly_and_resume_brings_audio_back() -> Result<()> {
    ends_well(
        &Settings::default(),
        "hold_and_resume.xml",
        "caller_hung_up",
    )
}

#[test]
fn a_reinvite_may_change_the_codec() -> Result<()> {
    ends_well(&Settings::default(), "codec_change.xml", "caller_hung_up")
}

#[test]
fn an_offer_may_come_late() -> Result<()> {
    ends_well(&Settings::default(), "delayed_offer.xml", "caller_hung_up")
}

#[test]
fn a_late_ack_is_waited_for() -> Result<()> {
    ends_well(&Settings::default(), "late_ack.xml", "caller_hung_up")
}

#[test]
fn a_repeated_invite_is_one_call() -> Result<()> {
    ends_well(
        &Settings::default(),
        "repeated_invite.xml",
        "caller_hung_up",
    )
}

#[test]
fn the_session_is_refreshed_before_it_expires() -> Result<()> {
    let sip = "session_expires_s = 4\nmin_session_expires_s = 2".to_owned();
    ends_well(
        &Settings {
            sip,
            ..Settings::default()
        },
        "session_timer.xml",
        "caller_hung_up",
    )
}

#[test]
fn a_caller_may_give_up_before_the_answer() -> Result<()> {
    let (appliance, _) = call(&Settings::default(), "cancel.xml")?;
    let ended = appliance.ended_call()?;
    ensure!(ended["end_reason"] == "cancelled", "{ended}");
    ensure!(ended["answered_us"].is_null(), "{ended}");
    Ok(())
}

#[test]
fn a_caller_who_vanishes_is_hung_up_on() -> Result<()> {
    let appliance = Appliance::start(&Settings {
        media: "rtp_timeout_s = 1".to_owned(),
        ..Settings::default()
    })?;
    // Nobody listens on this port and nothing is ever sent from it.
    let caller = Sipp::caller("vanishes.xml", appliance.sip_port())?;
    caller
        .key("rtp_port", trunkline_tests::free_udp_port())
        .play()?;
    let ended = appliance.ended_call()?;
    ensure!(ended["end_reason"] == "media_timeout", "{ended}");
    Ok(())
}

#[test]
fn a_trunk_with_credentials_challenges_and_lets_the_right_ones_in() -> Result<()> {
    let password = password_file()?;
    ends_well(
        &with_credentials(password.path()),
        "digest.xml",
        "caller_hung_up",
    )
}

#[test]
fn wrong_credentials_stay_outside() -> Result<()> {
    let password = password_file()?;
    let (appliance, _) = call(&with_credentials(password.path()), "digest_wrong.xml")?;
    ensure!(appliance.calls()?.is_empty(), "no call comes of it");
    Ok(())
}

fn password_file() -> Result<tempfile::NamedTempFile> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), "s3cret\n")?;
    Ok(file)
}

fn with_credentials(password: &std::path::Path) -> Settings {
    let trunks = format!(
        "[[trunk]]\nname = \"pbx\"\npeers = [\"127.0.0.0/8\"]\ninbound_md5_only = true\n\
         [trunk.inbound_auth]\nusername = \"pbx\"\npassword_file = {password:?}\n"
    );
    Settings {
        trunks,
        ..Settings::default()
    }
}

#[test]
fn options_are_answered_with_what_is_supported() -> Result<()> {
    let appliance = Appliance::start(&Settings::default())?;
    Sipp::caller("options.xml", appliance.sip_port())?.play()
}

#[test]
fn a_call_by_tcp_is_a_call() -> Result<()> {
    let appliance = Appliance::start(&Settings::default())?;
    let rtp = RtpEnd::start(1000.0)?;
    let caller = Sipp::caller("plain_call.xml", appliance.sip_port())?;
    caller
        .key("rtp_port", rtp.port())
        .args(&["-t", "t1"])
        .play()?;
    let agent_dbfs = rtp.finish().loudest_dbfs(440.0);
    ensure!(agent_dbfs > -30.0, "{agent_dbfs} dBFS");
    Ok(())
}
