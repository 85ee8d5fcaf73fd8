//! What the operator may set about signalling: the tables `[sip]`, `[[trunk]]` and `[[number]]`.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use trunkline_types::{DialledNumber, Secret};

use crate::acl::PeerNet;
use crate::error::GatewayError;
use crate::wire::Transport;

/// Everything that signalling reads from the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// Listeners, limits and timers.
    pub sip: SipConfig,
    /// Who may call us and whom we call.
    #[serde(rename = "trunk")]
    pub trunks: Vec<TrunkConfig>,
    /// Which called number leads to which workflow.
    #[serde(rename = "number")]
    pub numbers: Vec<NumberConfig>,
}

/// The `[sip]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SipConfig {
    /// Addresses to listen on for UDP.
    pub listen_udp: Vec<SocketAddr>,
    /// Addresses to listen on for TCP.
    pub listen_tcp: Vec<SocketAddr>,
    /// The address that the far end sees, behind a NAT: goes into Via, Contact and SDP.
    pub external_address: Option<IpAddr>,
    /// How many calls may run at once, both directions together. More get 503.
    pub max_calls: usize,
    /// Seconds in Retry-After when over capacity or draining.
    pub retry_after_s: u32,
    /// The session interval that we propose, in seconds (RFC 4028).
    pub session_expires_s: u32,
    /// The least session interval that we accept, in seconds. RFC 4028 asks for 90 at
    /// least; less is for tests.
    pub min_session_expires_s: u32,
    /// Seconds that the agent may take to answer an inbound call before the caller hears 480.
    pub answer_timeout_s: u32,
    /// Seconds that an outbound call may ring before it is given up.
    pub ring_timeout_s: u32,
    /// Seconds until a digest nonce that we gave out has to be renewed.
    pub nonce_lifetime_s: u32,
    /// T1 of RFC 3261 in milliseconds: the estimate of the round trip; 500 unless a test wants
    /// timers to run faster.
    pub t1_ms: u32,
    /// The User-Agent and Server header.
    pub user_agent: String,
}

impl Default for SipConfig {
    fn default() -> Self {
        Self {
            listen_udp: Vec::new(),
            listen_tcp: Vec::new(),
            external_address: None,
            max_calls: 200,
            retry_after_s: 10,
            session_expires_s: 1800,
            min_session_expires_s: 90,
            answer_timeout_s: 60,
            ring_timeout_s: 60,
            nonce_lifetime_s: 300,
            t1_ms: 500,
            user_agent: format!("Trunkline/{}", env!("CARGO_PKG_VERSION")),
        }
    }
}

impl SipConfig {
    pub(crate) fn t1(&self) -> Duration {
        Duration::from_millis(self.t1_ms.into())
    }
}

/// One `[[trunk]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrunkConfig {
    /// The name in logs, call records and `[[number]]`.
    pub name: String,
    /// Addresses and networks that may send us requests. The resolved addresses of `proxy` and
    /// of the registrar are added by themselves.
    #[serde(default)]
    pub peers: Vec<PeerNet>,
    /// Where outbound calls go: `host` or `host:port`. Without it, the registrar; without that,
    /// the trunk places no calls.
    pub proxy: Option<String>,
    /// How to reach the proxy and the registrar.
    #[serde(default = "udp")]
    pub transport: Transport,
    /// The domain in From and To of what we send; the proxy's host unless set.
    pub domain: Option<String>,
    /// The number that outbound calls come from unless the call says otherwise.
    pub caller_id: Option<String>,
    /// Register there and answer its challenges.
    pub registration: Option<RegistrationConfig>,
    /// Answer the challenges of the far end on outbound calls with these. Without them, those of
    /// the registration.
    pub outbound_auth: Option<Credentials>,
    /// Challenge inbound calls for these.
    pub inbound_auth: Option<Credentials>,
    /// Challenge for MD5 alone, for a peer that stumbles over a SHA-256 challenge (RFC 8760).
    #[serde(default)]
    pub inbound_md5_only: bool,
}

fn udp() -> Transport {
    Transport::Udp
}

/// The `[trunk.registration]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrationConfig {
    /// `host` or `host:port`.
    pub registrar: String,
    /// The user to register, and to authenticate as.
    pub username: String,
    /// The file that holds the password; a trailing line end is not part of it.
    pub password_file: Option<PathBuf>,
    /// The environment variable that holds the password.
    pub password_env: Option<String>,
    /// Seconds to register for.
    #[serde(default = "an_hour")]
    pub expires_s: u32,
}

fn an_hour() -> u32 {
    3600
}

/// A user and where its password is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The user name.
    pub username: String,
    /// The file that holds the password; a trailing line end is not part of it.
    pub password_file: Option<PathBuf>,
    /// The environment variable that holds the password.
    pub password_env: Option<String>,
}

/// One `[[number]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberConfig {
    /// The called number, as the trunk sends it.
    pub number: DialledNumber,
    /// The workflow that takes the call.
    pub workflow: String,
    /// Only calls from this trunk; any trunk when absent.
    pub trunk: Option<String>,
}

