//! Calls that the gateway places to a scripted phone.

use super::phone::{PCMU, Phone, sdp};
use super::*;
use crate::wire::{Message, Method, Request, Response, reply};

/// A gateway that has just called a phone.
struct Called {
    /// Kept so that the call goes on.
    _gateway: Side,
    phone: Phone,
    leg: CallLeg,
    invite: Request,
}

impl Called {
    async fn new() -> Self {
        let nowhere = "127.0.0.1:9".parse().unwrap();
        let mut phone = Phone::at("127.0.0.1:0", nowhere).await;
        let trunk = format!(
            "[[trunk]]\nname = \"out\"\nproxy = \"{}\"\n",
            phone.address()
        );
        let gateway = Side::start("", &trunk).await;
        phone.set_gateway(gateway.udp());
        let leg = gateway.dial("+4420").await;
        let invite = next_request(&mut phone).await;
        Self {
            _gateway: gateway,
            phone,
            leg,
            invite,
        }
    }

    fn response(&self, status: u16, tag: &str, streams: Option<&str>) -> Response {
        let mut response = reply(&self.invite, status, tag);
        let contact = format!("<sip:phone@{}>", self.phone.address());
        response.headers.push("Contact", contact);
        if let Some(streams) = streams {
            response.headers.push("Content-Type", "application/sdp");
            response.body = sdp(streams);
        }
        response
    }

    async fn respond(&self, status: u16, tag: &str, streams: Option<&str>) {
        let response = self.response(status, tag, streams);
        self.phone.send_bytes(&response.to_bytes()).await;
    }
}

async fn next_request(phone: &mut Phone) -> Request {
    match phone.message().await {
        Message::Request(request) => request,
        Message::Response(response) => panic!("{} instead of a request", response.line()),
    }
}

fn is_to(request: &Request, tag: &str) -> bool {
    let to = request.headers.get("To").unwrap();
    to.ends_with(&format!(";tag={tag}"))
}

#[tokio::test]
async fn a_forked_call_takes_the_first_answer_and_hangs_up_on_the_second() {
    let mut call = Called::new().await;
    call.respond(183, "one", Some(PCMU)).await;
    call.respond(180, "two", None).await;
    assert_eq!(event(&mut call.leg).await, LegEvent::Ringing);
    call.respond(200, "two", Some(PCMU)).await;
    assert_eq!(codec(&mut call.leg).await, "PCMU/8000");
    let ack = call.phone.incoming().await;
    assert!(ack.method == Method::Ack && is_to(&ack, "two"));
    call.respond(200, "one", Some(PCMU)).await;
    for method in [Method::Ack, Method::Bye] {
        let request = call.phone.incoming().await;
        assert!(is_to(&request, "one"));
        assert_eq!(request.method, method);
    }
    hang_up(&call.leg);
    let bye = call.phone.incoming().await;
    assert!(bye.method == Method::Bye && is_to(&bye, "two"));
}

#[tokio::test]
async fn a_reliable_183_is_acknowledged_and_its_answer_counts() {
    let mut call = Called::new().await;
    let mut early = call.response(183, "one", Some("m=audio 40000 RTP/AVP 8\r\n"));
    early.headers.push("Require", "100rel");
    early.headers.push("RSeq", "41");
    call.phone.send_bytes(&early.to_bytes()).await;
    let prack = call.phone.incoming().await;
    assert_eq!(prack.method, Method::Prack);
    assert_eq!(prack.headers.get("RAck"), Some("41 1 INVITE"));
    assert_eq!(event(&mut call.leg).await, LegEvent::Ringing);
    call.respond(200, "one", None).await;
    assert_eq!(codec(&mut call.leg).await, "PCMA/8000");
    assert_eq!(call.phone.incoming().await.method, Method::Ack);
    hang_up(&call.leg);
    let bye = call.phone.incoming().await;
    assert!(bye.cseq() > prack.cseq());
}

#[tokio::test]
async fn an_answer_that_crosses_our_cancel_is_hung_up_on() {
    let mut call = Called::new().await;
    call.respond(180, "one", None).await;
    assert_eq!(event(&mut call.leg).await, LegEvent::Ringing);
    hang_up(&call.leg);
    let cancel = call.phone.incoming().await;
    assert_eq!(cancel.method, Method::Cancel);
    assert_eq!(cancel.headers.get("Via"), call.invite.headers.get("Via"));
    call.respond(200, "one", Some(PCMU)).await;
    let methods = [
        call.phone.incoming().await.method,
        call.phone.incoming().await.method,
    ];
    assert_eq!(methods, [Method::Ack, Method::Bye]);
    assert_eq!(ended(&mut call.leg).await.0, EndReason::WorkflowEnded);
}

#[tokio::test]
async fn before_any_response_a_cancel_waits() {
    let mut call = Called::new().await;
    hang_up(&call.leg);
    call.respond(100, "", None).await;
    let cancel = call.phone.incoming().await;
    assert_eq!(cancel.method, Method::Cancel);
    call.respond(487, "one", None).await;
    assert_eq!(ended(&mut call.leg).await.0, EndReason::WorkflowEnded);
}

#[tokio::test]
async fn a_demand_for_a_longer_session_is_met_once() {
    let mut call = Called::new().await;
    for again in [true, false] {
        let mut refusal = call.response(422, "one", None);
        refusal.headers.push("Min-SE", "3600");
        call.phone.send_bytes(&refusal.to_bytes()).await;
        assert_eq!(call.phone.incoming().await.method, Method::Ack);
        if again {
            call.invite = next_request(&mut call.phone).await;
            let asked = call.invite.headers.get("Session-Expires");
            assert_eq!(asked, Some("3600"));
            assert_eq!(call.invite.headers.get("CSeq"), Some("2 INVITE"));
        }
    }
    assert_eq!(ended(&mut call.leg).await.0, EndReason::Refused);
}

#[tokio::test]
async fn an_answer_without_usable_audio_is_acknowledged_and_hung_up_on() {
    let mut call = Called::new().await;
    let refused = Some("m=audio 0 RTP/AVP 0\r\n");
    call.respond(200, "one", refused).await;
    assert_eq!(call.phone.incoming().await.method, Method::Ack);
    assert_eq!(call.phone.incoming().await.method, Method::Bye);
    let (reason, detail) = ended(&mut call.leg).await;
    assert_eq!(reason, EndReason::Refused);
    assert!(detail.unwrap().contains("refused the audio"));
}
