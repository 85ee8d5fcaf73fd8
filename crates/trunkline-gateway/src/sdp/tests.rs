//! Offers as real gateways write them, and what we answer.

use std::net::SocketAddr;
use std::time::Duration;

use trunkline_rtp::Codec;

use super::*;
use crate::wire::Headers;

fn local() -> Local {
    Local::new(SocketAddr::from(([192, 0, 2, 1], 20_000)), 42)
}

fn offer(streams: &str) -> Vec<u8> {
    format!(
        "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n{streams}"
    )
    .into_bytes()
}

fn answered(streams: &str) -> Result<(String, Agreed), SdpError> {
    answer(&parse(&offer(streams))?, &mut local())
}

#[test]
fn a_plain_offer_is_answered_with_the_offerers_first_codec_of_ours() {
    let (text, agreed) = answered(
        "m=audio 4000 RTP/AVP 18 8 0 96\r\na=rtpmap:18 G729/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-16\r\n",
    )
    .unwrap();
    assert_eq!(agreed.codec, Codec::Pcma);
    assert_eq!(agreed.payload_type, 8);
    assert_eq!(agreed.telephone_event, Some(96));
    assert_eq!(agreed.remote, "198.51.100.7:4000".parse().unwrap());
    assert_eq!(agreed.direction, Direction::SendRecv);
    assert!(text.contains("m=audio 20000 RTP/AVP 8 96\r\n"), "{text}");
    assert!(text.contains("a=rtpmap:96 telephone-event/8000\r\n"));
    assert!(text.contains("c=IN IP4 192.0.2.1\r\n"));
}

#[test]
fn a_dynamic_payload_type_is_answered_as_it_was_offered() {
    let (text, agreed) =
        answered("m=audio 4000 RTP/AVP 120\r\na=rtpmap:120 G722/8000\r\n").unwrap();
    assert_eq!((agreed.codec, agreed.payload_type), (Codec::G722, 120));
    assert!(text.contains("RTP/AVP 120\r\na=rtpmap:120 G722/8000"));
}

#[test]
fn a_static_number_with_a_foreign_rtpmap_is_not_taken_for_what_it_was() {
    let error = answered("m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 opus/48000/2\r\n").unwrap_err();
    assert!(matches!(error, SdpError::Unusable(_)));
}

#[test]
fn video_and_a_second_audio_are_refused_in_place_with_port_0() {
    let (text, _) = answered(
        "m=video 5000 RTP/AVP 31\r\nm=audio 4000 RTP/AVP 0\r\nm=audio 4002 RTP/AVP 0\r\n\
         m=image 4010 udptl t38\r\n",
    )
    .unwrap();
    let streams: Vec<&str> = text.lines().filter(|l| l.starts_with("m=")).collect();
    assert_eq!(
        streams,
        [
            "m=video 0 RTP/AVP 31",
            "m=audio 20000 RTP/AVP 0",
            "m=audio 0 RTP/AVP 0",
            "m=image 0 udptl t38"
        ]
    );
}

#[test]
fn encrypted_audio_without_a_plain_alternative_is_unusable() {
    let error = answered("m=audio 4000 RTP/SAVP 0\r\na=crypto:1 X inline:Y\r\n").unwrap_err();
    assert!(error.to_string().contains("RTP/AVP"), "{error}");
}

#[test]
fn rtcp_mux_is_left_out_of_the_answer() {
    let (text, _) = answered("m=audio 4000 RTP/AVP 0\r\na=rtcp-mux\r\n").unwrap();
    assert!(!text.contains("rtcp-mux"));
}

#[test]
fn each_direction_is_mirrored() {
    for (offered, answered_with, held) in [
        ("sendrecv", "sendrecv", false),
        ("sendonly", "recvonly", true),
        ("recvonly", "sendonly", false),
        ("inactive", "inactive", true),
    ] {
        let (text, agreed) =
            answered(&format!("m=audio 4000 RTP/AVP 0\r\na={offered}\r\n")).unwrap();
        assert!(
            text.contains(&format!("a={answered_with}\r\n")),
            "{offered}"
        );
        assert_eq!(agreed.held(), held, "{offered}");
    }
}

#[test]
fn the_old_hold_by_a_null_address_is_hold() {
    let (text, agreed) = answered("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n").unwrap();
    assert!(agreed.held());
    assert!(text.contains("a=recvonly\r\n"));
}

