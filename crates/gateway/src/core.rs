//! The gateway as a state machine: messages and subscriptions go in, batches come out as the rates allow. It does no I/O,
//! and time is an argument.
//!
//! What must stay true: a subscription has at most one batch in flight; one whose deliveries fail delays no other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;
use std::sync::Arc;

use api::gateway::{BufferCounts, OverflowPolicy};
use api::qos_level::{LEVELS, Level, PerLevel};
use bytes::Bytes;

use super::buffer::{Buffer, BufferedMessage, DeliveryEnd, LaneTarget, SubscriptionId};
use super::clock::SinceStart;
use super::limits::{
    BATCH_MAX_BYTES, BATCH_MAX_MESSAGES, LOCAL_BPS, SILENCE_MAX_US, SUBSCRIPTIONS_MAX, TOPIC_MAX_BYTES,
};
use super::message::TopicMessage;
use super::rate_lease::{LevelRates, RateLease, RatesInForce, RatesUpdate};
use super::rate_meter::RateMeter;
use super::subscription::{ConsumerSubscription, DeliveryTarget, SubscribeError, SubscriptionTerms};
use super::token_bucket::{LevelBuckets, TokenBucket};
use super::topic_cache::{CachedTopic, TopicCache};
use super::wire_cost::{self, OverheadMeter};
use mqtt::codec::topic;

/// What a gateway's options say to its core.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GatewaySettings {
    /// The gateway's node: consumers there need no link of the orchestrator, and so no rate.
    pub node: String,
    /// The buffer of each level, in bytes.
    pub buffer_bytes: PerLevel<u64>,
    /// What each level may send before the orchestrator ever answered, in bit/s.
    pub fallback_bps: PerLevel<u64>,
    /// What becomes of messages in a full buffer, by topic filter; the first that matches counts.
    pub policies: Vec<(String, OverflowPolicy)>,
    /// The policy of all other topics.
    pub policy: OverflowPolicy,
    /// The number of the first subscription.
    pub first_id: u64,
}

/// The messages of one delivery.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeliveryBatch {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// Its QoS level.
    pub level: Level,
    /// In the order of their numbers.
    pub items: Vec<BufferedMessage>,
}

/// The consumer's answer to a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeliveryOutcome {
    /// It has the batch.
    Delivered,
    /// It does not accept this batch.
    Rejected,
    /// None, or an error: the batch is sent again later.
    Failed,
    /// It is gone for good, or leads back to this gateway: the subscription ends.
    Gone,
}

/// The state of a gateway.
#[derive(Debug)]
pub struct GatewayCore {
    settings: GatewaySettings,
    buffers: PerLevel<Buffer>,
    arrivals: PerLevel<RateMeter>,
    sent: PerLevel<RateMeter>,
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
    /// When a subscription without deliveries ends.
    silence_ends: BTreeSet<(SinceStart, SubscriptionId)>,
    next_id: u64,
    /// Counts changes of the subscriptions and their endpoints, from 1.
    revision: u64,
}

impl GatewayCore {
    /// Without topics and subscriptions.
    pub fn new(now: SinceStart, settings: GatewaySettings) -> Self {
        let lease = RateLease::new(settings.fallback_bps);
        let mut core = Self {
            buffers: settings.buffer_bytes.map(Buffer::new),
            arrivals: Default::default(),
            sent: Default::default(),
            overheads: Default::default(),
            buckets: LevelBuckets::default(),
            local: TokenBucket::new(now, LOCAL_BPS),
            lease,
            topics: TopicCache::default(),
            subscriptions: BTreeMap::new(),
            retries: BTreeSet::new(),
            silence_ends: BTreeSet::new(),
            next_id: settings.first_id,
            revision: 1,
            settings,
        };
        core.refresh_buckets(now);
        core
    }

    /// A message from a device. Topics that are no names to the orchestrator are ignored.
    pub fn offer(&mut self, now: SinceStart, at_ms: u64, name: &str, payload: Bytes) {
        if name.len() > TOPIC_MAX_BYTES || name.chars().any(char::is_control) {
            return;
        }
        let name = self.topics.record(at_ms, name, payload.clone());
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
        for (level, id) in routes.iter() {
            self.arrivals[level.at()].add(now, message.bytes());
            self.buffers[level.at()].offer(*id, &message);
        }
    }

