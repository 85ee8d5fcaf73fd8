//! Two gateways, one calling the other.

use trunkline_leg::RejectReason;
use trunkline_types::CallDirection;

use super::*;

/// Sets a call up between two gateways and returns both legs.
async fn connected(desk: &mut Side, caller: &Side) -> (CallLeg, CallLeg) {
    let mut out = caller.dial("4000").await;
    let mut inn = desk.next_call().await;
    command(&inn, SignallingCommand::Ring);
    assert_eq!(event(&mut out).await, LegEvent::Ringing);
    command(&inn, SignallingCommand::Answer);
    assert_eq!(codec(&mut out).await, "PCMU/8000");
    assert_eq!(codec(&mut inn).await, "PCMU/8000");
    (out, inn)
}

#[tokio::test]
async fn a_call_is_answered_and_the_caller_hangs_up() {
    for transport in ["udp", "tcp"] {
        let mut desk = Side::desk().await;
        let caller = Side::caller(&desk, transport, "").await;
        let (mut out, mut inn) = connected(&mut desk, &caller).await;
        assert_eq!(inn.info.direction, CallDirection::Inbound);
        assert_eq!(inn.info.from, "+15550100");
        assert_eq!(inn.info.to.as_str(), "4000");
        assert_eq!(
            (inn.info.trunk.as_str(), inn.info.workflow.as_str()),
            ("peer", "desk")
        );
        assert_eq!(inn.info.carrier_call_id, out.info.carrier_call_id);
        hang_up(&out);
        assert_eq!(ended(&mut out).await, (EndReason::WorkflowEnded, None));
        let (reason, detail) = ended(&mut inn).await;
        assert_eq!(reason, EndReason::CallerHungUp, "{transport}");
        assert!(detail.unwrap().contains("cause=16"));
        desk.idle().await;
        caller.idle().await;
        caller.gateway.shutdown().await;
        desk.gateway.shutdown().await;
    }
}

#[tokio::test]
async fn the_answering_side_may_hang_up_too_and_a_dropped_leg_hangs_up() {
    let mut desk = Side::desk().await;
    let caller = Side::caller(&desk, "udp", "").await;
    let (mut out, mut inn) = connected(&mut desk, &caller).await;
    hang_up(&inn);
    assert_eq!(ended(&mut out).await.0, EndReason::CallerHungUp);
    assert_eq!(ended(&mut inn).await.0, EndReason::WorkflowEnded);
    let (mut out, inn) = connected(&mut desk, &caller).await;
    drop(inn);
    assert_eq!(ended(&mut out).await.0, EndReason::CallerHungUp);
    desk.idle().await;
}

#[tokio::test]
async fn ticks_of_both_sides_follow_the_answer() {
    let mut desk = Side::desk().await;
    let caller = Side::caller(&desk, "udp", "").await;
    let (mut out, mut inn) = connected(&mut desk, &caller).await;
    for leg in [&mut out, &mut inn] {
        let next = within(leg.events.recv()).await;
        assert!(matches!(next, Some(LegEvent::Tick(_))), "{next:?}");
    }
}

#[tokio::test]
async fn hanging_up_while_it_rings_cancels() {
    let mut desk = Side::desk().await;
    let caller = Side::caller(&desk, "udp", "").await;
    let mut out = caller.dial("4000").await;
    let mut inn = desk.next_call().await;
    command(&inn, SignallingCommand::Ring);
    assert_eq!(event(&mut out).await, LegEvent::Ringing);
    hang_up(&out);
    assert_eq!(ended(&mut inn).await.0, EndReason::Cancelled);
    assert_eq!(ended(&mut out).await.0, EndReason::WorkflowEnded);
    desk.idle().await;
    caller.idle().await;
}

#[tokio::test]
async fn a_call_that_nobody_answers_is_given_up() {
    let mut desk = Side::desk().await;
    let proxy = desk.udp();
    let trunk = format!("[[trunk]]\nname = \"out\"\nproxy = \"{proxy}\"\n");
    let caller = Side::start("ring_timeout_s = 1", &trunk).await;
    let mut out = caller.dial("4000").await;
    let mut inn = desk.next_call().await;
    let (reason, detail) = ended(&mut out).await;
    assert_eq!(reason, EndReason::NoAnswer);
    assert_eq!(detail.as_deref(), Some("it rang for 1 s"));
    assert_eq!(ended(&mut inn).await.0, EndReason::Cancelled);
}

