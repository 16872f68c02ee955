//! The documents of a gateway's own interface: subscriptions and batches, contents by name, and its status.

use serde::{Deserialize, Serialize};

use super::aggregator::UnservedReason;
use super::instant::Instant;
use super::qos_level::Level;

/// A consumer's request for a subscription.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionRequest {
    /// The topics: an MQTT filter.
    pub topic: String,
    /// The QoS level; absent: the one that the gateway has for these topics, or the lowest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos_level: Option<Level>,
    /// Where batches are posted; absent: the consumer reads a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// The name of the consumer; absent: the id of the subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// The consumer's node in the orchestrator's topology; absent: that of the gateway if the consumer is on the gateway's
    /// machine. Any other consumer without a node shares what its level may send, and asks for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// A subscription.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SubscriptionView {
    /// The id of the subscription.
    pub id: String,
    /// The topics: an MQTT filter.
    pub topic: String,
    /// The QoS level.
    pub qos_level: Level,
    /// The name of the consumer.
    pub consumer: String,
    /// The node of the consumer.
    pub node: String,
    /// Whether what arrives for it counts as demand, and if not why.
    pub state: SubscriptionState,
    /// Where batches are posted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// The path where batches are streamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The number of deliveries that failed since the last that arrived.
    pub failures: u32,
    /// What waits or is being delivered, in bytes.
    pub waiting_bytes: u64,
    /// What became of messages.
    pub counts: BufferCounts,
}

/// What a subscription is to the orchestrator.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptionState {
    /// It is reported, and its node has a share of the rates.
    Reported,
    /// The consumer is at the gateway's own node: it needs no rate.
    Local,
    /// Deliveries have failed, or no stream was read, for some seconds: it is no demand until the consumer is back.
    Failing,
    /// The consumer named no node: it asks for nothing, and shares what its level may send.
    NoNode,
    /// The orchestrator does not know the node of the consumer; the gateway reports it again every few seconds.
    UnknownNode,
}

/// All subscriptions of a gateway.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SubscriptionList {
    /// In the order of their ids.
    pub items: Vec<SubscriptionView>,
}

/// What became of messages, in messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct BufferCounts {
    /// Came in.
    pub offered: u64,
    /// Arrived at their consumer: its answer said so, or they were written to its stream.
    pub delivered: u64,
    /// New, and refused by the policy `fifo`.
    pub refused: u64,
    /// Old, and overwritten by the policy `circular`.
    pub overwritten: u64,
    /// Dropped from a subscription that had more than an equal part of the buffer.
    pub pushed_out: u64,
    /// Larger than the whole buffer.
    pub too_large: u64,
    /// Rejected by the consumer.
    pub rejected: u64,
    /// Waiting when their subscription ended.
    pub abandoned: u64,
}

impl BufferCounts {
    /// The messages lost, each with the reason.
    pub fn losses(&self) -> [(&'static str, u64); 6] {
        [
            ("refused", self.refused),
            ("overwritten", self.overwritten),
            ("pushed_out", self.pushed_out),
            ("too_large", self.too_large),
            ("rejected", self.rejected),
            ("abandoned", self.abandoned),
        ]
    }

    /// The number of messages lost.
    pub fn dropped(&self) -> u64 {
        self.losses().iter().map(|(_, count)| count).sum()
    }
}

/// A batch of messages, as a consumer gets it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BatchDocument {
    /// The id of the gateway.
    pub gateway: String,
    /// Drawn when the gateway first started: another instance numbers subscriptions and messages anew.
    pub instance: String,
    /// The id of the subscription.
    pub subscription: String,
    /// When the batch was sent.
    pub sent_at: Instant,
    /// The messages, in order.
    pub messages: Vec<MessageDocument>,
}

/// A message of a batch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MessageDocument {
    /// The number in the subscription, from 1; a gap is what was dropped.
    pub sequence: u64,
    /// The topic.
    pub topic: String,
    /// When the message arrived at the gateway.
    pub at: Instant,
    /// The payload, if it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// The payload in base64, if it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<String>,
}

/// A name that a gateway offers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ContentView {
    /// The name: a topic.
    pub name: String,
    /// When the last value arrived.
    pub at: Instant,
    /// The size of the last value, in bytes.
    pub bytes: usize,
    /// The number of values so far.
    pub messages: u64,
    /// What arrives, in bit/s.
    pub arrival_bps: u64,
    /// The path of the last value.
    pub href: String,
}

