//! What an aggregator reports.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use api::instant::Instant;
use kernel::id::{Name, NameError};
use kernel::scheduler::flow_match::Endpoint;
use kernel::scheduler::report::{LevelReport, Metadata, Presence, Subscriber, TopicReport};
use kernel::scheduler::{LEVELS, QosLevel};
use kernel::units::{Bandwidth, Millis};

/// The longest metadata document that is read.
pub const METADATA_MAX_BYTES: usize = 256 << 10;
/// What an aggregator reports.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AggregatorMetadata)]
pub struct MetadataDocument {
    /// The node at which the aggregator is.
    #[schema(min_length = 1, max_length = 255)]
    pub node: String,
    /// When this was true. Each report has to be newer than the one before it.
    #[schema(value_type = String, format = DateTime)]
    pub at: Instant,
    /// What tells this process from any other that reports under the same id: as long as one is fresh, reports of another
    /// instance are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_length = 1, max_length = 255)]
    pub instance: Option<String>,
    /// Where consumers find it: an http or https URL, told to whoever looks for a name that it offers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(
        nullable = false,
        min_length = 8,
        max_length = 255,
        pattern = r"^https?://[0-9A-Za-z.:-]+(/[0-9A-Za-z._~/-]*)?$"
    )]
    pub url: Option<String>,
    /// From which address it sends: with those of its consumers, switches know its packets by that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = Ipv4)]
    pub address: Option<Ipv4Addr>,
    /// Its buffers; levels that are absent are empty.
    #[serde(default)]
    #[schema(max_items = 3)]
    pub levels: Vec<LevelDocument>,
    /// What it carries, and for whom.
    #[serde(default)]
    #[schema(max_items = 1024)]
    pub topics: Vec<TopicDocument>,
}

/// A QoS level of an aggregator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AggregatorLevel)]
pub struct LevelDocument {
    /// 0 insensitive, 1 sensitive, 2 priority.
    #[schema(maximum = 2)]
    pub qos_level: u64,
    /// How many subscriptions there are.
    #[serde(default)]
    pub subscribers: u32,
    /// What waits in the buffer.
    #[schema(maximum = 1_125_899_906_842_624_u64)]
    pub buffer_bytes: u64,
    /// What may wait there.
    #[schema(maximum = 1_125_899_906_842_624_u64)]
    pub buffer_capacity_bytes: u64,
    /// What arrives from devices.
    #[schema(maximum = 1_000_000_000_000_000_u64)]
    pub arrival_bps: u64,
    /// How many messages were lost since the aggregator started.
    #[serde(default)]
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub dropped: u64,
}

/// A topic of an aggregator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AggregatorTopic)]
pub struct TopicDocument {
    /// Its name.
    #[schema(min_length = 1, max_length = 255)]
    pub topic: String,
    /// The level in which it is sent.
    #[schema(maximum = 2)]
    pub qos_level: u64,
    /// What arrives from devices.
    #[schema(maximum = 1_000_000_000_000_000_u64)]
    pub arrival_bps: u64,
    /// Who wants it.
    #[serde(default)]
    #[schema(max_items = 1024)]
    pub subscribers: Vec<SubscriberDocument>,
}

/// Somebody who wants a topic.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AggregatorSubscriber)]
pub struct SubscriberDocument {
    /// Who.
    #[schema(min_length = 1, max_length = 255)]
    pub consumer: String,
    /// The node at which they are.
    #[schema(min_length = 1, max_length = 255)]
    pub node: String,
    /// At which address they receive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = Ipv4)]
    pub address: Option<Ipv4Addr>,
    /// At which TCP port; only with an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, maximum = 65535)]
    pub port: Option<u16>,
}

/// Why a metadata document cannot be meant.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MetadataError {
    /// A name that is none.
    #[error("{field}: {error}")]
    Name {
        /// Which member.
        field: &'static str,
        /// Why.
        error: NameError,
    },
    /// A number out of its range.
    #[error("{field} is {value}, more than {max}")]
    TooLarge {
        /// Which member.
        field: &'static str,
        /// What it says.
        value: u64,
        /// The most it may be.
        max: u64,
    },
    /// No address that can be followed.
    #[error("url is no http or https URL without credentials")]
    Url,
    /// A port without an address.
    #[error("topics.subscribers.port is there without an address")]
    PortAlone,
    /// A level that is told of twice.
    #[error("levels has qos_level {level} twice")]
    LevelTwice {
        /// Which.
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
            Self::LevelTwice { .. } => "levels.qos_level",
        }
    }
}

impl MetadataDocument {
    /// In the kernel's words.
    ///
    /// # Errors
    /// A name or a number in it is none.
    pub fn metadata(&self) -> Result<Metadata, MetadataError> {
        let mut levels = [LevelReport::default(); LEVELS];
        let mut told = [false; LEVELS];
        for document in &self.levels {
            let level = level("levels.qos_level", document.qos_level)?;
            if std::mem::replace(&mut told[level.at()], true) {
                return Err(MetadataError::LevelTwice { level });
            }
            levels[level.at()] = document.report()?;
        }
        let topics = self.topics.iter().map(TopicDocument::report).collect::<Result<_, _>>()?;
        let presence = Presence {
            instance: self.instance.as_deref().map(|text| name("instance", text)).transpose()?,
            url: self.url.as_deref().map(url).transpose()?,
            address: self.address,
        };
        Ok(Metadata { node: name("node", &self.node)?, at: Millis(self.at.0), presence, levels, topics })
    }

