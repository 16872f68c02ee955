//! The options of a gateway: from flags, the environment, or a TOML file whose unknown keys are refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use api::aggregator::AGGREGATOR_ID_MAX_BYTES;
use api::client::ClientError;
pub use api::gateway::TopicPolicy;
use api::gateway::{OverflowPolicy, PolicyDocument};
use api::own_hosts::OwnHosts;
use api::qos_level::PerLevel;
use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::client::SourceAddresses;
use super::generator::{SourceError, SourceSpec};
use super::limits::{
    BUFFER_DEFAULT_BYTES, BUFFER_MAX_BYTES, FALLBACK_DEFAULT_BPS, NAME_MAX_BYTES, POLICIES_MAX, REPORT_INTERVAL,
    SOURCES_MAX,
};
use super::orchestrator::{OrchestratorEndpoint, OrchestratorUrlError};
use super::subscription::is_routable;
use mqtt::Synchronous;
use mqtt::codec::topic;
use mqtt::transport::{ClientCertificates, RenewedTls, Tls, TlsError};

/// The options of a gateway.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayOptions {
    /// Its id as an aggregator.
    pub id: String,
    /// Its node in the orchestrator's topology.
    pub node: String,
    /// The address of the interface for consumers.
    pub listen: SocketAddr,
    /// The address of the broker for devices.
    pub mqtt_listen: SocketAddr,
    /// The URL under which consumers find it; absent: that of `listen`, unless that is every address.
    pub advertise: Option<String>,
    /// Names under which it is asked from elsewhere, besides that of `advertise`.
    pub public_hosts: Vec<String>,
    /// The address from which it sends to consumers, by which switches match its packets; absent: that of `listen`, if
    /// other machines can reach it.
    pub source: Option<Ipv4Addr>,
    /// The same for consumers that are reached by IPv6.
    pub ipv6_source: Option<Ipv6Addr>,
    /// The certificate of the interface for consumers and its chain, in PEM; with `tls_key`, it is served over TLS.
    pub tls_certificate: Option<PathBuf>,
    /// The key of that certificate, in PEM.
    pub tls_key: Option<PathBuf>,
    /// The URL of the orchestrator, http or https, or of the MQTT broker that it listens at, mqtt or mqtts; absent: the
    /// fallback rates hold for ever.
    pub orchestrator: Option<String>,
    /// The file that holds the access token for the orchestrator, which over MQTT is the password; absent: it asks nobody who
    /// they are.
    pub orchestrator_token_file: Option<PathBuf>,
    /// The interval of reports.
    pub report_every_ms: u64,
    /// The buffer of each level, in bytes.
    pub buffer_bytes: PerLevel<u64>,
    /// What each level may send without an orchestrator, in bit/s.
    pub fallback_bps: PerLevel<u64>,
    /// What becomes of messages in a full buffer.
    pub policy: OverflowPolicy,
    /// The same for some topics, and their QoS levels; the first that matches counts.
    pub policies: Vec<TopicPolicy>,
    /// Built-in traffic.
    pub generate: Vec<SourceSpec>,
    /// The folder that keeps the sessions of devices, in `broker.sqlite`, and messages, subscriptions and last values, in
    /// `spool.sqlite`; absent: they end with the process.
    pub data: Option<PathBuf>,
    /// When what is written there counts as kept.
    pub data_sync: DataSync,
}

/// When what is written to the folder of data counts as kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataSync {
    /// Once the disk has it.
    #[default]
    Full,
    /// Once the operating system has it: a kill of the process loses nothing, a power failure the last moments.
    Normal,
}

impl From<DataSync> for Synchronous {
    fn from(sync: DataSync) -> Self {
        match sync {
            DataSync::Full => Self::Full,
            DataSync::Normal => Self::Normal,
        }
    }
}

impl FromStr for DataSync {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "full" => Ok(Self::Full),
            "normal" => Ok(Self::Normal),
            _ => Err(format!("invalid data-sync '{text}': give full or normal")),
        }
    }
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
            public_hosts: vec![],
            source: None,
            ipv6_source: None,
            tls_certificate: None,
            tls_key: None,
            orchestrator: None,
            orchestrator_token_file: None,
            report_every_ms: u64::try_from(REPORT_INTERVAL.as_millis()).unwrap_or(1_000),
            buffer_bytes: [BUFFER_DEFAULT_BYTES; 3],
            fallback_bps: FALLBACK_DEFAULT_BPS,
            policy: OverflowPolicy::default(),
            policies: vec![],
            generate: vec![],
            data: None,
            data_sync: DataSync::default(),
        }
    }
}

