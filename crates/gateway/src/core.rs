//! The gateway as a state machine: messages and subscriptions go in, batches come out as the rates allow. It does no I/O,
//! and time is an argument.
//!
//! What must stay true: a subscription has at most one batch in flight; one whose deliveries fail delays no other.

mod delivery;
mod spooled;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use api::gateway::{BufferCounts, OverflowPolicy, PolicyDocument};
use api::qos_level::{LEVELS, Level, PerLevel};
use bytes::Bytes;

use super::buffer::{Buffer, DeliveryEnd, LaneTarget, SubscriptionId};
use super::clock::SinceStart;
use super::limits::{
    DEMAND_PATIENCE_US, LOCAL_BPS, SILENCE_MAX_US, SUBSCRIPTIONS_MAX, SUBSCRIPTIONS_PER_CONSUMER_MAX,
    SUBSCRIPTIONS_PER_PEER_MAX, TOPIC_MAX_BYTES,
};
use super::message::TopicMessage;
use super::rate_lease::{LevelRates, RateLease, RatesInForce, RatesUpdate};
use super::rate_meter::RateMeter;
use super::spool::SpoolChanges;
use super::subscription::{ConsumerSubscription, SubscribeError, SubscriptionTerms};
use super::token_bucket::{LevelBuckets, TokenBucket};
use super::topic_cache::{CachedTopic, TopicCache};
use super::wire_cost::{self, OverheadMeter};
pub use delivery::{BatchCharge, DeliveryBatch, DeliveryOutcome};
use mqtt::codec::topic;
pub(super) use spooled::{LastValue, SpoolCut};

/// What a gateway's options say to its core.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GatewaySettings {
    /// The gateway's node: consumers there need no link of the orchestrator, and so no rate.
    pub node: String,
    /// The buffer of each level, in bytes.
    pub buffer_bytes: PerLevel<u64>,
    /// What each level may send before the orchestrator ever answered, in bit/s.
    pub fallback_bps: PerLevel<u64>,
    /// What becomes of messages in a full buffer.
    pub policies: PolicyDocument,
    /// The number of the first subscription.
    pub first_id: u64,
}

/// The state of a gateway.
#[derive(Debug)]
pub struct GatewayCore {
    settings: GatewaySettings,
    buffers: PerLevel<Buffer>,
    /// What arrives for consumers at other nodes that accept deliveries.
    arrivals: PerLevel<RateMeter>,
    sent: PerLevel<RateMeter>,
    sent_here: PerLevel<RateMeter>,
    /// What sending to other nodes takes besides the messages.
    overheads: PerLevel<OverheadMeter>,
    buckets: LevelBuckets,
    /// For consumers at the gateway's own node.
    local: TokenBucket,
    lease: RateLease,
    topics: TopicCache,
    subscriptions: BTreeMap<SubscriptionId, ConsumerSubscription>,
    /// When the next attempt after a failed delivery is.
    retries: BTreeSet<(SinceStart, SubscriptionId)>,
    /// When a subscription that nothing reaches is no demand any more, and when it ends.
    silence_deadlines: BTreeSet<(SinceStart, SubscriptionId)>,
    next_id: u64,
    /// Counts changes of the subscriptions and their endpoints, from 1.
    revision: u64,
    /// Topics whose messages are ignored: they are no names to the orchestrator.
    unnamed: u64,
    unknown_nodes: BTreeSet<String>,
    changes: SpoolChanges,
}

impl GatewayCore {
    /// Without topics and subscriptions.
    pub fn new(now: SinceStart, settings: GatewaySettings) -> Self {
        let lease = RateLease::new(settings.fallback_bps);
        let mut core = Self {
            buffers: settings.buffer_bytes.map(Buffer::new),
            arrivals: Default::default(),
            sent: Default::default(),
            sent_here: Default::default(),
            overheads: Default::default(),
            buckets: LevelBuckets::default(),
            local: TokenBucket::new(now, LOCAL_BPS),
            lease,
            topics: TopicCache::default(),
            subscriptions: BTreeMap::new(),
            retries: BTreeSet::new(),
            silence_deadlines: BTreeSet::new(),
            next_id: settings.first_id,
            revision: 1,
            unnamed: 0,
            unknown_nodes: BTreeSet::new(),
            changes: SpoolChanges::default(),
            settings,
        };
        core.refresh_buckets(now);
        core
    }