    /// From the kernel's words.
    pub fn of(metadata: &Metadata) -> Self {
        let levels = QosLevel::ALL.into_iter().zip(&metadata.levels).map(|(level, report)| LevelDocument {
            qos_level: u64::from(level.number()),
            subscribers: report.subscribers,
            buffer_bytes: report.buffer_bytes,
            buffer_capacity_bytes: report.buffer_capacity_bytes,
            arrival_bps: report.arrival.as_bps(),
            dropped: report.dropped,
        });
        let topics = metadata.topics.iter().map(|report| TopicDocument {
            topic: report.topic.to_string(),
            qos_level: u64::from(report.level.number()),
            arrival_bps: report.arrival.as_bps(),
            subscribers: report.subscribers.iter().map(SubscriberDocument::of).collect(),
        });
        Self {
            node: metadata.node.to_string(),
            at: Instant(metadata.at.0),
            instance: metadata.presence.instance.as_ref().map(Name::to_string),
            url: metadata.presence.url.as_ref().map(Name::to_string),
            address: metadata.presence.address,
            levels: levels.collect(),
            topics: topics.collect(),
        }
    }
}

impl LevelDocument {
    fn report(&self) -> Result<LevelReport, MetadataError> {
        Ok(LevelReport {
            subscribers: self.subscribers,
            buffer_bytes: self.buffer_bytes,
            buffer_capacity_bytes: self.buffer_capacity_bytes,
            arrival: bandwidth("levels.arrival_bps", self.arrival_bps)?,
            dropped: self.dropped,
        })
    }
}

impl TopicDocument {
    fn report(&self) -> Result<TopicReport, MetadataError> {
        Ok(TopicReport {
            topic: name("topics.topic", &self.topic)?,
            level: level("topics.qos_level", self.qos_level)?,
            arrival: bandwidth("topics.arrival_bps", self.arrival_bps)?,
            subscribers: self.subscribers.iter().map(SubscriberDocument::subscriber).collect::<Result<_, _>>()?,
        })
    }
}

impl SubscriberDocument {
    fn subscriber(&self) -> Result<Subscriber, MetadataError> {
        let consumer = name("topics.subscribers.consumer", &self.consumer)?;
        let node = name("topics.subscribers.node", &self.node)?;
        let endpoint = match (self.address, self.port) {
            (Some(address), port) => Some(Endpoint { address, port }),
            (None, None) => None,
            (None, Some(_)) => return Err(MetadataError::PortAlone),
        };
        Ok(Subscriber { consumer, node, endpoint })
    }

    fn of(subscriber: &Subscriber) -> Self {
        Self {
            consumer: subscriber.consumer.to_string(),
            node: subscriber.node.to_string(),
            address: subscriber.endpoint.map(|endpoint| endpoint.address),
            port: subscriber.endpoint.and_then(|endpoint| endpoint.port),
        }
    }
}

fn name(field: &'static str, text: &str) -> Result<Name, MetadataError> {
    Name::new(text).map_err(|error| MetadataError::Name { field, error })
}

/// It is shown to people and programs that follow it: what is no plain URL goes no further.
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
    use super::*;

    #[test]
    fn metadata_reads_back_and_says_what_is_wrong() {
        let text = r#"{"node":"a","at":"2030-01-01T00:00:00Z","instance":"7","url":"http://10.0.0.1:8090","address":"10.0.0.1","levels":[{"qos_level":2,"subscribers":3,"buffer_bytes":1200,
            "buffer_capacity_bytes":1000000,"arrival_bps":40000,"dropped":0}],"topics":[{"topic":"t","qos_level":2,
            "arrival_bps":40000,"subscribers":[{"consumer":"c","node":"b","address":"10.0.0.2","port":7000}]}]}"#;
        let document: MetadataDocument = serde_json::from_str(text).unwrap();
        let metadata = document.metadata().unwrap();
        assert_eq!(metadata.levels[2].buffer_bytes, 1_200);
        assert_eq!(MetadataDocument::of(&metadata).metadata().unwrap(), metadata);
        let wrong = |change: &dyn Fn(&mut MetadataDocument)| {
            let mut document = document.clone();
            change(&mut document);
            document.metadata().unwrap_err().field()
        };
        assert_eq!(wrong(&|document| document.node = String::new()), "node");
        assert_eq!(wrong(&|document| document.topics[0].qos_level = 3), "topics.qos_level");
        assert_eq!(wrong(&|document| document.topics[0].arrival_bps = u64::MAX), "topics.arrival_bps");
        assert_eq!(wrong(&|document| document.instance = Some("\n".to_owned())), "instance");
        assert_eq!(wrong(&|document| document.topics[0].subscribers[0].address = None), "topics.subscribers.port");
        for url in
            ["", "http://", "ftp://x", "javascript:alert(1)", "http://a b", "http://u:p@x", "http://x/\"", "http:///x"]
        {
            assert_eq!(wrong(&|document| document.url = Some(url.to_owned())), "url", "{url}");
        }
        assert_eq!(wrong(&|document| document.levels.push(document.levels[0].clone())), "levels.qos_level");
    }
}