/// Options that no gateway can have.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The file cannot be read.
    #[error("{}: {error}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: std::io::Error,
    },
    /// The file has unknown keys or invalid values.
    #[error("{}: {error}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The reason, with its line.
        error: Box<toml::de::Error>,
    },
    /// The file has no token.
    #[error("{}: this is no access token", .0.display())]
    Token(PathBuf),
    /// The id cannot be a level of MQTT topics.
    #[error("invalid id '{0}': give 1 to {AGGREGATOR_ID_MAX_BYTES} bytes without control characters and / + # $")]
    Id(String),
    /// The node is not a name.
    #[error("invalid node '{0}': give 1 to {NAME_MAX_BYTES} bytes without control characters")]
    Node(String),
    /// Not a URL for consumers.
    #[error("invalid advertise '{0}': give an http or https URL of at most {NAME_MAX_BYTES} bytes without credentials")]
    Advertise(String),
    /// A certificate without its key, or the other way round.
    #[error("invalid tls: tls_certificate and tls_key are given together")]
    HalfOfTls,
    /// A number is out of its range.
    #[error("invalid {name}: {value} is not from {min} to {max}")]
    Range {
        /// The option.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A policy says nothing of its topics.
    #[error("invalid policy: '{0}' has neither a policy nor a qos_level")]
    EmptyPolicy(String),
    /// The topics of a policy are not a filter.
    #[error("invalid policy: '{0}' is not a topic filter")]
    Filter(String),
    /// A source is invalid.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The orchestrator's URL is invalid.
    #[error(transparent)]
    Orchestrator(#[from] OrchestratorUrlError),
}

impl GatewayOptions {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// It cannot be read, or has unknown keys or invalid values.
    pub fn read(path: &Path) -> Result<Self, OptionsError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| OptionsError::Unreadable { path: path.to_owned(), error })?;
        toml::from_str(&text).map_err(|error| OptionsError::Invalid { path: path.to_owned(), error: Box::new(error) })
    }

    /// Whether a gateway can have these options.
    ///
    /// # Errors
    /// The first option that is invalid.
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
        if self.tls_certificate.is_some() != self.tls_key.is_some() {
            return Err(OptionsError::HalfOfTls);
        }
        within("report_every_ms", self.report_every_ms, 50, 3_600_000)?;
        within("sources", self.generate.len() as u64, 0, SOURCES_MAX as u64)?;
        for bytes in self.buffer_bytes {
            within("buffer_bytes", bytes, 1_000, BUFFER_MAX_BYTES)?;
        }
        for bps in self.fallback_bps {
            within("fallback_bps", bps, 0, i64::MAX.unsigned_abs())?;
        }
        check_policies(&self.policies)?;
        for source in &self.generate {
            source.check()?;
        }
        self.orchestrator_endpoint().map(|_| ())
    }

    /// The URL at which consumers find a gateway that listens at `address`.
    pub(super) fn public_url(&self, address: SocketAddr) -> Option<String> {
        let own = || (!address.ip().is_unspecified()).then(|| format!("{}://{address}", self.scheme()));
        self.advertise.clone().or_else(own)
    }

    /// The scheme of the interface for consumers.
    pub fn scheme(&self) -> &'static str {
        if self.tls_certificate.is_some() { "https" } else { "http" }
    }

    /// The TLS of the interface for consumers, if it has one.
    pub(super) fn tls(&self) -> Option<Result<RenewedTls, TlsError>> {
        let (chain, key) = self.tls_certificate.clone().zip(self.tls_key.clone())?;
        let files = vec![chain.clone(), key.clone()];
        let read = move || Ok(Tls::read(&chain, &key, ClientCertificates::NotAsked)?.offering(&[b"http/1.1"]));
        Some(RenewedTls::read(files, read))
    }

    /// The hosts that a gateway which listens at `address` answers for.
    pub(super) fn own_hosts(&self, address: SocketAddr) -> OwnHosts {
        let own = OwnHosts::new(address.ip(), &self.public_hosts);
        let advertised = self.advertise.as_deref().and_then(|url| url.parse::<Url>().ok());
        match advertised.as_ref().and_then(|url| url.host_str()) {
            Some(host) => own.found_at(host, ""),
            None => own,
        }
    }

    /// The addresses from which a gateway that listens at `address` sends to consumers.
    pub(super) fn sources(&self, address: SocketAddr) -> SourceAddresses {
        let (v4, v6) = match address.ip() {
            own if !is_routable(own) => (None, None),
            IpAddr::V4(own) => (Some(own), None),
            IpAddr::V6(own) => (None, Some(own)),
        };
        SourceAddresses { ipv4: self.source.or(v4), ipv6: self.ipv6_source.or(v6) }
    }

    pub(super) fn policy_document(&self) -> PolicyDocument {
        PolicyDocument { policy: self.policy, policies: self.policies.clone() }
    }

    pub(super) fn orchestrator_endpoint(&self) -> Result<Option<OrchestratorEndpoint>, OptionsError> {
        let Some(url) = self.orchestrator.as_deref() else { return Ok(None) };
        let endpoint = OrchestratorEndpoint::parse(url, &self.id)?;
        let Some(path) = &self.orchestrator_token_file else { return Ok(Some(endpoint)) };
        let text =
            std::fs::read_to_string(path).map_err(|error| OptionsError::Unreadable { path: path.clone(), error })?;
        let invalid = |_: ClientError| OptionsError::Token(path.clone());
        endpoint.with_token(text.trim_end()).map(Some).map_err(invalid)
    }
}

