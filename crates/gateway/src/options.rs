//! What a gateway is told when it starts: by flags, the environment, or a TOML file whose unknown keys are refused.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::generator::{SourceError, SourceSpec};
use super::limits::{
    AGGREGATOR_ID_MAX_BYTES, BUFFER_DEFAULT_BYTES, BUFFER_MAX_BYTES, FALLBACK_DEFAULT_BPS, NAME_MAX_BYTES,
    REPORT_EVERY, SOURCES_MAX,
};
use super::message::OverflowPolicy;
use super::orchestrator::{Addresses, OrchestratorUrlError};
use super::qos_level::PerLevel;
use super::subscription::routable;
use mqtt::codec::topic;

/// The policy of some topics.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicPolicy {
    /// Which: an MQTT filter.
    pub topic: String,
    /// What happens to their messages without room.
    pub policy: OverflowPolicy,
}

/// What a gateway is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayOptions {
    /// Its id as an aggregator.
    pub id: String,
    /// Its node in the orchestrator's topology.
    pub node: String,
    /// Where consumers find it.
    pub listen: SocketAddr,
    /// Where devices find it.
    pub mqtt_listen: SocketAddr,
    /// The URL under which consumers find it; absent: that of `listen`, unless that is every address.
    pub advertise: Option<String>,
    /// The address from which it sends to consumers, by which switches know its packets; absent: that of `listen`, if
    /// others can reach it.
    pub source: Option<Ipv4Addr>,
    /// Where the orchestrator is; absent: the fallback rates hold for ever.
    pub orchestrator: Option<String>,
    /// How often it reports.
    pub report_every_ms: u64,
    /// What may wait in each level.
    pub buffer_bytes: PerLevel<u64>,
    /// What each level may send without an orchestrator.
    pub fallback_bps: PerLevel<u64>,
    /// What happens to messages without room.
    pub policy: OverflowPolicy,
    /// The same for some topics; the first that matches counts.
    pub policies: Vec<TopicPolicy>,
    /// Built-in traffic.
    pub generate: Vec<SourceSpec>,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        let here = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            id: "gateway".to_owned(),
            node: "gateway".to_owned(),
            listen: here(8_090),
            mqtt_listen: here(1_884),
            advertise: None,
            source: None,
            orchestrator: None,
            report_every_ms: u64::try_from(REPORT_EVERY.as_millis()).unwrap_or(1_000),
            buffer_bytes: [BUFFER_DEFAULT_BYTES; 3],
            fallback_bps: FALLBACK_DEFAULT_BPS,
            policy: OverflowPolicy::default(),
            policies: vec![],
            generate: vec![],
        }
    }
}