#[tokio::test]
async fn each_refusal_reaches_the_caller_with_its_code() {
    let mut desk = Side::desk().await;
    let caller = Side::caller(&desk, "udp", "").await;
    for (reason, line) in [
        (RejectReason::Busy, "486 Busy Here"),
        (RejectReason::Unavailable, "500 Server Internal Error"),
        (
            RejectReason::AtCapacity {
                retry_after: Duration::from_secs(7),
            },
            "503 Service Unavailable",
        ),
    ] {
        let mut out = caller.dial("4000").await;
        let mut inn = desk.next_call().await;
        command(&inn, SignallingCommand::Reject(reason));
        assert_eq!(
            ended(&mut out).await,
            (EndReason::Refused, Some(line.to_owned()))
        );
        assert_eq!(ended(&mut inn).await.0, EndReason::AgentFailed);
    }
    let mut out = caller.dial("9999").await;
    assert_eq!(
        ended(&mut out).await,
        (EndReason::Refused, Some("404 Not Found".to_owned()))
    );
}

#[tokio::test]
async fn over_capacity_and_while_draining_callers_get_503() {
    let mut desk = Side::start("max_calls = 1", DESK).await;
    let caller = Side::caller(&desk, "udp", "").await;
    let (out, _inn) = connected(&mut desk, &caller).await;
    let refused = (
        EndReason::Refused,
        Some("503 Service Unavailable".to_owned()),
    );
    let mut second = caller.dial("4000").await;
    assert_eq!(ended(&mut second).await, refused);
    hang_up(&out);
    desk.idle().await;
    desk.gateway.drain();
    let mut third = caller.dial("4000").await;
    assert_eq!(ended(&mut third).await, refused);
}

#[tokio::test]
async fn a_caller_with_the_trunks_password_passes_and_one_without_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let password = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("{text}\n")).unwrap();
        path.display().to_string()
    };
    let (right, wrong) = (password("right", "sesame"), password("wrong", "simsim"));
    let auth = |table: &str, path: &str| {
        format!("[trunk.{table}]\nusername = \"pbx\"\npassword_file = \"{path}\"\n")
    };
    let trunk = "[[trunk]]\nname = \"peer\"\npeers = [\"127.0.0.1\"]\n";
    let number = "[[number]]\nnumber = \"4000\"\nworkflow = \"desk\"\n";
    let guarded = format!("{trunk}{}{number}", auth("inbound_auth", &right));
    let mut desk = Side::start("", &guarded).await;
    let good = Side::caller(&desk, "udp", &auth("outbound_auth", &right)).await;
    connected(&mut desk, &good).await;
    for rest in [auth("outbound_auth", &wrong), String::new()] {
        let bad = Side::caller(&desk, "udp", &rest).await;
        let mut out = bad.dial("4000").await;
        let refused = (EndReason::Refused, Some("401 Unauthorized".to_owned()));
        assert_eq!(ended(&mut out).await, refused);
    }
}

#[tokio::test]
async fn shutting_down_says_goodbye_on_every_call() {
    let mut desk = Side::desk().await;
    let caller = Side::caller(&desk, "udp", "").await;
    let (mut out, mut inn) = connected(&mut desk, &caller).await;
    let mut ringing = caller.dial("4000").await;
    let mut unanswered = desk.next_call().await;
    desk.gateway.shutdown().await;
    assert_eq!(ended(&mut inn).await.0, EndReason::ShutDown);
    assert_eq!(ended(&mut unanswered).await.0, EndReason::ShutDown);
    let (reason, detail) = ended(&mut out).await;
    assert_eq!(reason, EndReason::CallerHungUp);
    assert!(detail.unwrap().contains("going down"));
    assert_eq!(ended(&mut ringing).await.0, EndReason::Refused);
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = format!("sip = {{ listen_udp = [\"{address}\"] }}");
    let media = Arc::new(MediaWheel::start(MediaConfig::default()).unwrap());
    let started = Gateway::start(toml::from_str(&config).unwrap(), media, mpsc::channel(1).0);
    let error = started.await.err().unwrap().to_string();
    assert!(error.contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn a_short_session_is_refreshed_by_the_caller_and_goes_on() {
    let sip = "session_expires_s = 2\nmin_session_expires_s = 2";
    let mut desk = Side::start(sip, DESK).await;
    let trunk = format!("[[trunk]]\nname = \"out\"\nproxy = \"{}\"\n", desk.udp());
    let caller = Side::start(sip, &trunk).await;
    let (mut out, mut inn) = connected(&mut desk, &caller).await;
    // Five seconds of audio are two and a half session intervals.
    for _ in 0..250 {
        let next = within(inn.events.recv()).await;
        assert!(matches!(next, Some(LegEvent::Tick(_))), "{next:?}");
    }
    hang_up(&inn);
    assert_eq!(ended(&mut out).await.0, EndReason::CallerHungUp);
}
