//! What the operator may set about media.

use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;

use crate::MediaError;

/// The `[media]` table of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MediaConfig {
    /// The address that RTP sockets are bound to.
    pub address: IpAddr,
    /// The lowest RTP port. RTP takes even ports; RTCP the odd one above.
    pub port_min: u16,
    /// The highest port, RTCP included.
    pub port_max: u16,
    /// Wheel threads. One carries hundreds of G.711 legs.
    pub threads: usize,
    /// Niceness of the wheel threads, -20 to 0. They need little time but need it at once, also
    /// when models keep every core busy. Needs the right to raise priority (`CAP_SYS_NICE`);
    /// without it the wheel runs like everybody else, and says so.
    pub niceness: i8,
    /// Seconds without a packet from the far end before a leg is given up. Not counted on hold.
    pub rtp_timeout_s: u32,
    /// The least delay that the jitter buffer aims for, in milliseconds.
    pub jitter_min_ms: u16,
    /// The most delay that the jitter buffer may add, in milliseconds.
    pub jitter_max_ms: u16,
    /// DSCP of what we send (RFC 2474); 46 is expedited forwarding, 0 leaves it unmarked.
    pub dscp: u8,
    /// `SO_RCVBUF` of each RTP socket, in bytes.
    pub receive_buffer_bytes: u32,
}

impl Default for MediaConfig {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port_min: 20_000,
            port_max: 21_999,
            threads: 1,
            niceness: -15,
            rtp_timeout_s: 30,
            jitter_min_ms: 10,
            jitter_max_ms: 200,
            dscp: 46,
            receive_buffer_bytes: 131_072,
        }
    }
}

impl MediaConfig {
    /// Says what is wrong with the values, if anything.
    ///
    /// # Errors
    /// [`MediaError::Invalid`] names the key.
    pub fn check(&self) -> Result<(), MediaError> {
        let invalid = |key, reason: String| Err(MediaError::Invalid { key, reason });
        if self.first_rtp_port().is_none() {
            return invalid(
                "port_max",
                format!(
                    "{} to {} holds no even port followed by an odd one",
                    self.port_min, self.port_max
                ),
            );
        }
        if self.port_min < 1024 {
            return invalid("port_min", format!("{} is below 1024", self.port_min));
        }
        if !(1..=64).contains(&self.threads) {
            return invalid("threads", format!("{} is not in 1 to 64", self.threads));
        }
        if !(-20..=0).contains(&self.niceness) {
            return invalid("niceness", format!("{} is not in -20 to 0", self.niceness));
        }
        if self.rtp_timeout_s == 0 {
            return invalid("rtp_timeout_s", "0 would end every call at once".to_owned());
        }
        if self.jitter_max_ms > 1000 || self.jitter_min_ms > self.jitter_max_ms {
            return invalid(
                "jitter_max_ms",
                format!(
                    "{} is not in {} (jitter_min_ms) to 1000",
                    self.jitter_max_ms, self.jitter_min_ms
                ),
            );
        }
        if self.dscp > 63 {
            return invalid("dscp", format!("{} is above 63", self.dscp));
        }
        Ok(())
    }

    /// The RTP ports of the range, lowest first.
    pub(crate) fn rtp_ports(&self) -> impl Iterator<Item = u16> + use<> {
        let last = self.port_max;
        self.first_rtp_port()
            .into_iter()
            .flat_map(move |first| (first..last).step_by(2))
    }

    fn first_rtp_port(&self) -> Option<u16> {
        let even = self.port_min.checked_add(self.port_min % 2)?;
        (even < self.port_max).then_some(even)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound() {
        assert_eq!(
            MediaConfig::default().check().map_err(|e| e.to_string()),
            Ok(())
        );
    }

    #[test]
    fn an_unknown_key_is_refused_and_a_missing_one_has_its_default() {
        let config: MediaConfig = toml::from_str("port_min = 30000\nport_max = 30001").unwrap();
        assert_eq!(config.threads, 1);
        let error = toml::from_str::<MediaConfig>("port_mni = 1").unwrap_err();
        assert!(error.to_string().contains("port_mni"), "{error}");
    }

    #[test]
    fn an_odd_start_of_the_range_is_rounded_up_and_a_pair_must_fit() {
        let config = |port_min, port_max| MediaConfig {
            port_min,
            port_max,
            ..MediaConfig::default()
        };
        let ports: Vec<u16> = config(20_001, 20_006).rtp_ports().collect();
        assert_eq!(ports, [20_002, 20_004]);
        assert!(config(20_001, 20_002).check().is_err());
        assert!(config(20_000, 20_001).check().is_ok());
    }

    #[test]
    fn a_wrong_value_is_named_by_its_key() {
        let error = MediaConfig {
            dscp: 64,
            ..MediaConfig::default()
        }
        .check()
        .unwrap_err();
        assert!(error.to_string().contains("dscp"), "{error}");
    }
}
