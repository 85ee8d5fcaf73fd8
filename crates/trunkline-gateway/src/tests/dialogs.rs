//! What a scripted phone does inside a call.

use super::phone::{PCMU, Phone, set_sdp};
use super::*;
use crate::wire::{Message, Method};

/// A phone in an answered call.
async fn in_call(desk: &mut Side) -> (Phone, CallLeg) {
    let mut phone = Phone::new(desk.udp()).await;
    let invite = phone.invite(PCMU);
    phone.send(&invite).await;
    let mut leg = desk.next_call().await;
    command(&leg, SignallingCommand::Answer);
    let answer = phone.response().await;
    assert_eq!(answer.status, 200);
    phone.ack(None).await;
    assert_eq!(codec(&mut leg).await, "PCMU/8000");
    (phone, leg)
}

async fn reinvite(phone: &mut Phone, streams: &str) -> String {
    let invite = phone.invite(streams);
    phone.send(&invite).await;
    let answer = phone.response().await;
    assert_eq!(answer.status, 200);
    phone.ack(None).await;
    String::from_utf8(answer.body).unwrap()
}

#[tokio::test]
async fn hold_and_resume_by_each_of_their_spellings() {
    let mut desk = Side::desk().await;
    let (mut phone, mut leg) = in_call(&mut desk).await;
    for (hold, answer) in [
        ("m=audio 40000 RTP/AVP 0\r\na=sendonly\r\n", "a=recvonly"),
        ("m=audio 40000 RTP/AVP 0\r\na=inactive\r\n", "a=inactive"),
        (
            "m=audio 40000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n",
            "a=recvonly",
        ),
    ] {
        let text = reinvite(&mut phone, hold).await;
        assert!(text.contains(answer), "{hold}: {text}");
        assert_eq!(event(&mut leg).await, LegEvent::Held);
        reinvite(&mut phone, PCMU).await;
        assert_eq!(event(&mut leg).await, LegEvent::Resumed);
    }
}

#[tokio::test]
async fn the_codec_may_change_in_the_call_and_an_impossible_one_leaves_it_as_it_was() {
    let mut desk = Side::desk().await;
    let (mut phone, mut leg) = in_call(&mut desk).await;
    let text = reinvite(&mut phone, "m=audio 40000 RTP/AVP 8\r\n").await;
    assert!(text.contains("RTP/AVP 8\r\na=rtpmap:8 PCMA/8000"), "{text}");
    let impossible = phone.invite("m=audio 40000 RTP/AVP 18\r\n");
    phone.send(&impossible).await;
    assert_eq!(phone.response().await.status, 488);
    let bye = phone.request("BYE");
    phone.send(&bye).await;
    assert_eq!(phone.response().await.status, 200);
    assert_eq!(ended(&mut leg).await.0, EndReason::CallerHungUp);
}

#[tokio::test]
async fn an_offer_may_come_late() {
    let mut desk = Side::desk().await;
    let mut phone = Phone::new(desk.udp()).await;
    let invite = phone.request("INVITE");
    phone.send(&invite).await;
    let mut leg = desk.next_call().await;
    command(&leg, SignallingCommand::Answer);
    let answer = phone.response().await;
    let offer = String::from_utf8(answer.body).unwrap();
    assert!(offer.contains("RTP/AVP 0 8 9 101"), "{offer}");
    phone.ack(Some("m=audio 40000 RTP/AVP 9\r\n")).await;
    assert_eq!(codec(&mut leg).await, "G722/8000");
    // The same way round in the call.
    let again = phone.request("INVITE");
    phone.send(&again).await;
    assert_eq!(phone.response().await.status, 200);
    phone
        .ack(Some("m=audio 40000 RTP/AVP 9\r\na=inactive\r\n"))
        .await;
    assert_eq!(event(&mut leg).await, LegEvent::Held);
}

