//! Who is who: trunks by address and name, workflows by called number.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use trunkline_types::DialledNumber;

use crate::config::{GatewayConfig, TrunkConfig};
use crate::digest::{Authorizer, Challenger};
use crate::error::GatewayError;
use crate::stack::Gate;
use crate::wire::SipUri;

/// The realm of our challenges.
const REALM: &str = "trunkline";

/// One trunk, ready for use.
#[derive(Debug)]
pub(crate) struct Trunk {
    pub(crate) config: TrunkConfig,
    /// Answers challenges on outbound calls.
    pub(crate) authorizer: Option<Authorizer>,
    /// Answers challenges of the registrar.
    pub(crate) registration_authorizer: Option<Authorizer>,
    /// Challenges inbound calls.
    pub(crate) challenger: Option<Challenger>,
    /// What the proxy and the registrar last resolved to.
    resolved: RwLock<Vec<IpAddr>>,
}

impl Trunk {
    fn new(config: &TrunkConfig, nonce_lifetime: Duration) -> Result<Self, GatewayError> {
        let key = |table: &str| format!("trunk.{}.{table}", config.name);
        let registration_authorizer = match &config.registration {
            Some(registration) => {
                let password = registration.credentials().password(&key("registration"))?;
                Some(Authorizer::new(registration.username.clone(), password))
            }
            None => None,
        };
        let authorizer = match &config.outbound_auth {
            Some(user) => {
                let password = user.password(&key("outbound_auth"))?;
                Some(Authorizer::new(user.username.clone(), password))
            }
            None => registration_authorizer.clone(),
        };
        let challenger = match &config.inbound_auth {
            Some(user) => {
                let password = user.password(&key("inbound_auth"))?;
                let username = user.username.clone();
                let challenger =
                    Challenger::new(REALM.to_owned(), username, password, nonce_lifetime);
                Some(match config.inbound_md5_only {
                    true => challenger.md5_only(),
                    false => challenger,
                })
            }
            None => None,
        };
        Ok(Self {
            config: config.clone(),
            authorizer,
            registration_authorizer,
            challenger,
            resolved: RwLock::default(),
        })
    }

    /// Where outbound calls go: `host[:port]`.
    pub(crate) fn outbound_host(&self) -> Option<&str> {
        self.config.proxy.as_deref().or_else(|| {
            self.config
                .registration
                .as_ref()
                .map(|registration| registration.registrar.as_str())
        })
    }

    /// The domain of our addresses on this trunk.
    pub(crate) fn domain(&self) -> String {
        if let Some(domain) = &self.config.domain {
            return domain.clone();
        }
        self.outbound_host().unwrap_or("localhost").to_owned()
    }

    /// Resolves `host[:port]` and lets the result in from now on.
    pub(crate) async fn resolve(&self, host: &str) -> Result<SocketAddr, GatewayError> {
        let unreachable = |reason: String| GatewayError::Unreachable {
            target: host.to_owned(),
            reason,
        };
        let uri = SipUri::parse(&format!("sip:{host}"))
            .ok_or_else(|| unreachable("not host or host:port".to_owned()))?;
        let address = match uri.socket() {
            Some(address) => address,
            None => tokio::net::lookup_host((uri.host.as_str(), uri.port.unwrap_or(5060)))
                .await
                .map_err(|error| unreachable(error.to_string()))?
                .next()
                .ok_or_else(|| unreachable("the name has no address".to_owned()))?,
        };
        let mut resolved = self
            .resolved
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if !resolved.contains(&address.ip()) {
            // Names with many addresses rotate; a few are remembered.
            if resolved.len() >= 8 {
                resolved.remove(0);
            }
            resolved.push(address.ip());
        }
        Ok(address)
    }

    /// How closely the address matches this trunk: the length of the prefix, or `None`.
    pub(crate) fn closeness(&self, address: IpAddr) -> Option<u8> {
        let resolved = self
            .resolved
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&address.to_canonical());
        if resolved {
            return Some(128);
        }
        let peers = self.config.peers.iter();
        peers
            .filter(|net| net.contains(address))
            .map(|net| net.prefix())
            .max()
    }
}

/// All trunks and numbers.
#[derive(Debug)]
pub(crate) struct Router {
    pub(crate) trunks: Vec<Arc<Trunk>>,
    numbers: Vec<crate::config::NumberConfig>,
}