impl GatewayConfig {
    /// Says what is wrong with the values, if anything. Reads no files.
    ///
    /// # Errors
    /// [`GatewayError::Invalid`] names the key.
    pub fn check(&self) -> Result<(), GatewayError> {
        let sip = &self.sip;
        check(
            sip.listen_udp.len() + sip.listen_tcp.len() > 0,
            "sip.listen_udp",
            "no listener: give listen_udp or listen_tcp, for instance [\"127.0.0.1:5060\"]",
        )?;
        check(
            sip.max_calls > 0,
            "sip.max_calls",
            "0 would refuse every call",
        )?;
        check(
            sip.min_session_expires_s >= 2,
            "sip.min_session_expires_s",
            "must be at least 2; RFC 4028 asks for 90",
        )?;
        check(
            sip.session_expires_s >= sip.min_session_expires_s,
            "sip.session_expires_s",
            "must not be below min_session_expires_s",
        )?;
        check(
            (10..=4000).contains(&sip.t1_ms),
            "sip.t1_ms",
            "must be 10 to 4000",
        )?;
        check(
            !sip.user_agent.contains(['\r', '\n']),
            "sip.user_agent",
            "must be one line",
        )?;
        let mut names = HashSet::new();
        for trunk in &self.trunks {
            check(
                names.insert(trunk.name.as_str()),
                &format!("trunk.{}", trunk.name),
                "the name is used twice",
            )?;
            trunk.check(sip)?;
        }
        for number in &self.numbers {
            let known = number.trunk.as_deref().is_none_or(|t| names.contains(t));
            check(
                known,
                &format!("number.{}.trunk", number.number),
                "no trunk of that name",
            )?;
        }
        Ok(())
    }
}

impl TrunkConfig {
    fn check(&self, sip: &SipConfig) -> Result<(), GatewayError> {
        let key = |rest: &str| format!("trunk.{}{rest}", self.name);
        check(!self.name.is_empty(), "trunk.name", "must not be empty")?;
        check(
            !self.peers.is_empty() || self.proxy.is_some() || self.registration.is_some(),
            &key(".peers"),
            "a trunk needs peers, a proxy or a registration",
        )?;
        check(
            self.transport == Transport::Tcp || !sip.listen_udp.is_empty(),
            &key(".transport"),
            "udp needs sip.listen_udp",
        )?;
        for host in [
            self.proxy.as_deref(),
            self.registration.as_ref().map(|r| r.registrar.as_str()),
        ]
        .into_iter()
        .flatten()
        {
            check(
                crate::wire::SipUri::parse(&format!("sip:{host}")).is_some(),
                &key(".proxy"),
                &format!("{host:?} is not host or host:port"),
            )?;
        }
        if let Some(registration) = &self.registration {
            check(
                registration.expires_s >= 30,
                &key(".registration.expires_s"),
                "must be at least 30",
            )?;
            registration.credentials().check(&key(".registration"))?;
        }
        for (credentials, table) in [
            (&self.outbound_auth, ".outbound_auth"),
            (&self.inbound_auth, ".inbound_auth"),
        ] {
            if let Some(credentials) = credentials {
                credentials.check(&key(table))?;
            }
        }
        Ok(())
    }
}

impl RegistrationConfig {
    pub(crate) fn credentials(&self) -> Credentials {
        Credentials {
            username: self.username.clone(),
            password_file: self.password_file.clone(),
            password_env: self.password_env.clone(),
        }
    }
}

impl Credentials {
    fn check(&self, key: &str) -> Result<(), GatewayError> {
        check(
            self.password_file.is_some() != self.password_env.is_some(),
            key,
            "give either password_file or password_env",
        )?;
        check(
            !self.username.is_empty() && !self.username.contains(['"', '\r', '\n']),
            key,
            "username must not be empty or hold quotes",
        )
    }

    /// Reads the password.
    pub(crate) fn password(&self, key: &str) -> Result<Secret<String>, GatewayError> {
        if let Some(path) = &self.password_file {
            let text =
                std::fs::read_to_string(path).map_err(|source| GatewayError::PasswordFile {
                    key: key.to_owned(),
                    path: path.clone(),
                    source,
                })?;
            return Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()));
        }
        let variable = self.password_env.as_deref().unwrap_or_default();
        std::env::var(variable)
            .map(Secret::new)
            .map_err(|_| GatewayError::Invalid {
                key: key.to_owned(),
                reason: format!("the environment variable {variable} is not set"),
            })
    }
}

fn check(holds: bool, key: &str, reason: &str) -> Result<(), GatewayError> {
    if holds {
        return Ok(());
    }
    Err(GatewayError::Invalid {
        key: key.to_owned(),
        reason: reason.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [sip]
        listen_udp = ["127.0.0.1:5060"]

        [[trunk]]
        name = "carrier"
        peers = ["192.0.2.0/24"]
        proxy = "sip.example.net:5060"
        inbound_auth = { username = "pbx", password_env = "PBX_PASSWORD" }

        [[number]]
        number = "+44 20 7946 0000"
        workflow = "front-desk"
        trunk = "carrier"
    "#;

    #[test]
    fn a_plain_configuration_reads_and_holds() {
        let config: GatewayConfig = toml::from_str(GOOD).unwrap();
        config.check().unwrap();
        assert_eq!(config.numbers[0].number.as_str(), "+442079460000");
        assert_eq!(config.trunks[0].transport, Transport::Udp);
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        let text = GOOD.replace("listen_udp", "listen_ucp");
        let error = toml::from_str::<GatewayConfig>(&text).unwrap_err();
        assert!(error.to_string().contains("listen_ucp"), "{error}");
    }

    #[test]
    fn what_cannot_work_is_named_by_its_key() {
        for (from, to, key) in [
            ("listen_udp = [\"127.0.0.1:5060\"]", "", "sip.listen_udp"),
            ("trunk = \"carrier\"", "trunk = \"other\"", "number."),
            (
                "proxy = \"sip.example.net:5060\"",
                "proxy = \"a b\"",
                "trunk.carrier.proxy",
            ),
            (
                ", password_env = \"PBX_PASSWORD\"",
                "",
                "trunk.carrier.inbound_auth",
            ),
        ] {
            let config: GatewayConfig = toml::from_str(&GOOD.replace(from, to)).unwrap();
            let error = config.check().unwrap_err().to_string();
            assert!(error.starts_with(key), "{error} should begin with {key}");
        }
    }
}