#[tokio::test]
async fn update_changes_the_session_and_info_brings_keys() {
    let mut desk = Side::desk().await;
    let (mut phone, mut leg) = in_call(&mut desk).await;
    let mut update = phone.request("UPDATE");
    set_sdp(&mut update, "m=audio 40000 RTP/AVP 0\r\na=sendonly\r\n");
    phone.send(&update).await;
    let answer = phone.response().await;
    assert_eq!(answer.status, 200);
    assert!(!answer.body.is_empty());
    assert_eq!(event(&mut leg).await, LegEvent::Held);
    let mut info = phone.request("INFO");
    info.headers.push("Content-Type", "application/dtmf-relay");
    info.body = b"Signal=5\r\nDuration=160\r\n".to_vec();
    phone.send(&info).await;
    assert_eq!(phone.response().await.status, 200);
    let expected = LegEvent::Dtmf {
        digit: '5'.try_into().unwrap(),
        held: Duration::from_millis(160),
    };
    assert_eq!(event(&mut leg).await, expected);
}

#[tokio::test]
async fn a_repeated_invite_and_a_repeated_200_make_one_call() {
    let mut desk = Side::start("t1_ms = 20", DESK).await;
    let mut phone = Phone::new(desk.udp()).await;
    let invite = phone.invite(PCMU);
    phone.send(&invite).await;
    phone.send(&invite).await;
    let mut leg = desk.next_call().await;
    command(&leg, SignallingCommand::Answer);
    let first = phone.response().await;
    let second = phone.response().await;
    assert_eq!((first.status, &first), (200, &second));
    phone.ack(None).await;
    codec(&mut leg).await;
    assert_eq!(desk.gateway.active_calls(), 1);
    assert!(desk.incoming.try_recv().is_err());
}

#[tokio::test]
async fn an_answer_that_is_never_acknowledged_ends_in_bye() {
    let mut desk = Side::start("t1_ms = 10", DESK).await;
    let mut phone = Phone::new(desk.udp()).await;
    let invite = phone.invite(PCMU);
    phone.send(&invite).await;
    let mut leg = desk.next_call().await;
    command(&leg, SignallingCommand::Answer);
    let bye = loop {
        if let Message::Request(request) = phone.message().await {
            break request;
        }
    };
    assert_eq!(bye.method, Method::Bye);
    assert_eq!(ended(&mut leg).await.0, EndReason::SessionExpired);
}

#[tokio::test]
async fn a_phone_that_requires_100rel_gets_ringing_until_its_prack() {
    let mut desk = Side::start("t1_ms = 20", DESK).await;
    let mut phone = Phone::new(desk.udp()).await;
    let mut invite = phone.invite(PCMU);
    invite.headers.push("Require", "100rel");
    phone.send(&invite).await;
    let mut leg = desk.next_call().await;
    command(&leg, SignallingCommand::Ring);
    command(&leg, SignallingCommand::Answer);
    let ringing = phone.response().await;
    assert_eq!(ringing.status, 180);
    let rseq = ringing.headers.get("RSeq").unwrap().to_owned();
    // Not acknowledged, so it comes again, and the answer waits.
    assert_eq!(phone.response().await, ringing);
    let invite_cseq = phone.cseq;
    let mut prack = phone.request("PRACK");
    prack
        .headers
        .push("RAck", format!("{rseq} {invite_cseq} INVITE"));
    phone.send(&prack).await;
    let mut statuses = Vec::new();
    while statuses.len() < 2 {
        let response = phone.response().await;
        if response.status == 200 {
            statuses.push(response.headers.get("CSeq").unwrap().to_owned());
        }
    }
    statuses.sort();
    assert_eq!(statuses, ["1 INVITE", "2 PRACK"]);
    phone.cseq = invite_cseq;
    phone.ack(None).await;
    codec(&mut leg).await;
}

#[tokio::test]
async fn cancel_takes_the_call_back() {
    let mut desk = Side::desk().await;
    let mut phone = Phone::new(desk.udp()).await;
    let invite = phone.invite(PCMU);
    phone.send(&invite).await;
    let mut leg = desk.next_call().await;
    let mut cancel = phone.request("CANCEL");
    cancel
        .headers
        .set("Via", invite.headers.get("Via").unwrap());
    phone.send(&cancel).await;
    let mut statuses = [phone.response().await.status, phone.response().await.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 487]);
    assert_eq!(ended(&mut leg).await.0, EndReason::Cancelled);
}
