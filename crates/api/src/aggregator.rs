//! The documents of aggregators, over HTTP and MQTT alike: metadata one way, rates the other, and an aggregator as it is
//! shown. `openapi/asyncapi-v1.yaml` shows the first two, and a test compares.
//!
//! A report with an unknown member is refused. What the service says may get new members: clients pass over those that
//! they do not know.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::instant::Instant;
use super::problem::ProblemDocument;

/// The longest id of an aggregator, in bytes: it is a level of MQTT topics.
pub const AGGREGATOR_ID_MAX_BYTES: usize = 128;
/// The longest metadata document that is read, in bytes.
pub const METADATA_MAX_BYTES: usize = 256 << 10;

/// What an aggregator reports.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AggregatorMetadata {
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
    /// Where consumers find the aggregator: an http or https URL, shown with each name that it offers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(
        nullable = false,
        min_length = 8,
        max_length = 255,
        pattern = r"^https?://[0-9A-Za-z.:-]+(/[0-9A-Za-z._~/-]*)?$"
    )]
    pub url: Option<String>,
    /// The address from which the aggregator sends: switches match its packets by this and the addresses of consumers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = Ipv4)]
    pub address: Option<Ipv4Addr>,
    /// The address from which the aggregator sends to consumers with an `ipv6_address`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = Ipv6)]
    pub ipv6_address: Option<Ipv6Addr>,
    /// The buffers, by QoS level; an absent level is empty.
    #[serde(default)]
    #[schema(max_items = 3)]
    pub levels: Vec<AggregatorLevel>,
    /// The topics that the aggregator offers, and their subscribers.
    #[serde(default)]
    #[schema(max_items = 1024)]
    pub topics: Vec<AggregatorTopic>,
}

/// Why a report over MQTT was refused, under `watermaster/v1/aggregators/{id}/errors`: the problem that HTTP answers, and
/// which report it is about.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AggregatorFault {
    /// When the report was refused, by the clock of the orchestrator.
    #[schema(value_type = String, format = DateTime)]
    pub at: Instant,
    /// `at` of the report; absent where the report cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub report_at: Option<Instant>,
    /// `instance` of the report, if it has one and can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub report_instance: Option<String>,
    /// What was wrong, and where.
    #[serde(flatten)]
    pub problem: ProblemDocument,
}

/// What an aggregator had lately.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AggregatorHistory {
    /// The id of the aggregator.
    pub id: String,
    /// How long the step of a point is, in milliseconds.
    pub step_ms: u64,
    /// The steps in which it reported or its rates changed, the oldest first; of a quarter of an hour at most.
    pub points: Vec<AggregatorHistoryPoint>,
}

/// An aggregator within a step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AggregatorHistoryPoint {
    /// When the step begins.
    #[schema(value_type = String, format = DateTime)]
    pub at: Instant,
    /// Each QoS level.
    pub levels: Vec<AggregatorHistoryLevel>,
}

/// A QoS level of an aggregator within a step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AggregatorHistoryLevel {
    /// 0 insensitive, 1 sensitive, 2 priority.
    #[schema(maximum = 2)]
    pub qos_level: u8,
    /// The most that waited in the buffer, in parts per million of what may wait there.
    pub buffer_ppm: u64,
    /// The last rate that it was given, in bit/s.
    pub rate_bps: u64,
}

/// A QoS level of an aggregator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AggregatorLevel {
    /// 0 insensitive, 1 sensitive, 2 priority.
    #[schema(maximum = 2)]
    pub qos_level: u64,
    /// The number of subscriptions.
    #[serde(default)]
    pub subscribers: u32,
    /// What waits in the buffer, in bytes.
    #[schema(maximum = 1_125_899_906_842_624_u64)]
    pub buffer_bytes: u64,
    /// What may wait in the buffer, in bytes.
    #[schema(maximum = 1_125_899_906_842_624_u64)]
    pub buffer_capacity_bytes: u64,
    /// What arrives from devices, in bit/s.
    #[schema(maximum = 1_000_000_000_000_000_u64)]
    pub arrival_bps: u64,
    /// The number of messages lost since the aggregator started.
    #[serde(default)]
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub dropped: u64,
}

/// A topic of an aggregator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AggregatorTopic {
    /// The name of the topic.
    #[schema(min_length = 1, max_length = 255)]
    pub topic: String,
    /// The QoS level in which it is sent.
    #[schema(maximum = 2)]
    pub qos_level: u64,
    /// What arrives from devices, in bit/s.
    #[schema(maximum = 1_000_000_000_000_000_u64)]
    pub arrival_bps: u64,
    /// The consumers that subscribed in this level.
    #[serde(default)]
    #[schema(max_items = 1024)]
    pub subscribers: Vec<AggregatorSubscriber>,
}

/// A consumer of a topic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AggregatorSubscriber {
    /// The name of the consumer.
    #[schema(min_length = 1, max_length = 255)]
    pub consumer: String,
    /// The node at which the consumer is.
    #[schema(min_length = 1, max_length = 255)]
    pub node: String,
    /// The address at which the consumer receives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = Ipv4)]
    pub address: Option<Ipv4Addr>,
    /// The address at which the consumer receives, where that is one of IPv6; not with `address`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = Ipv6)]
    pub ipv6_address: Option<Ipv6Addr>,
    /// The TCP port at which the consumer receives; only with an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, maximum = 65535)]
    pub port: Option<u16>,
}