impl Router {
    /// Reads the passwords and prepares the trunks.
    pub(crate) fn new(config: &GatewayConfig) -> Result<Self, GatewayError> {
        let lifetime = Duration::from_secs(config.sip.nonce_lifetime_s.into());
        let trunks = config
            .trunks
            .iter()
            .map(|trunk| Trunk::new(trunk, lifetime).map(Arc::new))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            trunks,
            numbers: config.numbers.clone(),
        })
    }

    /// The trunk that a request belongs to: the one whose peers match the address most closely;
    /// among equals the one that the number is routed from; else the first.
    pub(crate) fn trunk_for(
        &self,
        address: IpAddr,
        number: Option<&DialledNumber>,
    ) -> Option<&Arc<Trunk>> {
        let matching = || {
            self.trunks
                .iter()
                .filter_map(|trunk| Some((trunk.closeness(address)?, trunk)))
        };
        let closest = matching().map(|(closeness, _)| closeness).max()?;
        let mut best = matching()
            .filter(|(closeness, _)| *closeness == closest)
            .map(|(_, trunk)| trunk);
        let first = best.next()?;
        let routed = std::iter::once(first).chain(best).find(|trunk| {
            number.is_some_and(|number| {
                let name = trunk.config.name.as_str();
                self.numbers
                    .iter()
                    .any(|known| known.number == *number && known.trunk.as_deref() == Some(name))
            })
        });
        Some(routed.unwrap_or(first))
    }

    /// The workflow of a called number: one given for the trunk goes before one for any.
    pub(crate) fn workflow(&self, number: &DialledNumber, trunk: &Trunk) -> Option<&str> {
        let of = |wanted: Option<&str>| {
            self.numbers
                .iter()
                .find(|known| known.number == *number && known.trunk.as_deref() == wanted)
        };
        of(Some(&trunk.config.name))
            .or_else(|| of(None))
            .map(|known| known.workflow.as_str())
    }

    /// The trunk for an outbound call.
    pub(crate) fn outbound(&self, name: Option<&str>) -> Result<&Arc<Trunk>, GatewayError> {
        match name {
            Some(name) => {
                let trunk = self
                    .trunks
                    .iter()
                    .find(|trunk| trunk.config.name == name)
                    .ok_or_else(|| GatewayError::NoTrunk(format!("there is no trunk {name:?}")))?;
                match trunk.outbound_host() {
                    Some(_) => Ok(trunk),
                    None => Err(GatewayError::NoTrunk(format!(
                        "trunk {name:?} has neither proxy nor registration"
                    ))),
                }
            }
            None => self
                .trunks
                .iter()
                .find(|trunk| trunk.outbound_host().is_some())
                .ok_or_else(|| {
                    GatewayError::NoTrunk("no trunk has a proxy or a registration".to_owned())
                }),
        }
    }
}

impl Gate for Router {
    fn admits(&self, address: IpAddr) -> bool {
        self.trunks
            .iter()
            .any(|trunk| trunk.closeness(address).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(text: &str) -> Router {
        Router::new(&toml::from_str(text).unwrap()).unwrap()
    }

    const TWO: &str = r#"
        trunk = [
            { name = "any", peers = ["192.0.2.0/24"] },
            { name = "desk", peers = ["192.0.2.10"] },
        ]
        number = [
            { number = "4000", workflow = "general" },
            { number = "4000", workflow = "desk", trunk = "desk" },
        ]
    "#;

    #[test]
    fn the_closest_network_wins_and_its_own_number_before_the_general_one() {
        let router = router(TWO);
        let number: DialledNumber = "4000".parse().unwrap();
        for (from, trunk, workflow) in [
            ("192.0.2.10", "desk", "desk"),
            ("192.0.2.11", "any", "general"),
        ] {
            let found = router
                .trunk_for(from.parse().unwrap(), Some(&number))
                .unwrap();
            assert_eq!(found.config.name, trunk);
            assert_eq!(router.workflow(&number, found), Some(workflow));
        }
    }

    #[test]
    fn strangers_are_not_admitted() {
        let router = router(TWO);
        assert!(router.admits("192.0.2.77".parse().unwrap()));
        assert!(!router.admits("192.0.3.77".parse().unwrap()));
    }

    #[test]
    fn of_trunks_on_one_address_the_number_decides() {
        let router = router(
            r#"
            trunk = [ { name = "a", peers = ["192.0.2.1"] }, { name = "b", peers = ["192.0.2.1"] } ]
            number = [ { number = "4000", workflow = "w", trunk = "b" } ]
            "#,
        );
        let number = "4000".parse().unwrap();
        let found = router.trunk_for("192.0.2.1".parse().unwrap(), Some(&number));
        assert_eq!(found.unwrap().config.name, "b");
    }

    #[tokio::test]
    async fn the_address_of_the_proxy_is_let_in() {
        let router = router(r#"trunk = [ { name = "a", proxy = "192.0.2.5:5080" } ]"#);
        assert!(!router.admits("192.0.2.5".parse().unwrap()));
        let trunk = router.outbound(None).unwrap();
        trunk.resolve("192.0.2.5:5080").await.unwrap();
        assert!(router.admits("192.0.2.5".parse().unwrap()));
    }
}
