//! The gateway as a machine: messages and subscriptions go in, batches come out as the plan allows. It does no I/O, and
//! time is an argument.
//!
//! What must stay true: a subscription has at most one batch on its way; one that fails waits by itself and delays nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;
use std::sync::Arc;

use bytes::Bytes;

use super::buffer::{Buffer, BufferCounts, BufferedMessage, LaneTarget, Settled, SubscriptionId};
use super::clock::SinceStart;
use super::limits::{BATCH_MAX_BYTES, BATCH_MAX_MESSAGES, LOCAL_BPS, PATIENCE_US, SUBSCRIPTIONS_MAX, TOPIC_MAX_BYTES};
use super::message::{OverflowPolicy, TopicMessage};
use super::qos_level::{LEVELS, Level, PerLevel};
use super::rate_lease::{InForce, Learnt, LevelRates, RateLease};
use super::rate_meter::RateMeter;
use super::subscription::{ConsumerSubscription, DeliveryTarget, SubscribeError, SubscriptionTerms};
use super::token_bucket::{Bucket, Paces};
use super::topic_cache::{Content, Contents};
use super::wire_cost::{self, OverheadMeter};
use mqtt::codec::topic;

/// How a machine is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GatewaySettings {
    /// The gateway's node: consumers there need no link of the orchestrator, and so no rate of its plan.
    pub node: String,
    /// What may wait in each level.
    pub buffer_bytes: PerLevel<u64>,
    /// What each level may send if the orchestrator never spoke.
    pub fallback_bps: PerLevel<u64>,
    /// What happens without room, by topic filter; the first that matches counts.
    pub policies: Vec<(String, OverflowPolicy)>,
    /// For all other topics.
    pub policy: OverflowPolicy,
    /// The number of the first subscription.
    pub first_id: u64,
}

/// Messages for one subscription.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeliveryBatch {
    /// Whose.
    pub subscription: SubscriptionId,
    /// In which level.
    pub level: Level,
    /// What.
    pub items: Vec<BufferedMessage>,
}

/// How a delivery ended, as a consumer's answer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It arrived.
    Arrived,
    /// The consumer does not want this batch.
    Rejected,
    /// It did not arrive this time.
    Failed,
    /// It never will: the consumer is gone for good, or it is ourselves.
    Gone,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Machine {
    settings: GatewaySettings,
    buffers: PerLevel<Buffer>,
    arrivals: PerLevel<RateMeter>,
    sent: PerLevel<RateMeter>,
    /// What sending to consumers elsewhere takes.
    tolls: PerLevel<OverheadMeter>,
    paces: Paces,
    /// For consumers at the gateway's own node.
    local: Bucket,
    plan: RateLease,
    contents: Contents,
    subscriptions: BTreeMap<SubscriptionId, ConsumerSubscription>,
    /// Who waits after a failure, and until when.
    resting: BTreeSet<(SinceStart, SubscriptionId)>,
    /// When patience with somebody ends.
    patience: BTreeSet<(SinceStart, SubscriptionId)>,
    next_id: u64,
    /// Counts changes of the subscriptions and of where they lead, from 1.
    revision: u64,
}

impl Machine {
    /// One without topics and subscriptions.
    pub fn new(now: SinceStart, settings: GatewaySettings) -> Self {
        let plan = RateLease::new(settings.fallback_bps);
        let mut machine = Self {
            buffers: settings.buffer_bytes.map(Buffer::new),
            arrivals: Default::default(),
            sent: Default::default(),
            tolls: Default::default(),
            paces: Paces::default(),
            local: Bucket::new(now, LOCAL_BPS),
            plan,
            contents: Contents::default(),
            subscriptions: BTreeMap::new(),
            resting: BTreeSet::new(),
            patience: BTreeSet::new(),
            next_id: settings.first_id,
            revision: 1,
            settings,
        };
        machine.obey(now);
        machine
    }

    /// A device said something. Topics that the orchestrator could not be told of are ignored.
    pub fn offer(&mut self, now: SinceStart, at_ms: u64, name: &str, payload: Bytes) {
        if name.len() > TOPIC_MAX_BYTES || name.chars().any(char::is_control) {
            return;
        }
        let name = self.contents.note(at_ms, name, payload.clone());
        let subscriptions = &self.subscriptions;
        let routes = self.contents.routes(&name, self.revision, || {
            let wanting = subscriptions.values().filter(|subscription| subscription.wants(&name));
            wanting.map(|subscription| (subscription.wanted.level, subscription.id)).collect()
        });
        if routes.is_empty() {
            // Nobody needs it rendered: how large it would be is known well enough.
            return self.contents.measure(now, &name, TopicMessage::bytes_about(&name, &payload));
        }
        let message = Arc::new(TopicMessage::new(Arc::clone(&name), &payload, self.policy_of(&name), at_ms));
        self.contents.measure(now, &name, message.bytes());
        for (level, id) in routes.iter() {
            self.arrivals[level.at()].add(now, message.bytes());
            self.buffers[level.at()].offer(*id, &message);
        }
    }

