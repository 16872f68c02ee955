//! The documents that a gateway speaks: metadata and rates with the orchestrator, subscriptions, batches and contents with
//! consumers. What others send may have members that are not known here, but for requests to this gateway.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::buffer::BufferCounts;
use super::message::OverflowPolicy;
use super::qos_level::{LEVELS, Level, PerLevel};
use super::rate_lease::{LevelRates, Source};

/// What an aggregator reports.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MetadataDocument {
    /// The node at which it is.
    pub node: String,
    /// When; each report is newer than the one before.
    pub at: String,
    /// What tells this process from another of the same id; absent in its farewell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Where consumers find it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// From which address it sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    /// Its buffers.
    pub levels: Vec<LevelReport>,
    /// What it offers, and to whom it sends.
    pub topics: Vec<TopicReport>,
}

/// A level of an aggregator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LevelReport {
    /// Which.
    pub qos_level: Level,
    /// How many subscriptions there are.
    pub subscribers: u32,
    /// What waits.
    pub buffer_bytes: u64,
    /// What may wait.
    pub buffer_capacity_bytes: u64,
    /// What comes in, counted once for each subscription it is for.
    pub arrival_bps: u64,
    /// Messages lost since the gateway started.
    pub dropped: u64,
}

/// A topic of an aggregator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TopicReport {
    /// Which.
    pub topic: String,
    /// In which level it is sent.
    pub qos_level: Level,
    /// What arrives.
    pub arrival_bps: u64,
    /// Who wants it.
    pub subscribers: Vec<SubscriberReport>,
}

/// Who wants a topic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct SubscriberReport {
    /// Their name.
    pub consumer: String,
    /// The node at which they are.
    pub node: String,
    /// At which address batches are posted to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    /// At which port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// What the orchestrator says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RatesDocument {
    /// Larger is newer.
    pub sequence: u64,
    /// When it was decided.
    pub at: String,
    /// To which instance of this gateway it is said; absent: to whichever there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// How long it holds.
    pub lease_ms: u64,
    /// What each level may send.
    pub levels: Vec<RateDocument>,
    /// What each level may send after the lease.
    #[serde(default)]
    pub fallback: Vec<RateDocument>,
    /// Whether what a level leaves may be used by the others.
    #[serde(default)]
    pub work_conserving: bool,
}

/// The rate of a level.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RateDocument {
    /// Which.
    pub qos_level: u64,
    /// What it may send.
    pub rate_bps: u64,
}

/// Why a document of rates is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RatesError {
    /// Its time is none.
    #[error("at is '{0}', which is no RFC 3339 time")]
    At(String),
    /// A level is told of twice.
    #[error("there are two rates for level {0}")]
    Twice(u64),
}

impl RatesDocument {
    /// As the plan takes it. Levels that this gateway has not are ignored; a level that is not told of sends nothing.
    ///
    /// # Errors
    /// It contradicts itself.
    pub fn rates(&self) -> Result<LevelRates, RatesError> {
        let at_ms = super::clock::parse_rfc3339(&self.at).ok_or_else(|| RatesError::At(self.at.clone()))?;
        Ok(LevelRates {
            sequence: self.sequence,
            at_ms,
            lease_ms: self.lease_ms,
            levels_bps: by_level(&self.levels)?.map(Option::unwrap_or_default),
            fallback_bps: by_level(&self.fallback)?,
            is_work_conserving: self.work_conserving,
        })
    }
}

fn by_level(told: &[RateDocument]) -> Result<PerLevel<Option<u64>>, RatesError> {
    let mut rates = [None; LEVELS];
    for rate in told {
        let place = usize::try_from(rate.qos_level).ok().and_then(|level| rates.get_mut(level));
        // More than a signed number of 64 bits is beyond any link.
        let bps = rate.rate_bps.min(i64::MAX.unsigned_abs());
        if place.and_then(|place| place.replace(bps)).is_some() {
            return Err(RatesError::Twice(rate.qos_level));
        }
    }
    Ok(rates)
}

/// What a consumer asks for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionRequest {
    /// Which topics: an MQTT filter.
    pub topic: String,
    /// In which level.
    #[serde(default = "lowest")]
    pub qos_level: Level,
    /// Where batches are to be posted; absent: the consumer reads a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// Who; absent: the id of the subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// The consumer's node in the orchestrator's topology; absent: that of the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

fn lowest() -> Level {
    Level::LOWEST
}

