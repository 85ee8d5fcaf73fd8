//! Requests of the far end inside an answered call.

use std::time::Duration;

use trunkline_leg::LegEvent;
use trunkline_types::{Digit, EndReason};

use super::bye::reason_of;
use super::established::{End, Established};
use crate::dialog::Sequence;
use crate::stack::{Incoming, Responder};
use crate::wire::{ALLOW, Method, Request, SUPPORTED};

impl Established {
    pub(super) async fn on_request(&mut self, mut incoming: Incoming) -> Option<End> {
        match self.dialog.take(&incoming.request) {
            Sequence::InOrder => {}
            Sequence::Old => {
                incoming.responder.refuse(500);
                return None;
            }
            Sequence::OtherDialog => {
                incoming.responder.refuse(481);
                return None;
            }
        }
        match incoming.request.method {
            Method::Bye => {
                incoming.responder.refuse(200);
                Some(End {
                    reason: EndReason::CallerHungUp,
                    detail: reason_of(&incoming.request.headers),
                    bye: false,
                })
            }
            Method::Invite => {
                self.on_reinvite(incoming).await;
                None
            }
            Method::Update => {
                self.on_update(incoming).await;
                None
            }
            Method::Options => {
                answer_options(&mut incoming.responder);
                None
            }
            Method::Info => {
                incoming.responder.refuse(200);
                if let Some((digit, held)) = dtmf_of(&incoming.request) {
                    self.leg.tell(LegEvent::Dtmf { digit, held }).await;
                }
                None
            }
            _ => {
                incoming.responder.refuse(481);
                None
            }
        }
    }
}

/// What we can do (RFC 3261 section 11.2).
pub(crate) fn answer_options(responder: &mut Responder) {
    let mut response = responder.draft(200);
    response.headers.push("Allow", ALLOW);
    response.headers.push("Accept", "application/sdp");
    response.headers.push("Accept-Encoding", "identity");
    response.headers.push("Supported", SUPPORTED);
    responder.send(&response);
}

/// A key sent by INFO, as gateways without telephone events do: `application/dtmf-relay` with
/// `Signal=` and `Duration=` lines, or `application/dtmf` with the key alone.
fn dtmf_of(info: &Request) -> Option<(Digit, Duration)> {
    let kind = info.headers.get("Content-Type")?.to_ascii_lowercase();
    let text = std::str::from_utf8(&info.body).ok()?;
    let (signal, held_ms) = if kind.starts_with("application/dtmf-relay") {
        let value_of = |name: &str| {
            text.lines().find_map(|line| {
                let (known, value) = line.split_once('=')?;
                known
                    .trim()
                    .eq_ignore_ascii_case(name)
                    .then(|| value.trim())
            })
        };
        (value_of("Signal")?, value_of("Duration"))
    } else if kind.starts_with("application/dtmf") {
        (text.trim(), None)
    } else {
        return None;
    };
    let key = match signal {
        "10" => '*',
        "11" => '#',
        signal => signal.chars().next().filter(|_| signal.len() == 1)?,
    };
    let held_ms = held_ms.and_then(|ms| ms.parse().ok()).unwrap_or(100);
    Some((Digit::try_from(key).ok()?, Duration::from_millis(held_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Headers;

    fn info(kind: &str, body: &str) -> Request {
        let mut headers = Headers::default();
        headers.push("Content-Type", kind);
        Request {
            method: Method::Info,
            uri: "sip:x@192.0.2.1".to_owned(),
            headers,
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_key_by_info_is_a_key() {
        for (kind, body, key, held) in [
            (
                "application/dtmf-relay",
                "Signal=5\r\nDuration=160\r\n",
                '5',
                160,
            ),
            (
                "application/dtmf-relay",
                "Signal= #\r\nDuration= 250",
                '#',
                250,
            ),
            ("application/dtmf-relay", "Signal=10\r\n", '*', 100),
            ("application/dtmf", "7", '7', 100),
        ] {
            let expected = (Digit::try_from(key).unwrap(), Duration::from_millis(held));
            assert_eq!(dtmf_of(&info(kind, body)), Some(expected), "{body}");
        }
    }

    #[test]
    fn other_info_is_no_key() {
        for (kind, body) in [
            ("application/json", "{}"),
            ("application/dtmf-relay", "Signal=99"),
            ("application/dtmf", ""),
        ] {
            assert_eq!(dtmf_of(&info(kind, body)), None, "{body}");
        }
    }
}