    fn policy_of(&self, name: &str) -> OverflowPolicy {
        let own = self.settings.policies.iter().find(|(filter, _)| topic::matches(filter, name));
        own.map_or(self.settings.policy, |(_, policy)| *policy)
    }

    /// Adds a subscription.
    ///
    /// # Errors
    /// There are too many.
    pub fn subscribe(&mut self, now: SinceStart, terms: SubscriptionTerms) -> Result<SubscriptionId, SubscribeError> {
        if self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            return Err(SubscribeError::TooMany { max: SUBSCRIPTIONS_MAX });
        }
        let id = SubscriptionId(self.next_id);
        self.next_id += 1;
        self.revision += 1;
        let buffer = &mut self.buffers[terms.level.at()];
        let is_here = terms.node.as_ref().is_none_or(|node| *node == self.settings.node);
        buffer.add_lane(id, if is_here { LaneTarget::Here } else { LaneTarget::Away });
        let is_stream = terms.target == DeliveryTarget::Stream;
        if !is_stream {
            buffer.open(id);
        }
        self.subscriptions.insert(id, ConsumerSubscription::new(id, terms));
        if is_stream {
            self.start_silence(now, id);
        }
        Ok(id)
    }

    /// Ends a subscription; whether there was one.
    pub fn unsubscribe(&mut self, id: SubscriptionId) -> bool {
        let Some(subscription) = self.subscriptions.remove(&id) else { return false };
        self.revision += 1;
        self.buffers[subscription.terms.level.at()].remove_lane(id);
        self.retries.retain(|(_, other)| *other != id);
        if let Some(since) = subscription.silent_since {
            self.silence_ends.remove(&(since.after(SILENCE_MAX_US), id));
        }
        true
    }

    /// A delivery or stream of a subscription had this peer.
    pub fn observe_endpoint(&mut self, id: SubscriptionId, endpoint: SocketAddrV4) {
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            self.revision += u64::from(subscription.observe_endpoint(endpoint));
        }
    }

    /// A stream is read from now on.
    pub fn attach(&mut self, id: SubscriptionId) {
        self.end_silence(id);
        if let Some(subscription) = self.subscriptions.get(&id) {
            self.buffers[subscription.terms.level.at()].open(id);
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

    fn start_silence(&mut self, now: SinceStart, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            let since = *subscription.silent_since.get_or_insert(now);
            self.silence_ends.insert((since.after(SILENCE_MAX_US), id));
        }
    }

    fn end_silence(&mut self, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            subscription.delivery_answered();
            if let Some(since) = subscription.silent_since.take() {
                self.silence_ends.remove(&(since.after(SILENCE_MAX_US), id));
            }
        }
    }

    /// A delivery ended; whether the subscription is still there.
    pub fn finish_delivery(&mut self, now: SinceStart, id: SubscriptionId, outcome: DeliveryOutcome) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return false };
        let buffer = &mut self.buffers[subscription.terms.level.at()];
        match outcome {
            DeliveryOutcome::Delivered => buffer.finish_delivery(id, DeliveryEnd::Delivered),
            DeliveryOutcome::Rejected => buffer.finish_delivery(id, DeliveryEnd::Rejected),
            DeliveryOutcome::Failed => {
                let pause_us = u64::try_from(subscription.delivery_failed().as_micros()).unwrap_or(u64::MAX);
                buffer.finish_delivery(id, DeliveryEnd::Failed);
                buffer.close(id);
                self.retries.insert((now.after(pause_us), id));
                self.start_silence(now, id);
                return true;
            }
            DeliveryOutcome::Gone => {
                self.unsubscribe(id);
                return false;
            }
        }
        self.end_silence(id);
        true
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

    /// What time alone brings about: the end of a lease, of a pause, of a subscription that was silent for too long. Returns
    /// the subscriptions that ended.
    pub fn tick(&mut self, now: SinceStart) -> Vec<SubscriptionId> {
        self.refresh_buckets(now);
        while let Some((until, id)) = self.retries.first().copied().filter(|(until, _)| *until <= now) {
            self.retries.remove(&(until, id));
            if let Some(subscription) = self.subscriptions.get(&id) {
                self.buffers[subscription.terms.level.at()].open(id);
            }
        }
        let mut ended = vec![];
        while let Some((until, id)) = self.silence_ends.first().copied().filter(|(until, _)| *until <= now) {
            self.silence_ends.remove(&(until, id));
            if self.unsubscribe(id) {
                ended.push(id);
            }
        }
        ended
    }

    /// The next batch that may be sent now, the best level first.
    pub fn dispatch(&mut self, now: SinceStart) -> Option<DeliveryBatch> {
        Level::BEST_FIRST
            .into_iter()
            .find_map(|level| self.dispatch_here(now, level))
            .or_else(|| self.dispatch_away(now))
    }

    fn dispatch_here(&mut self, now: SinceStart, level: Level) -> Option<DeliveryBatch> {
        let wanted = wire_cost::batch_bytes(self.buffers[level.at()].ready_bytes(LaneTarget::Here));
        if wanted == 0 {
            return None;
        }
        let budget = self.local.budget_bytes(now, wanted)?;
        let (batch, bytes) = self.batch(now, LaneTarget::Here, level, budget)?;
        self.local.spend(bytes);
        Some(batch)
    }

    fn dispatch_away(&mut self, now: SinceStart) -> Option<DeliveryBatch> {
        let wanted_bytes = self.wanted_bytes(LaneTarget::Away);
        Level::BEST_FIRST.into_iter().filter(|level| wanted_bytes[level.at()] > 0).find_map(|level| {
            let permit = self.buckets.permit(now, level, &wanted_bytes)?;
            let (batch, bytes) = self.batch(now, LaneTarget::Away, level, permit.bytes)?;
            self.buckets.spend(permit, bytes);
            Some(batch)
        })
    }

    /// A batch of a level and side, and what it takes on the link.
    fn batch(
        &mut self,
        now: SinceStart,
        side: LaneTarget,
        level: Level,
        budget_bytes: u64,
    ) -> Option<(DeliveryBatch, u64)> {
        let budget = wire_cost::messages_bytes(budget_bytes).min(BATCH_MAX_BYTES);
        let (subscription, items) = self.buffers[level.at()].next_batch(side, budget, BATCH_MAX_MESSAGES)?;
        let messages_bytes = items.iter().map(|item| item.message.bytes()).sum::<u64>();
        let bytes = wire_cost::batch_bytes(messages_bytes);
        self.sent[level.at()].add(now, bytes);
        if side == LaneTarget::Away {
            self.overheads[level.at()].add(now, messages_bytes, bytes);
        }
        Some((DeliveryBatch { subscription, level, items }, bytes))
    }

    /// What could be sent with unlimited credit.
    fn wanted_bytes(&self, side: LaneTarget) -> PerLevel<u64> {
        std::array::from_fn(|at| wire_cost::batch_bytes(self.buffers[at].ready_bytes(side)))
    }

    /// When [`Self::tick`] or [`Self::dispatch`] will have something to do, if nothing happens until then.
    pub fn next_deadline(&self, now: SinceStart) -> Option<SinceStart> {
        let firsts = [self.retries.first(), self.silence_ends.first()].into_iter().flatten().map(|(until, _)| *until);
        let here: u64 = self.wanted_bytes(LaneTarget::Here).iter().sum();
        let local = if here > 0 { self.local.ready_at(here) } else { None };
        let others =
            [self.buckets.ready_at(&self.wanted_bytes(LaneTarget::Away)), self.lease.next_deadline(now), local];
        firsts.chain(others.into_iter().flatten()).min()
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

    /// The buffer of a level.
    pub fn buffer(&self, level: Level) -> &Buffer {
        &self.buffers[level.at()]
    }

    /// What comes in and what is sent in each level, both with the overhead of sending, in bit/s.
    pub fn flows_bps(&self, now: SinceStart) -> PerLevel<(u64, u64)> {
        std::array::from_fn(|at| {
            (self.overheads[at].expect_bps(now, self.arrivals[at].bps(now)), self.sent[at].bps(now))
        })
    }

    /// What it takes to send a topic to one consumer of a level, in bit/s.
    pub fn topic_bps(&self, now: SinceStart, content: &CachedTopic, level: Level) -> u64 {
        self.overheads[level.at()].expect_bps(now, content.meter.bps(now))
    }

    /// The topics with a last value.
    pub fn topics(&self) -> &TopicCache {
        &self.topics
    }

    /// The rates in force, and the sequence number of the orchestrator's last ones.
    pub fn rates(&self, now: SinceStart) -> (RatesInForce, Option<u64>) {
        (self.lease.in_force(now), self.lease.sequence())
    }

    /// The policy of topics without one of their own.
    pub fn policy(&self) -> OverflowPolicy {
        self.settings.policy
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