/// A subscription as it is told of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SubscriptionView {
    /// Which.
    pub id: String,
    /// Which topics.
    pub topic: String,
    /// In which level.
    pub qos_level: Level,
    /// Who.
    pub consumer: String,
    /// Where they are.
    pub node: String,
    /// Where batches are posted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// Where batches are streamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Deliveries that failed since the last that did not.
    pub failures: u32,
    /// Bytes that wait, or are on their way.
    pub waiting_bytes: u64,
    /// What became of messages.
    pub counts: BufferCounts,
}

/// Subscriptions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SubscriptionList {
    /// By id.
    pub items: Vec<SubscriptionView>,
}

/// What a consumer has to read of a new subscription.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct SubscriptionAnswer {
    /// Which.
    pub id: String,
}

/// A batch as a consumer gets it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct BatchDocument {
    /// Which gateway.
    pub gateway: String,
    /// Drawn when it started: numbers of subscriptions and messages begin again with another.
    pub instance: String,
    /// Which subscription.
    pub subscription: String,
    /// When it was sent.
    pub sent_at: String,
    /// What arrived.
    pub messages: Vec<MessageDocument>,
}

/// A message as a consumer gets it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct MessageDocument {
    /// Its number in the subscription, from 1; a gap is what was dropped.
    pub sequence: u64,
    /// Its topic.
    pub topic: String,
    /// When it arrived at the gateway.
    pub at: String,
    /// What it says, if that is text.
    #[serde(default)]
    pub payload: Option<String>,
    /// What it says, if that is not text.
    #[serde(default)]
    pub payload_base64: Option<String>,
}

/// A name that a gateway offers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ContentView {
    /// The name: a topic.
    pub name: String,
    /// When the last value arrived.
    pub at: String,
    /// How large it is.
    pub bytes: usize,
    /// How many values there were.
    pub messages: u64,
    /// What arrives.
    pub arrival_bps: u64,
    /// Where the last value is served.
    pub href: String,
}

/// Names that a gateway offers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ContentList {
    /// Which gateway.
    pub gateway: String,
    /// The latest first.
    pub items: Vec<ContentView>,
}

/// How a gateway is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct StatusView {
    /// Its id as an aggregator.
    pub gateway: String,
    /// Drawn when it started.
    pub instance: String,
    /// Its node.
    pub node: String,
    /// Where its rates come from.
    pub rates_from: Source,
    /// The sequence number of the rates heard last.
    pub rates_sequence: Option<u64>,
    /// Whether levels lend to each other.
    pub is_work_conserving: bool,
    /// What became of reports to the orchestrator.
    pub reports: ReportCounts,
    /// Its levels.
    pub levels: Vec<LevelView>,
    /// How many topics it knows of.
    pub topics: usize,
    /// Topics that were forgotten for want of room.
    pub topics_forgotten: u64,
    /// The policy for topics without one of their own.
    pub policy: OverflowPolicy,
}

/// What became of reports to the orchestrator since the gateway started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ReportCounts {
    /// Those that were answered with rates.
    pub taken: u64,
    /// Those that were refused, or not answered.
    pub failed: u64,
}

/// How a level is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LevelView {
    /// Which.
    pub qos_level: Level,
    /// What it may send.
    pub rate_bps: u64,
    /// What it sends.
    pub sent_bps: u64,
    /// What comes in.
    pub arrival_bps: u64,
    /// How many subscriptions there are.
    pub subscribers: usize,
    /// What waits.
    pub buffer_bytes: u64,
    /// What may wait.
    pub buffer_capacity_bytes: u64,
    /// What became of messages.
    pub counts: BufferCounts,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Result<LevelRates, RatesError> {
        serde_json::from_str::<RatesDocument>(text).unwrap().rates()
    }

    #[test]
    fn rates_are_read_with_suspicion() {
        let rates = document(
            r#"{"sequence":1,"at":"2030-01-01T00:00:00Z","lease_ms":5,"new":true,
                "levels":[{"qos_level":0,"rate_bps":7,"allocations":["9"]},{"qos_level":9,"rate_bps":1},{"qos_level":2,"rate_bps":18446744073709551615}]}"#,
        );
        let rates = rates.unwrap();
        assert_eq!((rates.levels_bps, rates.fallback_bps), ([7, 0, (1 << 63) - 1], [None; 3]));
        let twice = r#"{"sequence":1,"at":"2030-01-01T00:00:00Z","lease_ms":5,
            "levels":[{"qos_level":0,"rate_bps":7},{"qos_level":0,"rate_bps":8}]}"#;
        assert_eq!(document(twice), Err(RatesError::Twice(0)));
        let at = document(r#"{"sequence":1,"at":"now","lease_ms":5,"levels":[]}"#);
        assert_eq!(at, Err(RatesError::At("now".to_owned())));
        assert!(serde_json::from_str::<RatesDocument>(r#"{"sequence":-1}"#).is_err());
    }
}
