//! What aggregators and the scheduler say to each other, over HTTP and MQTT alike: metadata one way, rates the other. The
//! only place where these documents are written down; `openapi/asyncapi-v1.yaml` shows them, and a test compares.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::Instant;
use crate::kernel::id::{Name, NameError};
use crate::kernel::rates::demand::{LevelReport, Metadata, Subscriber, TopicReport};
use crate::kernel::rates::dispatch::{AggregatorView, Rates};
use crate::kernel::rates::steady::Standing;
use crate::kernel::rates::{LEVELS, Level};
use crate::kernel::units::Bandwidth;

/// The longest metadata document that is read.
pub const METADATA_MAX_BYTES: usize = 256 << 10;
/// The longest id of an aggregator, which is a level of MQTT topics.
pub const AGGREGATOR_ID_MAX_BYTES: usize = 128;

/// The id of an aggregator: a name that can be one level of an MQTT topic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AggregatorId(pub Name);

/// Why a text is no [`AggregatorId`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AggregatorIdError {
    /// It is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Over [`AGGREGATOR_ID_MAX_BYTES`].
    #[error("the id of an aggregator must not be longer than {AGGREGATOR_ID_MAX_BYTES} bytes, this one has {bytes}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// What means something in MQTT topics.
    #[error("the id of an aggregator must not contain '{0}', which means something in MQTT topics")]
    Reserved(char),
}

impl AggregatorId {
    /// Checks `text`.
    ///
    /// # Errors
    /// It is empty, too long, or has a character that it must not have.
    pub fn new(text: &str) -> Result<Self, AggregatorIdError> {
        let name = Name::new(text)?;
        if text.len() > AGGREGATOR_ID_MAX_BYTES {
            return Err(AggregatorIdError::TooLong { bytes: text.len() });
        }
        match text.chars().find(|c| matches!(c, '/' | '+' | '#' | '$')) {
            Some(reserved) => Err(AggregatorIdError::Reserved(reserved)),
            None => Ok(Self(name)),
        }
    }
}

impl<'de> Deserialize<'de> for AggregatorId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Id;

        impl Visitor<'_> for Id {
            type Value = AggregatorId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the id of an aggregator")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<AggregatorId, E> {
                AggregatorId::new(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Id)
    }
}

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
    /// A level that is told of twice.
    #[error("levels has qos_level {level} twice")]
    LevelTwice {
        /// Which.
        level: Level,
    },
}

