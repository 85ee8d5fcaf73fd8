//! Calls that the appliance places.

use anyhow::{Result, ensure};
use trunkline_tests::{Appliance, RtpEnd, Settings, Sipp, free_udp_port};

fn to(port: u16) -> Settings {
    let trunks = format!(
        "[[trunk]]\nname = \"carrier\"\npeers = [\"127.0.0.0/8\"]\nproxy = \"127.0.0.1:{port}\"\n"
    );
    Settings {
        trunks,
        ..Settings::default()
    }
}

#[test]
fn the_phone_of_a_fork_that_answers_gets_the_call() -> Result<()> {
    let (early, answered) = (RtpEnd::start(700.0)?, RtpEnd::start(1000.0)?);
    let callee = Sipp::callee("forked_early_media.xml")?
        .key("early_port", early.port())
        .key("rtp_port", answered.port());
    let appliance = Appliance::start(&to(callee.port()))?;
    let peer = callee.play_beside();
    let placed = appliance.command(&["call", "5551000", "--workflow", "front-desk"])?;
    ensure!(placed.code == Some(0), "{}{}", placed.stdout, placed.stderr);
    peer.join()
        .map_err(|_| anyhow::anyhow!("the far end failed"))??;
    let heard = answered.finish().loudest_dbfs(440.0);
    ensure!(
        heard > -30.0,
        "the phone that answered does not hear the agent: {heard} dBFS"
    );
    let ended = appliance.ended_call()?;
    ensure!(
        ended["end_reason"] == "caller_hung_up" && ended["direction"] == "outbound",
        "{ended}"
    );
    Ok(())
}

#[test]
fn a_busy_far_end_is_a_refused_call() -> Result<()> {
    let callee = Sipp::callee("busy.xml")?.key("rtp_port", free_udp_port());
    let appliance = Appliance::start(&to(callee.port()))?;
    let peer = callee.play_beside();
    appliance.command(&["call", "5551000", "--workflow", "front-desk"])?;
    peer.join()
        .map_err(|_| anyhow::anyhow!("the far end failed"))??;
    let ended = appliance.ended_call()?;
    ensure!(ended["end_reason"] == "refused", "{ended}");
    ensure!(
        ended["end_detail"]
            .as_str()
            .is_some_and(|d| d.contains("486")),
        "{ended}"
    );
    Ok(())
}
