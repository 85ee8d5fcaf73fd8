//! Far ends that go away without a word.

use super::phone::{PCMU, Phone};
use super::*;
use crate::wire::{Message, Method, Request};

/// Answers a call of the phone, with these headers in its INVITE.
async fn in_call(desk: &mut Side, headers: &[(&str, &str)]) -> (Phone, CallLeg) {
    let mut phone = Phone::new(desk.udp()).await;
    let mut invite = phone.invite(PCMU);
    for (name, value) in headers {
        invite.headers.push(name, *value);
    }
    phone.send(&invite).await;
    let mut leg = desk.next_call().await;
    command(&leg, SignallingCommand::Answer);
    assert_eq!(phone.response().await.status, 200);
    phone.ack(None).await;
    codec(&mut leg).await;
    (phone, leg)
}

async fn next_request(phone: &mut Phone) -> Request {
    match phone.message().await {
        Message::Request(request) => request,
        Message::Response(response) => panic!("{} instead of a request", response.line()),
    }
}

const SHORT: &str = "session_expires_s = 2\nmin_session_expires_s = 2";

#[tokio::test]
async fn a_refresh_that_does_not_come_ends_the_call() {
    let mut desk = Side::start(SHORT, DESK).await;
    let headers = [
        ("Supported", "timer"),
        ("Session-Expires", "2;refresher=uac"),
    ];
    let (mut phone, mut leg) = in_call(&mut desk, &headers).await;
    let bye = phone.incoming().await;
    assert_eq!(bye.method, Method::Bye);
    assert!(bye.headers.get("Reason").unwrap().contains("cause=408"));
    assert_eq!(ended(&mut leg).await.0, EndReason::SessionExpired);
}

#[tokio::test]
async fn a_phone_without_timers_is_refreshed_by_reinvite_and_given_up_when_it_forgot_the_call() {
    let mut desk = Side::start(SHORT, DESK).await;
    let (mut phone, mut leg) = in_call(&mut desk, &[]).await;
    let first = next_request(&mut phone).await;
    assert_eq!(first.method, Method::Invite);
    assert!(!first.body.is_empty());
    phone.answer(&first, 200, Some(PCMU)).await;
    assert_eq!(next_request(&mut phone).await.method, Method::Ack);
    let second = next_request(&mut phone).await;
    assert_eq!(second.method, Method::Invite);
    phone.answer(&second, 481, None).await;
    assert_eq!(ended(&mut leg).await.0, EndReason::SessionExpired);
}

#[tokio::test]
async fn a_phone_with_update_is_refreshed_by_update() {
    let mut desk = Side::start(SHORT, DESK).await;
    let headers = [
        ("Allow", "INVITE, UPDATE"),
        ("Supported", "timer"),
        ("Session-Expires", "2;refresher=uas"),
    ];
    let (mut phone, leg) = in_call(&mut desk, &headers).await;
    let refresh = phone.incoming().await;
    assert_eq!(refresh.method, Method::Update);
    assert!(refresh.body.is_empty());
    assert_eq!(
        refresh.headers.get("Session-Expires"),
        Some("2;refresher=uac")
    );
    hang_up(&leg);
    assert_eq!(phone.incoming().await.method, Method::Bye);
}

#[tokio::test]
async fn silence_on_the_media_path_ends_the_call() {
    let text = format!("[sip]\nlisten_udp = [\"127.0.0.1:0\"]\n{DESK}");
    let media = MediaConfig {
        rtp_timeout_s: 1,
        ..MediaConfig::default()
    };
    let mut desk = Side::with_media(&text, media).await;
    let (mut phone, mut leg) = in_call(&mut desk, &[]).await;
    let bye = phone.incoming().await;
    assert_eq!(bye.method, Method::Bye);
    let (reason, detail) = ended(&mut leg).await;
    assert_eq!(reason, EndReason::MediaTimeout);
    assert_eq!(detail.as_deref(), Some("no audio for 1 s"));
}