#[test]
fn ptime_from_10_to_60_is_kept_and_odd_ones_become_20() {
    for (asked, kept) in [
        ("10", 10),
        ("30", 30),
        ("60", 60),
        ("5", 20),
        ("200", 20),
        ("x", 20),
    ] {
        let (_, agreed) =
            answered(&format!("m=audio 4000 RTP/AVP 0\r\na=ptime:{asked}\r\n")).unwrap();
        assert_eq!(agreed.ptime, Duration::from_millis(kept), "{asked}");
    }
}

#[test]
fn ipv6_goes_both_ways() {
    let text = b"v=0\r\no=- 1 1 IN IP6 2001:db8::9\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n\
                 c=IN IP6 2001:db8::9\r\n";
    let mut local = Local::new("[2001:db8::1]:20000".parse().unwrap(), 1);
    let (text, agreed) = answer(&parse(text).unwrap(), &mut local).unwrap();
    assert_eq!(agreed.remote, "[2001:db8::9]:4000".parse().unwrap());
    assert!(text.contains("c=IN IP6 2001:db8::1\r\n"));
}

#[test]
fn our_own_offer_answered_by_ourselves_settles_on_the_same_on_both_sides() {
    let mut caller = Local::new(SocketAddr::from(([192, 0, 2, 2], 30_000)), 7);
    let offered = caller.offer();
    let (answered, ours) = answer(&parse(offered.as_bytes()).unwrap(), &mut local()).unwrap();
    let theirs = accept(&parse(answered.as_bytes()).unwrap()).unwrap();
    assert_eq!(ours.codec, theirs.codec);
    assert_eq!(ours.telephone_event, theirs.telephone_event);
    assert_eq!(theirs.remote.port(), 20_000);
    assert_eq!(ours.remote.port(), 30_000);
}

#[test]
fn an_answer_that_refuses_the_audio_is_unusable() {
    let refused = parse(&offer("m=audio 0 RTP/AVP 0\r\n")).unwrap();
    assert!(matches!(accept(&refused), Err(SdpError::Unusable(_))));
}

#[test]
fn the_version_counts_up_only_when_something_changed() {
    let mut local = local();
    let version = |text: &str| text.lines().nth(1).map(str::to_owned);
    let first = local.offer();
    let again = local.offer();
    assert_eq!(version(&first), version(&again));
    let (changed, _) = answer(
        &parse(&offer("m=audio 4000 RTP/AVP 8\r\na=sendonly\r\n")).unwrap(),
        &mut local,
    )
    .unwrap();
    assert_ne!(version(&first), version(&changed));
}

#[test]
fn garbage_gives_an_error() {
    for garbage in [
        &b""[..],
        b"\xff\xfe",
        b"hello",
        b"v=1\r\n",
        b"v=0\r\nthis is not a line\r\n",
        b"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\nm=audio\r\n",
        b"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\nm=audio 99999 RTP/AVP 0\r\n",
        b"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\nc=IN IP4 host.example\r\nm=audio 4000 RTP/AVP 0\r\n",
        b"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\nm=audio 4000 RTP/AVP 0\r\na=rtpmap:x PCMU/8000\r\n",
        b"v=0\r\nm=audio 4000 RTP/AVP 0\r\n",
    ] {
        assert!(
            parse(garbage).is_err(),
            "{:?}",
            String::from_utf8_lossy(garbage)
        );
    }
}

#[test]
fn the_description_is_found_in_a_multipart_body() {
    let mut headers = Headers::default();
    headers.push("Content-Type", "multipart/mixed;boundary=\"b1\"");
    let body = b"--b1\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b1\r\n\
                 Content-Type: application/sdp\r\n\r\nv=0\r\n--b1--\r\n";
    assert_eq!(sdp_of(&headers, body), Some(&b"v=0"[..]));
    headers.set("Content-Type", "text/plain");
    assert_eq!(sdp_of(&headers, body), None);
}

#[test]
fn damaged_descriptions_never_break_the_reader() {
    let good =
        offer("m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n");
    let mut state = 0x2545_f491_u64;
    for _ in 0..20_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let at = usize::try_from(state >> 8).unwrap() % good.len();
        let mut damaged = good.clone();
        damaged[at] = state.to_le_bytes()[0];
        if state & 0x100 == 0 {
            damaged.truncate(at);
        }
        if let Ok(description) = parse(&damaged) {
            let _ = answer(&description, &mut local());
            let _ = accept(&description);
        }
    }
}
