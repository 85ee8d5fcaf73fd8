//! Keeping a trunk's registration alive (RFC 3261 section 10).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

use crate::error::GatewayError;
use crate::random;
use crate::router::Trunk;
use crate::stack::{Flow, Stack};
use crate::wire::{Headers, Method, NameAddr, Request, Response};

/// Where a registration stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistrationState {
    /// The first try is under way.
    Starting,
    /// Registered for so many seconds.
    Registered {
        /// What the registrar granted.
        expires_s: u32,
    },
    /// Refused or unreachable; tried again later.
    Failed {
        /// What the registrar or the network said.
        reason: String,
    },
}

/// Waits between tries: doubling, with jitter, so that a registrar that comes back is not hit by
/// all its clients in one second.
#[derive(Debug)]
struct Backoff {
    next: Duration,
}

const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

impl Backoff {
    fn new() -> Self {
        Self { next: FIRST_WAIT }
    }

    /// The next wait; `fraction` is a random number from 0 to 1.
    fn wait(&mut self, fraction: f64) -> Duration {
        let wait = self.next.mul_f64(0.5 + fraction.clamp(0.0, 1.0) / 2.0);
        self.next = (self.next * 2).min(LONGEST_WAIT);
        wait
    }
}

/// Registers and refreshes until told to stop, then unregisters.
pub(crate) async fn keep(
    stack: Arc<Stack>,
    trunk: Arc<Trunk>,
    state: watch::Sender<RegistrationState>,
    mut stop: watch::Receiver<bool>,
) {
    let Some(mut registration) = Registration::new(stack, trunk) else {
        return;
    };
    let mut backoff = Backoff::new();
    loop {
        let outcome = tokio::select! {
            outcome = registration.register(registration.asked) => outcome,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let wait = match outcome {
            Ok(expires_s) => {
                backoff = Backoff::new();
                info!(trunk = registration.name(), expires_s, "registered");
                state.send_replace(RegistrationState::Registered { expires_s });
                refresh_after(expires_s, random::fraction())
            }
            Err(reason) => {
                warn!(trunk = registration.name(), reason, "registration failed");
                state.send_replace(RegistrationState::Failed { reason });
                backoff.wait(random::fraction())
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    let registered = matches!(*state.borrow(), RegistrationState::Registered { .. });
    if registered {
        let goodbye = registration.register(0);
        let _ = tokio::time::timeout(Duration::from_secs(2), goodbye).await;
    }
}

/// Between 70 and 85 percent of what was granted, so that a lost refresh can be tried again.
fn refresh_after(expires_s: u32, fraction: f64) -> Duration {
    Duration::from_secs(u64::from(expires_s)).mul_f64(0.7 + 0.15 * fraction.clamp(0.0, 1.0))
}

struct Registration {
    stack: Arc<Stack>,
    trunk: Arc<Trunk>,
    registrar: String,
    username: String,
    call_id: String,
    from_tag: String,
    cseq: u32,
    asked: u32,
}

impl Registration {
    fn new(stack: Arc<Stack>, trunk: Arc<Trunk>) -> Option<Self> {
        let config = trunk.config.registration.clone()?;
        Some(Self {
            stack,
            trunk,
            registrar: config.registrar,
            username: config.username,
            call_id: random::token(),
            from_tag: random::token(),
            cseq: 0,
            asked: config.expires_s,
        })
    }

    fn name(&self) -> &str {
        &self.trunk.config.name
    }

    /// One registration, challenges included. Returns the seconds granted.
    async fn register(&mut self, expires: u32) -> Result<u32, String> {
        let describe = |error: GatewayError| error.to_string();
        let address = self
            .trunk
            .resolve(&self.registrar)
            .await
            .map_err(describe)?;
        let transport = self.trunk.config.transport;
        let flow = self
            .stack
            .flow(transport, address)
            .await
            .map_err(describe)?;
        let mut request = self.request(&flow, expires);
        // One challenge, one renewed nonce, one longer interval: more would be a loop.
        for _ in 0..4 {
            self.cseq += 1;
            request
                .headers
                .set("CSeq", format!("{} REGISTER", self.cseq));
            let sent = self.stack.send(request.clone(), &flow);
            let Some(response) = sent.last().await else {
                return Err("no answer".to_owned());
            };
            match response.status {
                200..=299 => return Ok(granted(&response, &flow, expires)),
                401 | 407 => {
                    let authorizer = self.trunk.registration_authorizer.as_ref();
                    let answered = authorizer.is_some_and(|a| a.answer(&response, &mut request));
                    if !answered {
                        return Err(format!("{}: wrong user or password", response.line()));
                    }
                }
                423 => {
                    let least = response.headers.get("Min-Expires");
                    let least = least.and_then(|least| least.trim().parse().ok());
                    let least: u32 = least.ok_or("423 without Min-Expires")?;
                    self.asked = least;
                    request.headers.set("Expires", least.to_string());
                }
                _ => return Err(response.line()),
            }
        }
        Err("the registrar asks for one thing after another".to_owned())
    }

    fn request(&self, flow: &Flow, expires: u32) -> Request {
        let domain = self.trunk.domain();
        let address = format!("<sip:{}@{domain}>", self.username);
        let mut headers = Headers::default();
        headers.push("From", format!("{address};tag={}", self.from_tag));
        headers.push("To", address);
        headers.push("Call-ID", self.call_id.clone());
        headers.push("Contact", flow.contact(&self.username));
        headers.push("Expires", expires.to_string());
        Request {
            method: Method::Register,
            uri: format!("sip:{}", self.registrar),
            headers,
            body: Vec::new(),
        }
    }
}

/// What a 200 grants to our Contact.
fn granted(response: &Response, flow: &Flow, asked: u32) -> u32 {
    let ours = response
        .headers
        .all("Contact")
        .filter_map(NameAddr::parse_list)
        .flatten()
        .find(|contact| {
            let socket = contact.sip().and_then(|uri| uri.socket());
            socket == Some(flow.visible)
        });
    let of_contact = ours.and_then(|contact| contact.params.get("expires")?.parse().ok());
    let of_header = || response.headers.get("Expires")?.trim().parse().ok();
    let granted: u32 = of_contact.or_else(of_header).unwrap_or(asked);
    // A registrar that grants next to nothing must not make us flood it.
    granted.max(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_with_jitter_up_to_five_minutes() {
        let mut shortest = Backoff::new();
        let mut longest = Backoff::new();
        for expected in [2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            let expected = Duration::from_secs(expected);
            assert_eq!(shortest.wait(0.0), expected / 2);
            assert_eq!(longest.wait(1.0), expected);
        }
    }

    #[test]
    fn a_refresh_leaves_time_for_another_try() {
        assert_eq!(refresh_after(100, 0.0), Duration::from_secs(70));
        assert_eq!(refresh_after(100, 1.0), Duration::from_secs(85));
    }
}