impl MetadataError {
    /// The member that is at fault.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Name { field, .. } | Self::TooLarge { field, .. } => field,
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
        Ok(Metadata { node: name("node", &self.node)?, at: self.at.0, levels, topics })
    }

    /// From the kernel's words.
    pub fn of(metadata: &Metadata) -> Self {
        let levels = Level::ALL.into_iter().zip(&metadata.levels).map(|(level, report)| LevelDocument {
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
            at: Instant(metadata.at),
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
        Ok(Subscriber { consumer, node: name("topics.subscribers.node", &self.node)? })
    }

    fn of(subscriber: &Subscriber) -> Self {
        Self { consumer: subscriber.consumer.to_string(), node: subscriber.node.to_string() }
    }
}

/// What an aggregator may send.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AggregatorRates)]
pub struct RatesDocument {
    /// Higher than that of whatever was told before; a lower one is to be passed over.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub sequence: u64,
    /// When this was found.
    #[schema(value_type = String, format = DateTime)]
    pub at: Instant,
    /// For how long it holds, in milliseconds from `at`, if nothing is heard after it.
    pub lease_ms: u64,
    /// Every level.
    pub levels: Vec<LevelRateDocument>,
    /// What may be sent when the lease is over and nothing was heard: what nobody else can claim.
    pub fallback: Vec<FallbackDocument>,
}

/// What may be sent in a level over the network. Consumers at the aggregator's own node need none and are not counted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AggregatorLevelRate)]
pub struct LevelRateDocument {
    /// Which level.
    #[schema(maximum = 2)]
    pub qos_level: u8,
    /// To all destinations together.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub rate_bps: u64,
    /// The allocations that have it reserved.
    pub allocations: Vec<String>,
    /// To each node with consumers.
    #[serde(default)]
    pub destinations: Vec<DestinationDocument>,
}

/// What may be sent to the consumers at a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AggregatorDestination)]
pub struct DestinationDocument {
    /// Which node.
    pub node: String,
    /// How much.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub rate_bps: u64,
    /// The allocation that has it reserved.
    pub allocation: String,
}

/// What may be sent in a level when nothing is heard any more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AggregatorFallback)]
pub struct FallbackDocument {
    /// Which level.
    #[schema(maximum = 2)]
    pub qos_level: u8,
    /// How much.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub rate_bps: u64,
}

impl RatesDocument {
    /// From the kernel's words.
    pub fn of(rates: &Rates) -> Self {
        let levels = Level::ALL.into_iter().zip(&rates.levels).map(|(level, told)| LevelRateDocument {
            qos_level: level.number(),
            rate_bps: told.rate.as_bps(),
            allocations: told.destinations.iter().map(|to| to.allocation.to_string()).collect(),
            destinations: told
                .destinations
                .iter()
                .map(|to| DestinationDocument {
                    node: to.node.to_string(),
                    rate_bps: to.rate.as_bps(),
                    allocation: to.allocation.to_string(),
                })
                .collect(),
        });
        let fallback = Level::ALL.into_iter().zip(&rates.levels);
        let fallback = fallback
            .map(|(level, told)| FallbackDocument { qos_level: level.number(), rate_bps: told.fallback.as_bps() });
        Self {
            sequence: rates.sequence,
            at: Instant(rates.at),
            lease_ms: rates.lease_ms,
            levels: levels.collect(),
            fallback: fallback.collect(),
        }
    }
}

/// An aggregator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Aggregator)]
pub struct AggregatorDocument {
    /// Which.
    pub id: String,
    /// In which topology.
    pub topology: String,
    /// At which node.
    pub node: String,
    /// `fresh`: it reported within its lease; `stale`: a lease has passed, so that its backlog counts no longer; `lost`: two
    /// have, and what it held is let go.
    pub state: StandingWord,
    /// When it was heard last.
    #[schema(value_type = String, format = DateTime)]
    pub heard_at: Instant,
    /// What it needs of the network, by level.
    pub demand: Vec<DemandDocument>,
    /// What it may send.
    pub rates: RatesDocument,
    /// What it reported last; not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub metadata: Option<MetadataDocument>,
}

/// How much is still believed of an aggregator.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AggregatorState)]
pub enum StandingWord {
    /// It reported within its lease.
    Fresh,
    /// A lease has passed.
    Stale,
    /// Two leases have passed.
    Lost,
}

/// What an aggregator needs in a level.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AggregatorDemand)]
pub struct DemandDocument {
    /// Which level.
    #[schema(maximum = 2)]
    pub qos_level: u8,
    /// What arrives for consumers elsewhere, and the backlog over the time in which it is to be sent.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub demand_bps: u64,
    /// Whether its buffer is over the threshold.
    pub boosted: bool,
}

impl AggregatorDocument {
    /// From the kernel's words, without what it reported.
    pub fn brief(view: &AggregatorView) -> Self {
        let demand = Level::ALL.into_iter().map(|level| DemandDocument {
            qos_level: level.number(),
            demand_bps: view.demand[level.at()].as_bps(),
            boosted: view.boosted[level.at()],
        });
        Self {
            id: view.id.to_string(),
            topology: view.topology.to_string(),
            node: view.metadata.node.to_string(),
            state: match view.standing {
                Standing::Fresh => StandingWord::Fresh,
                Standing::Stale => StandingWord::Stale,
                Standing::Lost => StandingWord::Lost,
            },
            heard_at: Instant(view.heard_at),
            demand: demand.collect(),
            rates: RatesDocument::of(&view.rates),
            metadata: None,
        }
    }

    /// From the kernel's words.
    pub fn whole(view: &AggregatorView) -> Self {
        Self { metadata: Some(MetadataDocument::of(&view.metadata)), ..Self::brief(view) }
    }
}

fn name(field: &'static str, text: &str) -> Result<Name, MetadataError> {
    Name::new(text).map_err(|error| MetadataError::Name { field, error })
}

fn level(field: &'static str, value: u64) -> Result<Level, MetadataError> {
    let max = LEVELS as u64 - 1;
    let level = u8::try_from(value).ok().and_then(Level::new);
    level.ok_or(MetadataError::TooLarge { field, value, max })
}

fn bandwidth(field: &'static str, value: u64) -> Result<Bandwidth, MetadataError> {
    Bandwidth::from_bps(value).ok_or(MetadataError::TooLarge { field, value, max: Bandwidth::MAX.as_bps() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_one_level_of_a_topic() {
        assert!(AggregatorId::new("Ag1").is_ok() && AggregatorId::new("são-paulo 1").is_ok());
        for bad in ["a/b", "+", "a#", "$SYS", "", "\n", &"x".repeat(129)] {
            assert!(AggregatorId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn metadata_reads_back_and_says_what_is_wrong() {
        let text = r#"{"node":"a","at":"2030-01-01T00:00:00Z","levels":[{"qos_level":2,"subscribers":3,"buffer_bytes":1200,
            "buffer_capacity_bytes":1000000,"arrival_bps":40000,"dropped":0}],"topics":[{"topic":"t","qos_level":2,
            "arrival_bps":40000,"subscribers":[{"consumer":"c","node":"b"}]}]}"#;
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
        assert_eq!(wrong(&|document| document.levels.push(document.levels[0].clone())), "levels.qos_level");
    }
}