/// Whether a gateway can have these policies.
///
/// # Errors
/// There are too many, the topics of one are not a filter, or one says nothing of them.
pub fn check_policies(policies: &[TopicPolicy]) -> Result<(), OptionsError> {
    within("policies", policies.len() as u64, 0, POLICIES_MAX as u64)?;
    policies.iter().try_for_each(|own| match (topic::check_filter(&own.topic), own.policy, own.qos_level) {
        (Err(_), ..) => Err(OptionsError::Filter(own.topic.clone())),
        (Ok(()), None, None) => Err(OptionsError::EmptyPolicy(own.topic.clone())),
        (Ok(()), ..) => Ok(()),
    })
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
        let bad = GatewayOptions { tls_key: Some("key.pem".into()), ..GatewayOptions::default() };
        assert!(matches!(bad.check(), Err(OptionsError::HalfOfTls)));
        for url in ["x", "ftp://x", "http://u:p@x", "http://x y"] {
            let bad = GatewayOptions { advertise: Some(url.to_owned()), ..GatewayOptions::default() };
            assert!(matches!(bad.check(), Err(OptionsError::Advertise(_))), "{url}");
        }
        let listening = |text: &str| {
            let address = text.parse().unwrap();
            let SourceAddresses { ipv4, ipv6 } = GatewayOptions::default().sources(address);
            let own = ipv4.map(|own| own.to_string()).or(ipv6.map(|own| own.to_string()));
            (GatewayOptions::default().public_url(address), own)
        };
        assert_eq!(listening("127.0.0.1:80"), (Some("http://127.0.0.1:80".to_owned()), None));
        assert_eq!(listening("0.0.0.0:80"), (None, None));
        assert_eq!(listening("10.0.0.1:80"), (Some("http://10.0.0.1:80".to_owned()), Some("10.0.0.1".to_owned())));
        assert_eq!(listening("[fd00::1]:80"), (Some("http://[fd00::1]:80".to_owned()), Some("fd00::1".to_owned())));
        assert_eq!(listening("[fe80::1]:80").1, None);
        assert!(toml::from_str::<GatewayOptions>("colour = 1").is_err());
        let text = "id = 'a'\n[[generate]]\ntopic = 't'\n[[policies]]\ntopic = 'log/#'\npolicy = 'fifo'";
        let read: GatewayOptions = toml::from_str(text).unwrap();
        assert!(read.check().is_ok());
        assert_eq!((read.generate[0].rate_bps, read.policies[0].policy), (8_000, Some(OverflowPolicy::Fifo)));
        let policy = |topic: &str| TopicPolicy { topic: topic.to_owned(), policy: None, qos_level: None };
        assert!(matches!(check_policies(&[policy("a")]), Err(OptionsError::EmptyPolicy(_))));
        assert!(matches!(check_policies(&[policy("a/#/b")]), Err(OptionsError::Filter(_))));
    }
}