    fn policy_of(&self, name: &str) -> OverflowPolicy {
        let own = self.settings.policies.iter().find(|(filter, _)| topic::matches(filter, name));
        own.map_or(self.settings.policy, |(_, policy)| *policy)
    }

    /// Somebody subscribes.
    ///
    /// # Errors
    /// There are too many.
    pub fn subscribe(&mut self, now: SinceStart, wanted: SubscriptionTerms) -> Result<SubscriptionId, SubscribeError> {
        if self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            return Err(SubscribeError::TooMany { max: SUBSCRIPTIONS_MAX });
        }
        let id = SubscriptionId(self.next_id);
        self.next_id += 1;
        self.revision += 1;
        let buffer = &mut self.buffers[wanted.level.at()];
        let is_here = wanted.node.as_ref().is_none_or(|node| *node == self.settings.node);
        buffer.add_lane(id, if is_here { LaneTarget::Here } else { LaneTarget::Away });
        let is_stream = wanted.way == DeliveryTarget::Stream;
        let subscription = ConsumerSubscription { id, wanted, failures: 0, silent_since: None, met: None };
        if !is_stream {
            buffer.open(id);
        }
        self.subscriptions.insert(id, subscription);
        if is_stream {
            self.fall_silent(now, id);
        }
        Ok(id)
    }

    /// A subscription ends; whether there was one.
    pub fn unsubscribe(&mut self, id: SubscriptionId) -> bool {
        let Some(subscription) = self.subscriptions.remove(&id) else { return false };
        self.revision += 1;
        self.buffers[subscription.wanted.level.at()].remove_lane(id);
        self.resting.retain(|(_, resting)| *resting != id);
        if let Some(since) = subscription.silent_since {
            self.patience.remove(&(since.after(PATIENCE_US), id));
        }
        true
    }

    /// It was seen where batches go. That stays known until they are seen to go elsewhere.
    pub fn meet(&mut self, id: SubscriptionId, endpoint: SocketAddrV4) {
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            self.revision += u64::from(subscription.meet(endpoint));
        }
    }

    /// Somebody reads a stream from now on.
    pub fn attach(&mut self, id: SubscriptionId) {
        self.speak(id);
        if let Some(subscription) = self.subscriptions.get(&id) {
            self.buffers[subscription.wanted.level.at()].open(id);
        }
    }

    /// Nobody reads a stream any more; what was on its way goes back.
    pub fn detach(&mut self, now: SinceStart, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get(&id) {
            let buffer = &mut self.buffers[subscription.wanted.level.at()];
            buffer.settle(id, Settled::Failed);
            buffer.close(id);
            self.fall_silent(now, id);
        }
    }

    fn fall_silent(&mut self, now: SinceStart, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            let since = *subscription.silent_since.get_or_insert(now);
            self.patience.insert((since.after(PATIENCE_US), id));
        }
    }

    fn speak(&mut self, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            subscription.failures = 0;
            if let Some(since) = subscription.silent_since.take() {
                self.patience.remove(&(since.after(PATIENCE_US), id));
            }
        }
    }

    /// A batch has arrived, or not. Whether the subscription is still there.
    pub fn settle(&mut self, now: SinceStart, id: SubscriptionId, ending: Ending) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return false };
        let buffer = &mut self.buffers[subscription.wanted.level.at()];
        match ending {
            Ending::Arrived => buffer.settle(id, Settled::Delivered),
            Ending::Rejected => buffer.settle(id, Settled::Rejected),
            Ending::Failed => {
                subscription.failures = subscription.failures.saturating_add(1);
                buffer.settle(id, Settled::Failed);
                buffer.close(id);
                self.resting.insert((now.after(subscription.pause_us()), id));
                self.fall_silent(now, id);
                return true;
            }
            Ending::Gone => {
                self.unsubscribe(id);
                return false;
            }
        }
        self.speak(id);
        true
    }

    /// The orchestrator spoke.
    pub fn learn(&mut self, now: SinceStart, rates: LevelRates) -> Learnt {
        let learnt = self.plan.learn(now, rates);
        self.obey(now);
        learnt
    }

    fn obey(&mut self, now: SinceStart) {
        let InForce { levels_bps, is_work_conserving, .. } = self.plan.in_force(now);
        self.paces.set(now, &levels_bps, is_work_conserving);
    }

    /// What time alone brings about: leases end, pauses end, patience ends. Returns those whose subscription ended.
    pub fn tick(&mut self, now: SinceStart) -> Vec<SubscriptionId> {
        self.obey(now);
        while let Some((until, id)) = self.resting.first().copied().filter(|(until, _)| *until <= now) {
            self.resting.remove(&(until, id));
            if let Some(subscription) = self.subscriptions.get(&id) {
                self.buffers[subscription.wanted.level.at()].open(id);
            }
        }
        let mut ended = vec![];
        while let Some((until, id)) = self.patience.first().copied().filter(|(until, _)| *until <= now) {
            self.patience.remove(&(until, id));
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
        let (batch, bytes) = self.take(now, LaneTarget::Here, level, budget)?;
        self.local.spend(bytes);
        Some(batch)
    }

    fn dispatch_away(&mut self, now: SinceStart) -> Option<DeliveryBatch> {
        let wanted_bytes = self.wanted_bytes(LaneTarget::Away);
        Level::BEST_FIRST.into_iter().filter(|level| wanted_bytes[level.at()] > 0).find_map(|level| {
            let permit = self.paces.permit(now, level, &wanted_bytes)?;
            let (batch, bytes) = self.take(now, LaneTarget::Away, level, permit.bytes)?;
            self.paces.spend(permit, bytes);
            Some(batch)
        })
    }

    /// A batch of a level and side, and what it costs.
    fn take(
        &mut self,
        now: SinceStart,
        side: LaneTarget,
        level: Level,
        budget_bytes: u64,
    ) -> Option<(DeliveryBatch, u64)> {
        let budget = wire_cost::messages_bytes(budget_bytes).min(BATCH_MAX_BYTES);
        let (subscription, items) = self.buffers[level.at()].take(side, budget, BATCH_MAX_MESSAGES)?;
        let messages_bytes = items.iter().map(|item| item.message.bytes()).sum::<u64>();
        let bytes = wire_cost::batch_bytes(messages_bytes);
        self.sent[level.at()].add(now, bytes);
        if side == LaneTarget::Away {
            self.tolls[level.at()].add(now, messages_bytes, bytes);
        }
        Some((DeliveryBatch { subscription, level, items }, bytes))
    }

    /// What could be sent if there were credit.
    fn wanted_bytes(&self, side: LaneTarget) -> PerLevel<u64> {
        std::array::from_fn(|at| wire_cost::batch_bytes(self.buffers[at].ready_bytes(side)))
    }

    /// When [`Self::tick`] or [`Self::dispatch`] will have something to do, if nothing happens until then.
    pub fn next_deadline(&self, now: SinceStart) -> Option<SinceStart> {
        let firsts = [self.resting.first(), self.patience.first()].into_iter().flatten().map(|(until, _)| *until);
        let here: u64 = self.wanted_bytes(LaneTarget::Here).iter().sum();
        let local = if here > 0 { self.local.ready_at(here) } else { None };
        let others = [self.paces.ready_at(&self.wanted_bytes(LaneTarget::Away)), self.plan.next_deadline(now), local];
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

    /// What became of messages for a subscription, and the bytes that wait.
    pub fn lane(&self, subscription: &ConsumerSubscription) -> (BufferCounts, u64) {
        self.buffers[subscription.wanted.level.at()].lane(subscription.id).unwrap_or_default()
    }

    /// The buffer of a level.
    pub fn buffer(&self, level: Level) -> &Buffer {
        &self.buffers[level.at()]
    }

    /// What comes in and what is sent in each level, both as what it takes to send it.
    pub fn flows_bps(&self, now: SinceStart) -> PerLevel<(u64, u64)> {
        std::array::from_fn(|at| (self.tolls[at].expect_bps(now, self.arrivals[at].bps(now)), self.sent[at].bps(now)))
    }

    /// What it takes to send what arrives of a topic to one consumer of a level.
    pub fn topic_bps(&self, now: SinceStart, content: &Content, level: Level) -> u64 {
        self.tolls[level.at()].expect_bps(now, content.meter.bps(now))
    }

    /// What the machine knows of topics.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The rates in force, and the sequence number of those heard last.
    pub fn rates(&self, now: SinceStart) -> (InForce, Option<u64>) {
        (self.plan.in_force(now), self.plan.sequence())
    }

    /// What happens to topics without a policy of their own.
    pub fn policy(&self) -> OverflowPolicy {
        self.settings.policy
    }

    /// Changes with every subscription and with where it leads.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

const _: () = assert!(LEVELS == 3, "the documents have three levels");

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
