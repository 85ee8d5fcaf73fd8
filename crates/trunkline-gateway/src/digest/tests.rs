//! The examples of the RFCs, and our two halves against each other.

use std::time::{Duration, Instant};

use trunkline_types::Secret;

use super::*;
use crate::wire::{Headers, Method, Request, Response};

/// RFC 7616 section 3.9.1 gives these figures for both algorithms.
#[test]
fn the_example_of_rfc_7616_comes_out() {
    for (algorithm, expected) in [
        (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
        (
            Algorithm::Sha256,
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ] {
        let inputs = Inputs {
            algorithm,
            username: "Mufasa",
            realm: "http-auth@example.org",
            password: "Circle of Life",
            method: "GET",
            uri: "/dir/index.html",
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            qop: Some(("00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")),
        };
        assert_eq!(inputs.response(), expected);
    }
}

fn invite() -> Request {
    Request {
        method: Method::Invite,
        uri: "sip:4000@example.net".to_owned(),
        headers: Headers::default(),
        body: Vec::new(),
    }
}

fn challenger() -> Challenger {
    Challenger::new(
        "trunkline".to_owned(),
        "pbx".to_owned(),
        Secret::new("sesame".to_owned()),
        Duration::from_secs(300),
    )
}

fn authorizer(password: &str) -> Authorizer {
    Authorizer::new("pbx".to_owned(), Secret::new(password.to_owned()))
}

fn challenged(challenges: &[String]) -> Response {
    let mut headers = Headers::default();
    for challenge in challenges {
        headers.push("WWW-Authenticate", challenge.clone());
    }
    Response {
        status: 401,
        reason: String::new(),
        headers,
        body: Vec::new(),
    }
}

#[test]
fn the_right_password_passes_once_per_count_and_a_replay_is_stale() {
    let (ours, now) = (challenger(), Instant::now());
    let mut request = invite();
    assert_eq!(ours.judge(&request, now), Judgement::Challenge);
    let response = challenged(&ours.challenge(false, now));
    assert!(authorizer("sesame").answer(&response, &mut request));
    let header = request.headers.get("Authorization").unwrap();
    assert!(header.contains("algorithm=SHA-256"), "{header}");
    assert_eq!(ours.judge(&request, now), Judgement::Good);
    assert_eq!(ours.judge(&request, now), Judgement::Stale);
}

#[test]
fn an_md5_only_peer_passes_too() {
    let (ours, now) = (challenger(), Instant::now());
    let mut request = invite();
    let weaker = ours.challenge(false, now).split_off(1);
    assert!(authorizer("sesame").answer(&challenged(&weaker), &mut request));
    assert_eq!(ours.judge(&request, now), Judgement::Good);
}

#[test]
fn a_wrong_password_is_challenged_again_and_not_tried_twice() {
    let (ours, now) = (challenger(), Instant::now());
    let mut request = invite();
    let response = challenged(&ours.challenge(false, now));
    assert!(authorizer("wrong").answer(&response, &mut request));
    assert_eq!(ours.judge(&request, now), Judgement::Challenge);
    let again = challenged(&ours.challenge(false, now));
    assert!(!authorizer("wrong").answer(&again, &mut request));
}

#[test]
fn an_old_nonce_is_stale_and_the_new_one_is_taken_up() {
    let (ours, now) = (challenger(), Instant::now());
    let mut request = invite();
    let client = authorizer("sesame");
    assert!(client.answer(&challenged(&ours.challenge(false, now)), &mut request));
    let later = now + Duration::from_secs(301);
    assert_eq!(ours.judge(&request, later), Judgement::Stale);
    let renewed = challenged(&ours.challenge(true, later));
    assert!(client.answer(&renewed, &mut request));
    assert_eq!(ours.judge(&request, later), Judgement::Good);
}

#[test]
fn an_answer_for_another_uri_or_method_proves_nothing() {
    let (ours, now) = (challenger(), Instant::now());
    let mut request = invite();
    let response = challenged(&ours.challenge(false, now));
    assert!(authorizer("sesame").answer(&response, &mut request));
    let mut other = request.clone();
    other.uri = "sip:premium@example.net".to_owned();
    assert_eq!(ours.judge(&other, now), Judgement::Challenge);
    request.method = Method::Options;
    assert_eq!(ours.judge(&request, now), Judgement::Challenge);
}

#[test]
fn broken_headers_are_no_digest() {
    for broken in ["", "Basic abc", "Digest", "Digest realm=\"open", "Digest x"] {
        assert_eq!(parameters(broken), None, "{broken}");
    }
}
