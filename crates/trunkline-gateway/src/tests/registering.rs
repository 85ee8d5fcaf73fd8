//! Registration against a registrar of our own.

use std::time::Instant;

use trunkline_types::Secret;

use super::phone::Phone;
use super::*;
use crate::RegistrationState;
use crate::digest::{Challenger, Judgement};
use crate::wire::{Message, Request, reply};

async fn next_register(registrar: &mut Phone) -> Request {
    match registrar.message().await {
        Message::Request(request) => request,
        Message::Response(response) => panic!("{}", response.line()),
    }
}

async fn state(side: &Side, wanted: impl Fn(&RegistrationState) -> bool) {
    within(async {
        while !wanted(&side.gateway.registrations()[0].1) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn registering(registrar: &mut Phone, password: &std::path::Path) -> Side {
    let trunk = format!(
        "[[trunk]]\nname = \"reg\"\n[trunk.registration]\nregistrar = \"{}\"\n\
         username = \"pbx\"\npassword_file = \"{}\"\nexpires_s = 600\n",
        registrar.address(),
        password.display()
    );
    let side = Side::start("", &trunk).await;
    registrar.set_gateway(side.udp());
    side
}

#[tokio::test]
async fn it_answers_the_challenge_and_unregisters_when_the_gateway_stops() {
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "sesame\n").unwrap();
    let mut registrar = Phone::at("127.0.0.1:0", "127.0.0.1:9".parse().unwrap()).await;
    let side = registering(&mut registrar, &password).await;
    let judge = Challenger::new(
        "registrar".to_owned(),
        "pbx".to_owned(),
        Secret::new("sesame".to_owned()),
        Duration::from_secs(60),
    );
    let first = next_register(&mut registrar).await;
    assert_eq!(first.headers.get("Expires"), Some("600"));
    let mut challenge = reply(&first, 401, "r");
    for value in judge.challenge(false, Instant::now()) {
        challenge.headers.push("WWW-Authenticate", value);
    }
    registrar.send_bytes(&challenge.to_bytes()).await;
    let second = next_register(&mut registrar).await;
    assert_eq!(judge.judge(&second, Instant::now()), Judgement::Good);
    assert!(second.cseq() > first.cseq());
    let mut granted = reply(&second, 200, "r");
    let contact = second.headers.get("Contact").unwrap();
    granted
        .headers
        .push("Contact", format!("{contact};expires=120"));
    registrar.send_bytes(&granted.to_bytes()).await;
    state(&side, |state| {
        *state == RegistrationState::Registered { expires_s: 120 }
    })
    .await;
    let stopping = tokio::spawn(side.gateway.shutdown());
    let last = next_register(&mut registrar).await;
    assert_eq!(last.headers.get("Expires"), Some("0"));
    registrar
        .send_bytes(&reply(&last, 200, "r").to_bytes())
        .await;
    within(stopping).await.unwrap();
}

#[tokio::test]
async fn a_refusal_is_told_with_the_registrars_words() {
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "sesame").unwrap();
    let mut registrar = Phone::at("127.0.0.1:0", "127.0.0.1:9".parse().unwrap()).await;
    let side = registering(&mut registrar, &password).await;
    let request = next_register(&mut registrar).await;
    registrar
        .send_bytes(&reply(&request, 403, "r").to_bytes())
        .await;
    let failed = RegistrationState::Failed {
        reason: "403 Forbidden".to_owned(),
    };
    state(&side, |state| *state == failed).await;
}
