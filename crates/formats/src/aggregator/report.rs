//! Metadata documents as reports in the kernel's words.

use std::net::IpAddr;

use api::aggregator::{AggregatorMetadata, AggregatorSubscriber, AggregatorTopic, METADATA_MAX_BYTES};
use kernel::id::{Name, NameError};
use kernel::scheduler::report::Endpoint;
use kernel::scheduler::report::{LevelReport, Metadata, Presence, Subscriber, TopicReport};
use kernel::scheduler::{LEVELS, QosLevel};
use kernel::units::{Bandwidth, Millis};

use crate::plain_integers;

/// A metadata document does not describe a report.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MetadataError {
    /// A member is not a name.
    #[error("invalid metadata: {field}: {error}")]
    Name {
        /// The member.
        field: &'static str,
        /// The reason.
        error: NameError,
    },
    /// A number out of its range.
    #[error("invalid metadata: {field} is {value}, more than {max}")]
    TooLarge {
        /// The member.
        field: &'static str,
        /// Its value.
        value: u64,
        /// The most it may be.
        max: u64,
    },
    /// Not a URL that is safe to show and follow.
    #[error("invalid metadata: url is not an http or https URL without credentials")]
    Url,
    /// A port without an address.
    #[error("invalid metadata: topics.subscribers.port needs an address")]
    PortAlone,
    /// An address of each version.
    #[error("invalid metadata: topics.subscribers has an address and an ipv6_address")]
    TwoAddresses,
    /// Two entries for one level.
    #[error("invalid metadata: levels has qos_level {level} twice")]
    LevelTwice {
        /// The level.
        level: QosLevel,
    },
}

impl MetadataError {
    /// The member that is at fault.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Name { field, .. } | Self::TooLarge { field, .. } => field,
            Self::Url => "url",
            Self::PortAlone => "topics.subscribers.port",
            Self::TwoAddresses => "topics.subscribers.ipv6_address",
            Self::LevelTwice { .. } => "levels.qos_level",
        }
    }
}

/// Why a text is no report.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableReport {
    /// It is too long.
    #[error("the report is longer than {METADATA_MAX_BYTES} bytes")]
    TooLong,
    /// It is not a metadata document.
    #[error(transparent)]
    Document(#[from] serde_json::Error),
    /// The document describes no report.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
}

/// The report in a text.
///
/// # Errors
/// It is longer than [`METADATA_MAX_BYTES`], no metadata document, or one that describes no report.
pub fn read_report(text: &[u8]) -> Result<Metadata, UnreadableReport> {
    if text.len() > METADATA_MAX_BYTES {
        return Err(UnreadableReport::TooLong);
    }
    Ok(report(&serde_json::from_slice::<AggregatorMetadata>(&plain_integers(text))?)?)
}

/// The report that a document describes.
///
/// # Errors
/// A name or a number in it is invalid.
pub fn report(document: &AggregatorMetadata) -> Result<Metadata, MetadataError> {
    let mut levels = [LevelReport::default(); LEVELS];
    let mut is_known = [false; LEVELS];
    for entry in &document.levels {
        let level = level("levels.qos_level", entry.qos_level)?;
        if std::mem::replace(&mut is_known[level.at()], true) {
            return Err(MetadataError::LevelTwice { level });
        }
        levels[level.at()] = LevelReport {
            subscribers: entry.subscribers,
            buffer_bytes: entry.buffer_bytes,
            buffer_capacity_bytes: entry.buffer_capacity_bytes,
            arrival: bandwidth("levels.arrival_bps", entry.arrival_bps)?,
            dropped: entry.dropped,
        };
    }
    let topics = document.topics.iter().map(topic_report).collect::<Result<_, _>>()?;
    let presence = Presence {
        instance: document.instance.as_deref().map(|text| name("instance", text)).transpose()?,
        url: document.url.as_deref().map(url).transpose()?,
        address: document.address,
        ipv6_address: document.ipv6_address,
    };
    Ok(Metadata { node: name("node", &document.node)?, at: Millis(document.at.0), presence, levels, topics })
}

