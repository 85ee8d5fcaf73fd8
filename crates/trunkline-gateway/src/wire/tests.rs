//! Verdicts on small messages, one rule each. The torture messages of RFC 4475 and RFC 5118 are
//! in `tests/torture`.

use std::net::SocketAddr;

use super::*;

const INVITE: &str = "INVITE sip:4000@192.0.2.1 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.9:5070;branch=z9hG4bK1
Max-Forwards: 70
From: \"Alice\" <sip:alice@192.0.2.9>;tag=a
To: <sip:4000@192.0.2.1>
Call-ID: c1@192.0.2.9
CSeq: 7 INVITE
Contact: <sip:alice@192.0.2.9:5070>
Content-Type: application/sdp

v=0";

fn bytes(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

fn verdict(text: &str) -> Verdict {
    check_message(&bytes(text), Transport::Udp)
}

/// The verdict on the INVITE with one line replaced.
fn with(line: &str, replaced: &str) -> Verdict {
    assert!(INVITE.contains(line), "{line}");
    verdict(&INVITE.replace(line, replaced))
}

fn refused(status: u16, reason: &str) -> Verdict {
    Verdict::Respond(status, reason.to_owned())
}

#[test]
fn a_good_invite_is_accepted() {
    assert_eq!(verdict(INVITE), Verdict::Accept);
}

#[test]
fn the_body_of_a_datagram_without_content_length_runs_to_its_end() {
    let Ok(Message::Request(request)) = inspect(&bytes(INVITE), Transport::Udp) else {
        panic!("refused");
    };
    assert_eq!(request.body, b"v=0");
}

#[test]
fn bytes_after_the_announced_length_are_no_part_of_the_body() {
    let text = INVITE.replace("Content-Type", "Content-Length: 2\nContent-Type");
    let Ok(Message::Request(request)) = inspect(&bytes(&text), Transport::Udp) else {
        panic!("refused");
    };
    assert_eq!(request.body, b"v=");
}

#[test]
fn a_length_beyond_the_datagram_is_refused() {
    let verdict = with("Content-Type", "Content-Length: 400\nContent-Type");
    assert_eq!(verdict, refused(400, "Content-Length Beyond The Message"));
}

#[test]
fn on_a_stream_the_length_is_needed() {
    let verdict = check_message(&bytes(INVITE), Transport::Tcp);
    assert_eq!(verdict, refused(400, "Missing Content-Length"));
}

#[test]
fn numbers_out_of_range_are_refused() {
    for (line, replaced, reason) in [
        (
            "CSeq: 7 INVITE",
            "CSeq: 36893488147419103232 INVITE",
            "Malformed CSeq",
        ),
        ("CSeq: 7 INVITE", "CSeq: -7 INVITE", "Malformed CSeq"),
        (
            "Max-Forwards: 70",
            "Max-Forwards: 300",
            "Malformed Max-Forwards",
        ),
        (
            "Max-Forwards: 70",
            "Max-Forwards: -1",
            "Malformed Max-Forwards",
        ),
        (
            "Max-Forwards: 70",
            "Content-Length: -999",
            "Malformed Content-Length",
        ),
        (
            "Max-Forwards: 70",
            "Expires: 1000000000000000000000",
            "Malformed Expires",
        ),
        (
            "Max-Forwards: 70",
            "Date: Fri, 01 Jan 2010 16:00:00 EST",
            "Malformed Date",
        ),
    ] {
        assert_eq!(with(line, replaced), refused(400, reason), "{replaced}");
    }
}

#[test]
fn the_method_in_cseq_must_be_the_methods_own() {
    let verdict = with("CSeq: 7 INVITE", "CSeq: 7 OPTIONS");
    assert_eq!(verdict, refused(400, "CSeq Method Mismatch"));
}

#[test]
fn single_headers_may_not_repeat_nor_lack() {
    for name in ["From", "To", "Call-ID", "CSeq"] {
        let line = INVITE
            .lines()
            .find(|l| l.starts_with(&format!("{name}:")))
            .unwrap();
        let twice = with(line, &format!("{line}\n{line}"));
        assert_eq!(
            twice,
            refused(400, "Repeated Single-Value Header"),
            "{name}"
        );
        let never = with(&format!("{line}\n"), "");
        assert_eq!(never, refused(400, &format!("Missing {name}")), "{name}");
    }
}

#[test]
fn without_a_via_there_is_no_way_back() {
    let verdict = with("Via: SIP/2.0/UDP 192.0.2.9:5070;branch=z9hG4bK1\n", "");
    assert!(matches!(verdict, Verdict::Drop(_)), "{verdict:?}");
}

#[test]
fn broken_addresses_are_refused() {
    for (line, replaced, reason) in [
        (
            "To: <sip:4000@192.0.2.1>",
            "To: \"Open <sip:4000@192.0.2.1>",
            "Malformed To",
        ),
        (
            "To: <sip:4000@192.0.2.1>",
            "To: < sip:4000@192.0.2.1>",
            "Malformed To",
        ),
        (
            "To: <sip:4000@192.0.2.1>",
            "To: Bell, A <sip:4000@192.0.2.1>",
            "Malformed To",
        ),
        (
            "Contact: <sip:alice@192.0.2.9:5070>",
            "Contact: <sip:alice@192.0.2.9:5070>;;;;",
            "Malformed Contact",
        ),
        (
            "Contact: <sip:alice@192.0.2.9:5070>",
            "Contact: sip:alice@192.0.2.9?Route=%3Csip:x%3E",
            "Malformed Contact",
        ),
        (
            "Via: SIP/2.0/UDP 192.0.2.9:5070;branch=z9hG4bK1",
            "Via: SIP/2.0/UDP 192.0.2.9:5070;;,;",
            "Malformed Via",
        ),
    ] {
        assert_eq!(with(line, replaced), refused(400, reason), "{replaced}");
    }
}

#[test]
fn request_lines_are_read_strictly() {
    let line = "INVITE sip:4000@192.0.2.1 SIP/2.0";
    for (replaced, expected) in [
        (
            "INVITE  sip:4000@192.0.2.1  SIP/2.0",
            refused(400, "Malformed Request-Line"),
        ),
        (
            "INVITE sip:4000@192.0.2.1 SIP/2.0 ",
            refused(400, "Malformed Request-Line"),
        ),
        (
            "INVITE sip:4000@192.0.2.1; lr SIP/2.0",
            refused(400, "Malformed Request-Line"),
        ),
        (
            "INVITE <sip:4000@192.0.2.1> SIP/2.0",
            refused(400, "Malformed Request-URI"),
        ),
        (
            "INVITE sip:4000@192.0.2.1?R=1 SIP/2.0",
            refused(400, "Malformed Request-URI"),
        ),
        (
            "INVITE sip:2001:db8::10 SIP/2.0",
            refused(400, "Malformed Request-URI"),
        ),
        ("INVITE sip:[2001:db8::10]:5070 SIP/2.0", Verdict::Accept),
        (
            "INVITE sip:4000@192.0.2.1 SIP/7.0",
            refused(505, "Version Not Supported"),
        ),
        (
            "INVITE nobody:knows SIP/2.0",
            refused(416, "Unsupported URI Scheme"),
        ),
        ("INVITE tel:+442079460000 SIP/2.0", Verdict::Accept),
    ] {
        assert_eq!(with(line, replaced), expected, "{replaced}");
    }
}

#[test]
fn what_we_cannot_do_is_said_with_its_own_code() {
    for (line, replaced, expected) in [
        (
            "Max-Forwards: 70",
            "Require: teleport, timer",
            refused(420, "Bad Extension"),
        ),
        (
            "Max-Forwards: 70",
            "Require: timer, 100rel",
            Verdict::Accept,
        ),
        (
            "Max-Forwards: 70",
            "Max-Forwards: 0",
            refused(483, "Too Many Hops"),
        ),
        (
            "application/sdp",
            "text/x-poem",
            refused(415, "Unsupported Media Type"),
        ),
        (
            "application/sdp",
            "multipart/mixed;boundary=b",
            Verdict::Accept,
        ),
        (
            "Max-Forwards: 70",
            "Accept: text/nothing",
            refused(406, "Not Acceptable"),
        ),
    ] {
        assert_eq!(with(line, replaced), expected, "{replaced}");
    }
}

#[test]
fn the_unknown_extensions_are_named() {
    let text = INVITE.replace("Max-Forwards: 70", "Require: teleport, timer");
    let Err(Refusal::Respond { headers, .. }) = inspect(&bytes(&text), Transport::Udp) else {
        panic!("not refused");
    };
    assert_eq!(headers, [("Unsupported", "teleport".to_owned())]);
}

#[test]
fn a_malformed_ack_or_response_is_never_answered() {
    let ack = INVITE
        .replace("INVITE", "ACK")
        .replace("CSeq: 7", "CSeq: x");
    assert!(matches!(verdict(&ack), Verdict::Drop(_)));
    for line in [
        "SIP/2.0 4294967301 OK",
        "SIP/2.0 99 x",
        "SIP/3.0 200 OK",
        "SIP/2.0",
    ] {
        let response = INVITE.replace("INVITE sip:4000@192.0.2.1 SIP/2.0", line);
        assert!(matches!(verdict(&response), Verdict::Drop(_)), "{line}");
    }
}

#[test]
fn a_response_may_have_no_or_any_reason_phrase() {
    for line in [
        "SIP/2.0 200 ",
        "SIP/2.0 200 = 2**3 * 5**2 но сто",
        "SIP/2.0 200 OK",
    ] {
        let response = INVITE.replace("INVITE sip:4000@192.0.2.1 SIP/2.0", line);
        assert_eq!(verdict(&response), Verdict::Accept, "{line}");
    }
}

#[test]
fn what_is_no_sip_is_dropped() {
    for garbage in [
        &b""[..],
        b"\r\n\r\n",
        b"\xff\xfe\xfd",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0",
    ] {
        let verdict = check_message(garbage, Transport::Udp);
        assert!(matches!(verdict, Verdict::Drop(_)), "{garbage:?}");
    }
}

#[test]
fn folded_lines_spaces_and_compact_names_are_read() {
    let text = "OPTIONS sip:x@192.0.2.1 SIP/2.0\nv:  SIP  / 2.0\n /UDP\n  192.0.2.9 ; branch=z9hG4bK2\n\
                TO :\n sip:x@192.0.2.1 ;  tag  = t1\nfrom: \"J \\\\\\\"\" <sip:j@x.example> ; tag = f\n\
                i: c2\ncseq: 0009\n  OPTIONS\nl: 0\n\n";
    assert_eq!(verdict(text), Verdict::Accept);
}

#[test]
fn a_lone_line_feed_in_a_header_is_not_a_line_end() {
    let smuggled = bytes(INVITE);
    let text = String::from_utf8(smuggled).unwrap();
    let text = text.replace("Max-Forwards: 70", "Subject: a\nVia: SIP/2.0/UDP evil");
    let verdict = check_message(text.as_bytes(), Transport::Udp);
    assert_eq!(verdict, refused(400, "stray line end in a header"));
}

fn marked(via: &str, from: &str) -> String {
    let mut request = Request {
        method: Method::Options,
        uri: "sip:x@192.0.2.1".to_owned(),
        headers: Headers::default(),
        body: Vec::new(),
    };
    request.headers.push("Via", via);
    mark_received(&mut request, from.parse::<SocketAddr>().unwrap());
    request.headers.get("Via").unwrap().to_owned()
}

#[test]
fn the_topmost_via_learns_where_the_request_came_from() {
    for (via, from, expected) in [
        (
            "SIP/2.0/UDP 192.0.2.9:5070;rport;branch=z9hG4bK1",
            "198.51.100.1:6000",
            "SIP/2.0/UDP 192.0.2.9:5070;rport=6000;branch=z9hG4bK1;received=198.51.100.1",
        ),
        (
            "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1, SIP/2.0/TCP a.example",
            "192.0.2.9:5060",
            "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1, SIP/2.0/TCP a.example",
        ),
        (
            "SIP/2.0/UDP host.example;received=203.0.113.1;branch=z9hG4bK1",
            "198.51.100.1:6000",
            "SIP/2.0/UDP host.example;branch=z9hG4bK1;received=198.51.100.1",
        ),
    ] {
        assert_eq!(marked(via, from), expected);
    }
}

#[test]
fn a_stream_is_cut_into_its_messages() {
    let one = "BYE sip:x SIP/2.0\r\nContent-Length: 3\r\n\r\nabc";
    let two = format!("\r\n\r\n{one}{one}");
    let buffer = two.as_bytes();
    let Framed::Message { skip, length } = next_frame(buffer) else {
        panic!("no frame");
    };
    assert_eq!(&buffer[skip..skip + length], one.as_bytes());
    let rest = &buffer[skip + length..];
    assert_eq!(
        next_frame(rest),
        Framed::Message {
            skip: 0,
            length: one.len()
        }
    );
    assert_eq!(next_frame(&rest[..rest.len() - 1]), Framed::Incomplete);
    assert_eq!(next_frame(b"BYE"), Framed::Incomplete);
}

#[test]
fn a_stream_that_cannot_be_framed_is_broken() {
    for head in [
        "",
        "Content-Length: -1\r\n",
        "l: 1\r\nContent-Length: 2\r\n",
        "l: 99999999\r\n",
    ] {
        let text = format!("BYE sip:x SIP/2.0\r\n{head}\r\n");
        assert!(
            matches!(next_frame(text.as_bytes()), Framed::Broken { .. }),
            "{head}"
        );
    }
}

#[test]
fn uris_read_and_print() {
    for text in [
        "sip:alice@example.com",
        "sips:+15551234567@[2001:db8::1]:5061;transport=tcp;lr",
        "sip:192.0.2.1:5060",
    ] {
        assert_eq!(SipUri::parse(text).unwrap().to_string(), text);
    }
    for bad in [
        "sip:",
        "sip:@x",
        "sip:a@b:port",
        "sip:a@b;;",
        "sip:a b@c",
        "tel:1",
        "sip:%zz@b",
    ] {
        assert!(SipUri::parse(bad).is_none(), "{bad}");
    }
    let escaped = SipUri::parse("sip:%2b1555%234;npdi@host").unwrap();
    assert_eq!(escaped.plain_user().as_deref(), Some("+1555#4"));
}

/// Flips, cuts and doubles bytes of good messages by a fixed sequence. Nothing may panic, and what
/// is accepted must read the same after printing.
#[test]
fn damaged_messages_never_break_the_reader() {
    let mut state = 0x9e37_79b9_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    };
    let good = bytes(INVITE);
    for _ in 0..20_000 {
        let mut damaged = good.clone();
        for _ in 0..=random(4) {
            let at = random(damaged.len());
            match random(4) {
                0 => damaged[at] = u8::try_from(random(256)).unwrap(),
                1 => damaged.truncate(at.max(1)),
                2 => damaged.insert(at, b"\r\n\t \"<>;:,@%\0\xff"[random(14)]),
                _ => damaged.extend_from_within(at..),
            }
        }
        let _ = next_frame(&damaged);
        if let Ok(message) = inspect(&damaged, Transport::Udp) {
            let printed = message.to_bytes();
            let again = inspect(&printed, Transport::Udp);
            let again = again.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&printed)));
            assert_eq!(again.to_bytes(), printed);
        }
    }
}