/// The names that a gateway offers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ContentList {
    /// The id of the gateway.
    pub gateway: String,
    /// The latest first.
    pub items: Vec<ContentView>,
}

/// What becomes of messages in a full buffer, and in which QoS levels topics are.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyDocument {
    /// The policy of topics without one of their own.
    pub policy: OverflowPolicy,
    /// The policies and levels of some topics; of those that match, the first that has a policy counts, and the first that has a
    /// level.
    #[serde(default)]
    pub policies: Vec<TopicPolicy>,
}

/// The policy and the level of some topics; at least one of both.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicPolicy {
    /// The topics: an MQTT filter.
    pub topic: String,
    /// What becomes of their messages in a full buffer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<OverflowPolicy>,
    /// The QoS level of subscriptions to them that name none, and the one in which they are offered without a subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos_level: Option<Level>,
}

/// The status of a gateway.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StatusView {
    /// The id of the gateway as an aggregator.
    pub gateway: String,
    /// Drawn when it started.
    pub instance: String,
    /// Its node.
    pub node: String,
    /// Whose the rates in force are.
    pub rates_from: RateSource,
    /// The sequence number of the orchestrator's last rates.
    pub rates_sequence: Option<u64>,
    /// Whether a level may send what another leaves.
    pub is_work_conserving: bool,
    /// What became of reports to the orchestrator.
    pub reports: ReportCounts,
    /// How far the orchestrator's clock is ahead of the gateway's, in milliseconds; 0: less than five seconds.
    pub clock_offset_ms: i64,
    /// The QoS levels, from 0.
    pub levels: Vec<LevelView>,
    /// The number of topics with a last value.
    pub topics: usize,
    /// The number of topics forgotten for want of room.
    pub topics_forgotten: u64,
    /// The number of messages ignored because their topic is too long or has control characters.
    pub messages_ignored: u64,
    /// The spool; absent: what waits ends with the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool: Option<SpoolView>,
    /// The policy of topics without one of their own.
    pub policy: OverflowPolicy,
}

/// What keeps messages, subscriptions and last values when the process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SpoolView {
    /// The messages in the file, in bytes.
    pub bytes: u64,
    /// What they may have before the oldest are written anew without what is over, in bytes.
    pub limit_bytes: u64,
    /// Whether the file takes writes; while it does not, devices are not acknowledged.
    pub is_available: bool,
}

/// What became of reports to the orchestrator since the gateway started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ReportCounts {
    /// Answered with rates.
    pub taken: u64,
    /// Refused, or not answered.
    pub failed: u64,
}

/// The status of a QoS level.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LevelView {
    /// 0 insensitive, 1 sensitive, 2 priority.
    pub qos_level: Level,
    /// What the level may send, in bit/s.
    pub rate_bps: u64,
    /// Why the orchestrator can reserve nothing for it; absent: it can, or nothing is to be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unserved: Option<UnservedReason>,
    /// What it sends to other nodes, in bit/s.
    pub sent_bps: u64,
    /// What it sends to consumers at the gateway's own node, in bit/s: no rate limits that.
    pub sent_here_bps: u64,
    /// What comes in for consumers at other nodes that accept deliveries, once for each subscription, in bit/s.
    pub arrival_bps: u64,
    /// What waits for those, in bytes; with what arrives it is the demand that the gateway reports.
    pub backlog_bytes: u64,
    /// The number of subscriptions.
    pub subscribers: usize,
    /// What waits in all, in bytes.
    pub buffer_bytes: u64,
    /// What may wait, in bytes.
    pub buffer_capacity_bytes: u64,
    /// What became of messages.
    pub counts: BufferCounts,
}

/// Whose the rates in force are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateSource {
    /// The orchestrator's, within their lease.
    Orchestrator,
    /// The orchestrator's for the time after the lease, or those of the gateway's options.
    Fallback,
}

/// What becomes of messages when the buffer is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverflowPolicy {
    /// New messages are refused: history counts.
    Fifo,
    /// The oldest messages are overwritten: the present counts.
    #[default]
    Circular,
}