fn topic_report(document: &AggregatorTopic) -> Result<TopicReport, MetadataError> {
    Ok(TopicReport {
        topic: name("topics.topic", &document.topic)?,
        level: level("topics.qos_level", document.qos_level)?,
        arrival: bandwidth("topics.arrival_bps", document.arrival_bps)?,
        subscribers: document.subscribers.iter().map(subscriber).collect::<Result<_, _>>()?,
    })
}

fn subscriber(document: &AggregatorSubscriber) -> Result<Subscriber, MetadataError> {
    let consumer = name("topics.subscribers.consumer", &document.consumer)?;
    let node = name("topics.subscribers.node", &document.node)?;
    let address = match (document.address, document.ipv6_address) {
        (Some(_), Some(_)) => return Err(MetadataError::TwoAddresses),
        (v4, v6) => v4.map(IpAddr::V4).or(v6.map(IpAddr::V6)),
    };
    let endpoint = match (address, document.port) {
        (Some(address), port) => Some(Endpoint { address, port }),
        (None, None) => None,
        (None, Some(_)) => return Err(MetadataError::PortAlone),
    };
    Ok(Subscriber { consumer, node, endpoint })
}

fn name(field: &'static str, text: &str) -> Result<Name, MetadataError> {
    Name::new(text).map_err(|error| MetadataError::Name { field, error })
}

/// People and programs follow it: only plain URLs pass.
fn url(text: &str) -> Result<Name, MetadataError> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).ok_or(MetadataError::Url)?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_plain =
        text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'`'));
    if host.is_empty() || host.contains('@') || !is_plain {
        return Err(MetadataError::Url);
    }
    name("url", text)
}

fn level(field: &'static str, value: u64) -> Result<QosLevel, MetadataError> {
    let max = LEVELS as u64 - 1;
    let level = u8::try_from(value).ok().and_then(QosLevel::new);
    level.ok_or(MetadataError::TooLarge { field, value, max })
}

fn bandwidth(field: &'static str, value: u64) -> Result<Bandwidth, MetadataError> {
    Bandwidth::from_bps(value).ok_or(MetadataError::TooLarge { field, value, max: Bandwidth::MAX.as_bps() })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::super::documents;
    use super::*;

    #[test]
    fn metadata_reads_back_and_says_what_is_wrong() {
        let text = r#"{"node":"a","at":"2030-01-01T00:00:00Z","instance":"7","url":"http://10.0.0.1:8090","address":"10.0.0.1","levels":[{"qos_level":2,"subscribers":3,"buffer_bytes":1200,
            "buffer_capacity_bytes":1000000,"arrival_bps":40000,"dropped":0}],"topics":[{"topic":"t","qos_level":2,
            "arrival_bps":40000,"subscribers":[{"consumer":"c","node":"b","address":"10.0.0.2","port":7000}]}]}"#;
        let document: AggregatorMetadata = serde_json::from_str(text).unwrap();
        let metadata = report(&document).unwrap();
        assert_eq!(metadata.levels[2].buffer_bytes, 1_200);
        assert_eq!(report(&documents::metadata(&metadata)).unwrap(), metadata);
        let wrong = |change: &dyn Fn(&mut AggregatorMetadata)| {
            let mut document = document.clone();
            change(&mut document);
            report(&document).unwrap_err().field()
        };
        assert_eq!(wrong(&|document| document.node = String::new()), "node");
        assert_eq!(wrong(&|document| document.topics[0].qos_level = 3), "topics.qos_level");
        assert_eq!(wrong(&|document| document.topics[0].arrival_bps = u64::MAX), "topics.arrival_bps");
        assert_eq!(wrong(&|document| document.instance = Some("\n".to_owned())), "instance");
        assert_eq!(wrong(&|document| document.topics[0].subscribers[0].address = None), "topics.subscribers.port");
        let both = wrong(&|document| document.topics[0].subscribers[0].ipv6_address = Some(Ipv6Addr::LOCALHOST));
        assert_eq!(both, "topics.subscribers.ipv6_address");
        for url in
            ["", "http://", "ftp://x", "javascript:alert(1)", "http://a b", "http://u:p@x", "http://x/\"", "http:///x"]
        {
            assert_eq!(wrong(&|document| document.url = Some(url.to_owned())), "url", "{url}");
        }
        assert_eq!(wrong(&|document| document.levels.push(document.levels[0].clone())), "levels.qos_level");
    }
}
