//! What a scripted phone is told when something is wrong, and what strangers are not told.

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};

use super::phone::{PCMU, Phone};
use super::*;
use crate::wire::Request;

async fn refused(phone: &mut Phone, request: &Request) -> crate::wire::Response {
    phone.send(request).await;
    phone.response().await
}

#[tokio::test]
async fn each_wrong_request_gets_its_own_code() {
    let desk = Side::desk().await;
    for (method, header, value, status) in [
        ("INVITE", "Require", "teleport", 420),
        ("INVITE", "Max-Forwards", "0", 483),
        ("INVITE", "Contact", "<sip:", 400),
        ("INVITE", "Accept", "text/plain", 406),
        ("INVITE", "Content-Type", "text/plain", 415),
        ("REGISTER", "Expires", "60", 405),
        ("SUBSCRIBE", "Event", "presence", 405),
        ("BYE", "Subject", "no call", 481),
        ("UPDATE", "Subject", "no call", 481),
    ] {
        let mut phone = Phone::new(desk.udp()).await;
        let mut request = phone.invite(PCMU);
        request.method = crate::wire::Method::from_token(method);
        request.headers.set("CSeq", format!("1 {method}"));
        request.headers.set(header, value);
        let response = refused(&mut phone, &request).await;
        assert_eq!(response.status, status, "{method} with {header}: {value}");
        if status == 405 {
            assert!(response.headers.has_option("Allow", "INVITE"));
        }
        if status == 420 {
            assert_eq!(response.headers.get("Unsupported"), Some("teleport"));
        }
    }
}

#[tokio::test]
async fn offers_that_we_cannot_take_are_refused_before_anyone_is_bothered() {
    let mut desk = Side::desk().await;
    for (streams, status) in [
        ("m=audio 40000 RTP/AVP 18\r\n", 488),
        ("m=audio 40000 RTP/SAVP 0\r\n", 488),
        ("m=video 40000 RTP/AVP 31\r\n", 488),
        ("m=audio\r\n", 400),
    ] {
        let mut phone = Phone::new(desk.udp()).await;
        let invite = phone.invite(streams);
        let response = refused(&mut phone, &invite).await;
        assert_eq!(response.status, status, "{streams}");
        assert!(response.headers.get("Warning").is_some());
    }
    assert!(desk.incoming.try_recv().is_err());
    desk.idle().await;
}

#[tokio::test]
async fn a_session_interval_below_the_least_is_refused_with_the_least() {
    let desk = Side::desk().await;
    let mut phone = Phone::new(desk.udp()).await;
    let mut invite = phone.invite(PCMU);
    invite.headers.push("Supported", "timer");
    invite.headers.push("Session-Expires", "30");
    let response = refused(&mut phone, &invite).await;
    assert_eq!(response.status, 422);
    assert_eq!(response.headers.get("Min-SE"), Some("90"));
}

#[tokio::test]
async fn options_says_what_we_can_do() {
    let desk = Side::desk().await;
    let mut phone = Phone::new(desk.udp()).await;
    let options = phone.request("OPTIONS");
    let response = refused(&mut phone, &options).await;
    assert_eq!(response.status, 200);
    for (name, option) in [
        ("Allow", "UPDATE"),
        ("Accept", "application/sdp"),
        ("Supported", "timer"),
        ("Supported", "100rel"),
    ] {
        assert!(
            response.headers.has_option(name, option),
            "{name}: {option}"
        );
    }
}

#[tokio::test]
async fn over_capacity_says_when_to_come_back() {
    let desk = Side::start("max_calls = 1\nretry_after_s = 17", DESK).await;
    let mut first = Phone::new(desk.udp()).await;
    let invite = first.invite(PCMU);
    first.send(&invite).await;
    let mut second = Phone::new(desk.udp()).await;
    let invite = second.invite(PCMU);
    let response = refused(&mut second, &invite).await;
    assert_eq!(response.status, 503);
    assert_eq!(response.headers.get("Retry-After"), Some("17"));
}

/// The gateway reads its socket in order, so once the known phone has its answer, whatever was
/// said to the stranger before would be there.
#[tokio::test]
async fn a_stranger_gets_no_answer_of_any_kind_by_udp() {
    let desk = Side::desk().await;
    let mut stranger = Phone::at("127.0.0.2:0", desk.udp()).await;
    let options = stranger.request("OPTIONS");
    stranger.send(&options).await;
    stranger.send_bytes(b"INVITE garbage SIP/2.0\r\n\r\n").await;
    let mut broken = stranger.invite(PCMU);
    broken.headers.set("CSeq", "x");
    stranger.send(&broken).await;
    let mut known = Phone::new(desk.udp()).await;
    let options = known.request("OPTIONS");
    assert_eq!(refused(&mut known, &options).await.status, 200);
    assert!(!stranger.has_heard());
}

#[tokio::test]
async fn a_strangers_tcp_connection_is_closed_without_a_word() {
    let desk = Side::desk().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut stream: TcpStream = socket.connect(desk.tcp()).await.unwrap();
    let mut buffer = [0; 16];
    // A reset counts as closed, too.
    let heard = within(stream.read(&mut buffer)).await.unwrap_or(0);
    assert_eq!(heard, 0);
}

#[tokio::test]
async fn a_stream_that_cannot_be_framed_is_answered_and_closed() {
    use tokio::io::AsyncWriteExt as _;
    let desk = Side::desk().await;
    let mut stream = TcpStream::connect(desk.tcp()).await.unwrap();
    let mut phone = Phone::new(desk.udp()).await;
    let options = phone.request("OPTIONS").to_bytes();
    let options = String::from_utf8(options).unwrap();
    let options = options.replace("Content-Length: 0", "Content-Length: -5");
    stream.write_all(options.as_bytes()).await.unwrap();
    let mut heard = String::new();
    within(stream.read_to_string(&mut heard)).await.unwrap();
    assert!(
        heard.starts_with("SIP/2.0 400 Malformed Content-Length"),
        "{heard}"
    );
}