/// What an aggregator may send.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AggregatorRates {
    /// Higher than that of all rates before; rates with a lower one are to be passed over.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub sequence: u64,
    /// When the rates were decided.
    #[schema(value_type = String, format = DateTime)]
    pub at: Instant,
    /// The instance of the report that these rates answer; another instance of the same id is to pass them over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub instance: Option<String>,
    /// The time for which the rates hold if none follow, in milliseconds from `at`.
    pub lease_ms: u64,
    /// The rate of each level.
    pub levels: Vec<AggregatorLevelRate>,
    /// The rate of each level after the lease: what no other aggregator can claim.
    #[serde(default)]
    #[schema(required = true)]
    pub fallback: Vec<AggregatorFallback>,
    /// Whether a level may send what another leaves. The scheduler of this service never allows it; another may.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(ignore)]
    pub work_conserving: bool,
}

/// What may be sent in a level over the network. Consumers at the aggregator's own node need none and are not counted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AggregatorLevelRate {
    /// 0 insensitive, 1 sensitive, 2 priority.
    #[schema(maximum = 2)]
    pub qos_level: u8,
    /// The rate to all destinations together, in bit/s.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub rate_bps: u64,
    /// The allocations that reserve the rate, by id.
    #[serde(default)]
    #[schema(required = true)]
    pub allocations: Vec<String>,
    /// The rate to each node with consumers.
    #[serde(default)]
    pub destinations: Vec<AggregatorDestination>,
    /// Why the level has no rate although it has demand, if no bandwidth could change that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub unserved: Option<UnservedReason>,
}

/// Why nothing can be reserved for a level.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnservedReason {
    /// The bandwidth model of the topology does not have the class type of the level.
    NoClass,
    /// No path leads to a node with consumers of the level.
    NoPath,
    /// Another one, of a later version.
    #[serde(other)]
    Other,
}

impl UnservedReason {
    /// As it is in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoClass => "no_class",
            Self::NoPath => "no_path",
            Self::Other => "other",
        }
    }
}

/// What may be sent to the consumers at a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AggregatorDestination {
    /// The node.
    pub node: String,
    /// The rate, in bit/s.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub rate_bps: u64,
    /// The allocation that reserves the rate, by id; of several the one of the first path.
    pub allocation: String,
    /// The allocations that reserve the rate, where it is split over several paths; empty where `allocation` reserves all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 8)]
    pub paths: Vec<AggregatorPath>,
}

/// One of several paths to the consumers at a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AggregatorPath {
    /// The allocation that reserves the rate of the path, by id.
    pub allocation: String,
    /// The rate of the path, in bit/s.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub rate_bps: u64,
}

/// What may be sent in a level after the lease.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AggregatorFallback {
    /// 0 insensitive, 1 sensitive, 2 priority.
    #[schema(maximum = 2)]
    pub qos_level: u8,
    /// The rate, in bit/s.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub rate_bps: u64,
}

/// An aggregator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Aggregator {
    /// The id of the aggregator.
    pub id: String,
    /// The topology that has its node.
    pub topology: String,
    /// The node at which it is.
    pub node: String,
    /// `fresh`: it reported within its lease; `stale`: a lease has passed, and its backlog counts no longer; `lost`: two
    /// leases have passed, and its reservations are released.
    pub state: AggregatorFreshness,
    /// When the last report arrived.
    #[schema(value_type = String, format = DateTime)]
    pub heard_at: Instant,
    /// What it needs of the network, by level.
    pub demand: Vec<AggregatorDemand>,
    /// What it may send.
    pub rates: AggregatorRates,
    /// The most paths over which traffic to a node is split: `max_paths` of `[scheduler]` under the policy `max_min`, where a
    /// controller drives the switches of the topology no more than `max_paths_on_switches`; 1 under the other policies, and where
    /// that controller is ONOS or the switch of the aggregator's node splits no flow.
    #[serde(default = "one_path")]
    #[schema(required = true, minimum = 1, maximum = 8)]
    pub max_paths: u32,
    /// The last report; not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub metadata: Option<AggregatorMetadata>,
}

/// What services that know nothing of several paths have.
fn one_path() -> u32 {
    1
}

/// How recent the last report of an aggregator is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AggregatorState)]
pub enum AggregatorFreshness {
    /// It reported within its lease.
    Fresh,
    /// A lease has passed.
    Stale,
    /// Two leases have passed.
    Lost,
}

/// What an aggregator needs in a level.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AggregatorDemand {
    /// 0 insensitive, 1 sensitive, 2 priority.
    #[schema(maximum = 2)]
    pub qos_level: u8,
    /// What arrives for consumers elsewhere and the backlog over the time in which it is to be sent, in bit/s.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    pub demand_bps: u64,
    /// Whether the buffer is over the threshold.
    pub boosted: bool,
}

/// A page of aggregators.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AggregatorPage {
    /// By id, without their metadata.
    pub items: Vec<Aggregator>,
    /// The cursor of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
}