    /// A message from a device. Topics that are no names to the orchestrator are ignored, and counted.
    pub fn offer(&mut self, now: SinceStart, at_ms: u64, name: &str, payload: Bytes) {
        if name.len() > TOPIC_MAX_BYTES || name.chars().any(char::is_control) {
            self.unnamed += 1;
            return;
        }
        let name = self.topics.record(at_ms, name, payload.clone());
        self.changes.record_topic();
        let subscriptions = &self.subscriptions;
        let routes = self.topics.routes(&name, self.revision, || {
            let matching = subscriptions.values().filter(|subscription| subscription.matches(&name));
            matching.map(|subscription| (subscription.terms.level, subscription.id)).collect()
        });
        if routes.is_empty() {
            // Without a subscription it is not rendered: an estimate of its size will do.
            return self.topics.measure(now, &name, TopicMessage::bytes_about(&name, &payload));
        }
        let message = Arc::new(TopicMessage::new(Arc::clone(&name), &payload, self.policy_of(&name), at_ms));
        self.topics.measure(now, &name, message.bytes());
        let places = routes.iter().filter_map(|route| self.offer_to(now, *route, &message)).collect();
        self.changes.record_message(&message, places);
    }

    /// A new subscription begins with a message that was retained before.
    pub fn offer_retained(&mut self, now: SinceStart, id: SubscriptionId, at_ms: u64, name: &str, payload: &[u8]) {
        let Some(level) = self.subscriptions.get(&id).map(|subscription| subscription.terms.level) else { return };
        // Its own time, if it is known.
        let at_ms = self.topics.get(name).filter(|known| *known.payload == *payload).map_or(at_ms, |known| known.at_ms);
        let message = Arc::new(TopicMessage::new(name.into(), payload, self.policy_of(name), at_ms));
        let places = self.offer_to(now, (level, id), &message).into_iter().collect();
        self.changes.record_message(&message, places);
    }

    /// Offers a message to a subscription; its place there.
    fn offer_to(
        &mut self,
        now: SinceStart,
        (level, id): (Level, SubscriptionId),
        message: &Arc<TopicMessage>,
    ) -> Option<(SubscriptionId, u64)> {
        let buffer = &mut self.buffers[level.at()];
        if buffer.lane_demand(id) == Some((LaneTarget::Away, false)) {
            self.arrivals[level.at()].add(now, message.bytes());
        }
        let sequence = buffer.offer(id, message);
        for changed in buffer.take_victims().into_iter().chain([id]) {
            self.changes.record_lane(changed);
        }
        Some((id, sequence?))
    }

    /// The level of subscriptions to these topics that name none.
    pub fn level_of(&self, filter: &str) -> Level {
        let policies = self.settings.policies.policies.iter();
        policies.filter(|own| topic::covers(&own.topic, filter)).find_map(|own| own.qos_level).unwrap_or(Level::LOWEST)
    }

    fn policy_of(&self, name: &str) -> OverflowPolicy {
        let PolicyDocument { policy, policies } = &self.settings.policies;
        policies.iter().filter(|own| topic::matches(&own.topic, name)).find_map(|own| own.policy).unwrap_or(*policy)
    }