/// Why options cannot be.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The file cannot be read.
    #[error("{}: {error}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{}: {error}", .path.display())]
    Invalid {
        /// Which.
        path: PathBuf,
        /// Why and where.
        error: Box<toml::de::Error>,
    },
    /// The id cannot be a level of MQTT topics.
    #[error("the id '{0}' must have 1 to {AGGREGATOR_ID_MAX_BYTES} bytes, no control characters and none of / + # $")]
    Id(String),
    /// The node is no name.
    #[error("the node '{0}' must have 1 to {NAME_MAX_BYTES} bytes and no control characters")]
    Node(String),
    /// Consumers could not follow it.
    #[error("'{0}' is no http or https URL of at most {NAME_MAX_BYTES} bytes without credentials")]
    Advertise(String),
    /// A number is out of its range.
    #[error("{name} is {value}, and must be from {min} to {max}")]
    Range {
        /// Which.
        name: &'static str,
        /// What it is.
        value: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A policy is for a filter that is none.
    #[error("a policy is for '{0}', which is no topic filter")]
    Filter(String),
    /// A source cannot be.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The orchestrator's URL is none.
    #[error(transparent)]
    Orchestrator(#[from] OrchestratorUrlError),
}

impl GatewayOptions {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// It cannot be read, or says something unknown.
    pub fn read(path: &Path) -> Result<Self, OptionsError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| OptionsError::Unreadable { path: path.to_owned(), error })?;
        toml::from_str(&text).map_err(|error| OptionsError::Invalid { path: path.to_owned(), error: Box::new(error) })
    }

    /// Whether a gateway can be like this.
    ///
    /// # Errors
    /// The first thing that cannot.
    pub fn check(&self) -> Result<(), OptionsError> {
        let is_name = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        if !is_name(&self.id) || self.id.len() > AGGREGATOR_ID_MAX_BYTES || self.id.contains(['/', '+', '#', '$']) {
            return Err(OptionsError::Id(self.id.clone()));
        }
        if !is_name(&self.node) || self.node.len() > NAME_MAX_BYTES {
            return Err(OptionsError::Node(self.node.clone()));
        }
        if let Some(url) = self.advertise.as_ref().filter(|url| !is_public_url(url)) {
            return Err(OptionsError::Advertise(url.clone()));
        }
        within("report_every_ms", self.report_every_ms, 50, 3_600_000)?;
        within("sources", self.generate.len() as u64, 0, SOURCES_MAX as u64)?;
        for bytes in self.buffer_bytes {
            within("buffer_bytes", bytes, 1_000, BUFFER_MAX_BYTES)?;
        }
        for bps in self.fallback_bps {
            within("fallback_bps", bps, 0, i64::MAX.unsigned_abs())?;
        }
        for TopicPolicy { topic: filter, .. } in &self.policies {
            topic::check_filter(filter).map_err(|_| OptionsError::Filter(filter.clone()))?;
        }
        for source in &self.generate {
            source.check()?;
        }
        self.addresses().map(|_| ())
    }

    /// Under which URL consumers find a gateway that listens at `address`.
    pub(super) fn public_url(&self, address: SocketAddr) -> Option<String> {
        let own = || (!address.ip().is_unspecified()).then(|| format!("http://{address}"));
        self.advertise.clone().or_else(own)
    }

    /// From which address a gateway that listens at `address` sends to consumers.
    pub(super) fn source(&self, address: SocketAddr) -> Option<Ipv4Addr> {
        let own = match address.ip() {
            IpAddr::V4(own) => routable(own),
            IpAddr::V6(_) => None,
        };
        self.source.or(own)
    }

    pub(super) fn addresses(&self) -> Result<Option<Addresses>, OptionsError> {
        let addresses = self.orchestrator.as_deref().map(|url| Addresses::new(url, &self.id));
        Ok(addresses.transpose()?)
    }
}

fn is_public_url(text: &str) -> bool {
    let Ok(url) = text.parse::<Url>() else { return false };
    let is_plain = url.username().is_empty() && url.password().is_none() && text.bytes().all(|b| b.is_ascii_graphic());
    text.len() <= NAME_MAX_BYTES && matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain
}

fn within(name: &'static str, value: u64, min: u64, max: u64) -> Result<(), OptionsError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(OptionsError::Range { name, value, min, max }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_checked() {
        assert!(GatewayOptions::default().check().is_ok());
        for id in ["", "a/b", "a+", "#", "$SYS", "a\n", &"x".repeat(129)] {
            assert!(
                matches!(
                    GatewayOptions { id: id.to_owned(), ..GatewayOptions::default() }.check(),
                    Err(OptionsError::Id(_))
                ),
                "{id}"
            );
        }
        let bad = GatewayOptions { buffer_bytes: [0; 3], ..GatewayOptions::default() };
        assert!(matches!(bad.check(), Err(OptionsError::Range { .. })));
        let bad = GatewayOptions { orchestrator: Some("ftp://x".to_owned()), ..GatewayOptions::default() };
        assert!(matches!(bad.check(), Err(OptionsError::Orchestrator(_))));
        for url in ["x", "ftp://x", "http://u:p@x", "http://x y"] {
            let bad = GatewayOptions { advertise: Some(url.to_owned()), ..GatewayOptions::default() };
            assert!(matches!(bad.check(), Err(OptionsError::Advertise(_))), "{url}");
        }
        let listening = |text: &str| {
            let address = text.parse().unwrap();
            (
                GatewayOptions::default().public_url(address),
                GatewayOptions::default().source(address).map(|own| own.to_string()),
            )
        };
        assert_eq!(listening("127.0.0.1:80"), (Some("http://127.0.0.1:80".to_owned()), None));
        assert_eq!(listening("0.0.0.0:80"), (None, None));
        assert_eq!(listening("10.0.0.1:80"), (Some("http://10.0.0.1:80".to_owned()), Some("10.0.0.1".to_owned())));
        assert!(toml::from_str::<GatewayOptions>("colour = 1").is_err());
        let text = "id = 'a'\n[[generate]]\ntopic = 't'\n[[policies]]\ntopic = 'log/#'\npolicy = 'fifo'";
        let read: GatewayOptions = toml::from_str(text).unwrap();
        assert!(read.check().is_ok());
        assert_eq!((read.generate[0].rate_bps, read.policies[0].policy), (8_000, OverflowPolicy::Fifo));
    }
}
