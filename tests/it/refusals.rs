//! Calls that are refused, each with the right code, and strangers, who hear nothing.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Result, ensure};
use trunkline_tests::{Appliance, RunningCall, Settings, Sipp, free_udp_port};

fn refused(scenario: &str) -> Result<()> {
    let appliance = Appliance::start(&Settings::default())?;
    Sipp::caller(scenario, appliance.sip_port())?
        .key("rtp_port", free_udp_port())
        .play()?;
    ensure!(
        appliance.calls()?.is_empty(),
        "a refused call leaves no record of a call"
    );
    ensure!(appliance.active_calls()? == 0.0);
    Ok(())
}

#[test]
fn a_number_without_a_workflow_is_not_found() -> Result<()> {
    refused("unknown_number.xml")
}

#[test]
fn a_call_without_a_common_codec_is_not_acceptable() -> Result<()> {
    refused("wrong_codec.xml")
}

#[test]
fn a_call_that_asks_for_srtp_is_not_acceptable() -> Result<()> {
    refused("secure_media.xml")
}

#[test]
fn an_extension_that_nobody_knows_is_named() -> Result<()> {
    refused("unknown_extension.xml")
}

#[test]
fn a_session_interval_that_is_too_small_is_told_the_least() -> Result<()> {
    refused("session_too_small.xml")
}

#[test]
fn over_capacity_says_when_to_try_again() -> Result<()> {
    let sip = "max_calls = 1\nretry_after_s = 7".to_owned();
    let appliance = Appliance::start(&Settings {
        sip,
        ..Settings::default()
    })?;
    let first = RunningCall::place(&appliance, "plain_call.xml")?;
    Sipp::caller("at_capacity.xml", appliance.sip_port())?
        .key("rtp_port", free_udp_port())
        .play()?;
    first.end()?;
    Ok(())
}

#[test]
fn a_stranger_hears_nothing() -> Result<()> {
    let trunks = "[[trunk]]\nname = \"carrier\"\npeers = [\"127.0.0.2\"]\n".to_owned();
    let appliance = Appliance::start(&Settings {
        trunks,
        ..Settings::default()
    })?;
    let stranger = UdpSocket::bind("127.0.0.1:0")?;
    stranger.set_read_timeout(Some(Duration::from_millis(700)))?;
    let from = stranger.local_addr()?;
    for message in [
        request("INVITE", from),
        request("OPTIONS", from),
        "\0garbage\r\n\r\n".into(),
    ] {
        stranger.send_to(message.as_bytes(), ("127.0.0.1", appliance.sip_port()))?;
        let mut answer = [0; 2048];
        let heard = stranger.recv(&mut answer);
        ensure!(
            heard.is_err(),
            "an answer: {:?}",
            String::from_utf8_lossy(&answer)
        );
    }
    ensure!(appliance.calls()?.is_empty());
    ensure!(
        appliance
            .get("/metrics")?
            .contains("trunkline_sip_strangers_total")
    );
    Ok(())
}

fn request(method: &str, from: SocketAddr) -> String {
    format!(
        "{method} sip:demo@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK-{method}\r\n\
         From: <sip:x@{from}>;tag=1\r\nTo: <sip:demo@127.0.0.1>\r\nCall-ID: {method}@{from}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:x@{from}>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
}