    /// Adds a subscription.
    ///
    /// # Errors
    /// There are too many, in all or of this consumer.
    pub fn subscribe(&mut self, now: SinceStart, terms: SubscriptionTerms) -> Result<SubscriptionId, SubscribeError> {
        if self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            return Err(SubscribeError::TooMany { max: SUBSCRIPTIONS_MAX });
        }
        let count = |is_same: &dyn Fn(&SubscriptionTerms) -> bool| {
            self.subscriptions.values().filter(|other| is_same(&other.terms)).count()
        };
        let of_consumer = count(&|other| terms.consumer.is_some() && other.consumer == terms.consumer);
        let of_peer = count(&|other| terms.peer.is_some() && other.peer == terms.peer);
        for (count, max) in [(of_consumer, SUBSCRIPTIONS_PER_CONSUMER_MAX), (of_peer, SUBSCRIPTIONS_PER_PEER_MAX)] {
            if count >= max {
                return Err(SubscribeError::TooManyOfOwner { max });
            }
        }
        let id = SubscriptionId(self.next_id);
        self.next_id += 1;
        self.insert_subscription(now, ConsumerSubscription::new(id, terms));
        self.changes.record_subscription(id);
        Ok(id)
    }

    /// Ends a subscription; whether there was one.
    pub fn unsubscribe(&mut self, id: SubscriptionId) -> bool {
        let Some(subscription) = self.subscriptions.remove(&id) else { return false };
        self.revision += 1;
        self.buffers[subscription.terms.level.at()].remove_lane(id);
        self.changes.record_end(id);
        self.retries.retain(|(_, other)| *other != id);
        if let Some(since) = subscription.silent_since {
            for limit_us in [DEMAND_PATIENCE_US, SILENCE_MAX_US] {
                self.silence_deadlines.remove(&(since.after(limit_us), id));
            }
        }
        true
    }

    /// A delivery or stream of a subscription had this peer.
    pub fn observe_endpoint(&mut self, id: SubscriptionId, endpoint: SocketAddr) {
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            self.revision += u64::from(subscription.observe_endpoint(endpoint));
        }
    }

    /// A stream is read from now on, by one who has all messages up to `last`; `None`: it goes on where it was. A consumer
    /// that named no node is at the gateway's if it reads from this machine.
    pub fn attach(&mut self, id: SubscriptionId, last: Option<u64>, is_local: bool) {
        self.end_silence(id);
        if let Some(subscription) = self.subscriptions.get(&id) {
            let buffer = &mut self.buffers[subscription.terms.level.at()];
            if subscription.terms.node.is_none() {
                buffer.set_side(id, if is_local { LaneTarget::Here } else { LaneTarget::Away });
            }
            buffer.resume(id, last);
            buffer.open(id);
            self.changes.record_lane(id);
        }
    }

    /// A stream is read no more; the batch in flight goes back.
    pub fn detach(&mut self, now: SinceStart, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get(&id) {
            let buffer = &mut self.buffers[subscription.terms.level.at()];
            buffer.finish_delivery(id, DeliveryEnd::Failed);
            buffer.close(id);
            self.start_silence(now, id);
        }
    }

    /// Rates of the orchestrator arrived.
    pub fn apply_rates(&mut self, now: SinceStart, rates: LevelRates) -> RatesUpdate {
        let update = self.lease.apply_rates(now, rates);
        self.refresh_buckets(now);
        update
    }

    fn refresh_buckets(&mut self, now: SinceStart) {
        let RatesInForce { levels_bps, is_work_conserving, .. } = self.lease.in_force(now);
        self.buckets.set(now, &levels_bps, is_work_conserving);
    }

    /// All subscriptions, by id.
    pub fn subscriptions(&self) -> impl Iterator<Item = &ConsumerSubscription> {
        self.subscriptions.values()
    }

    /// One of them.
    pub fn subscription(&self, id: SubscriptionId) -> Option<&ConsumerSubscription> {
        self.subscriptions.get(&id)
    }

    /// What became of a subscription's messages, and its bytes in the buffer.
    pub fn lane(&self, subscription: &ConsumerSubscription) -> (BufferCounts, u64) {
        self.buffers[subscription.terms.level.at()].lane(subscription.id).unwrap_or_default()
    }

    /// Where a subscription leads, and whether deliveries have failed for some time.
    pub fn demand(&self, subscription: &ConsumerSubscription) -> (LaneTarget, bool) {
        self.buffers[subscription.terms.level.at()].lane_demand(subscription.id).unwrap_or_default()
    }

    /// The nodes of consumers that the orchestrator does not know.
    pub fn unknown_nodes(&self) -> &BTreeSet<String> {
        &self.unknown_nodes
    }

    /// The orchestrator does not know these nodes; none: it may know all.
    pub fn set_unknown_nodes(&mut self, nodes: BTreeSet<String>) {
        self.unknown_nodes = nodes;
    }

    /// The buffer of a level.
    pub fn buffer(&self, level: Level) -> &Buffer {
        &self.buffers[level.at()]
    }

    /// What comes in and what is sent in each level, of that for other nodes, with the overhead of sending, in bit/s.
    pub fn flows_bps(&self, now: SinceStart) -> PerLevel<(u64, u64)> {
        std::array::from_fn(|at| (self.expect_bps(now, at, self.arrivals[at].bps(now)), self.sent[at].bps(now)))
    }

    /// What waits in a level for consumers at other nodes that accept deliveries, and the size of its buffer, in bytes as
    /// messages have been coded lately.
    pub fn backlog_on_wire(&self, now: SinceStart, level: Level) -> (u64, u64) {
        let (buffer, ppm) = (&self.buffers[level.at()], self.overheads[level.at()].coded_ppm(now));
        (wire_cost::part(buffer.backlog_bytes(), ppm), wire_cost::part(buffer.capacity_bytes(), ppm))
    }

    /// What is sent in each level to consumers at the gateway's own node, in bit/s.
    pub fn sent_here_bps(&self, now: SinceStart) -> PerLevel<u64> {
        std::array::from_fn(|at| self.sent_here[at].bps(now))
    }

    /// What is asked for so that a level can send what arrives at once: what that takes, and the headroom in which its bucket
    /// fills again.
    pub fn asked_bps(&self, now: SinceStart, level: Level) -> u64 {
        self.ask_bps(now, level, self.arrivals[level.at()].bps(now))
    }

    /// The same for a topic to one consumer of a level, in bit/s.
    pub fn topic_bps(&self, now: SinceStart, content: &CachedTopic, level: Level) -> u64 {
        self.ask_bps(now, level, content.meter.bps(now))
    }

    /// The part of the level's headroom that what arrives at a rate has.
    fn ask_bps(&self, now: SinceStart, level: Level, arrival_bps: u64) -> u64 {
        let expect = |arrival_bps: u64| self.expect_bps(now, level.at(), arrival_bps);
        wire_cost::with_headroom(expect(arrival_bps), expect(self.arrivals[level.at()].bps(now)))
    }

    fn expect_bps(&self, now: SinceStart, at: usize, arrival_bps: u64) -> u64 {
        let (level_bps, lanes) = (self.arrivals[at].bps(now), self.buffers[at].lane_count() as u64);
        self.overheads[at].expect_bps(now, arrival_bps, level_bps, lanes)
    }

    /// How many messages were ignored because their topic is no name to the orchestrator.
    pub fn unnamed(&self) -> u64 {
        self.unnamed
    }

    /// The topics with a last value.
    pub fn topics(&self) -> &TopicCache {
        &self.topics
    }

    /// The rates in force, and the sequence number of the orchestrator's last ones.
    pub fn rates(&self, now: SinceStart) -> (RatesInForce, Option<u64>) {
        (self.lease.in_force(now), self.lease.sequence())
    }

    /// What becomes of messages in a full buffer.
    pub fn policies(&self) -> &PolicyDocument {
        &self.settings.policies
    }

    /// Changes what becomes of messages that arrive from now on, and the levels of subscriptions that are made from now on.
    pub fn set_policies(&mut self, policies: PolicyDocument) {
        self.settings.policies = policies;
        self.changes.record_policies();
    }

    /// Changes with every subscription and its endpoint.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

const _: () = assert!(LEVELS == 3, "the documents have three levels");

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
