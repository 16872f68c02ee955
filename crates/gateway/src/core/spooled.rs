//! What of the core outlives the process: taken in cuts, each of one instant, and given back after a restart.

use std::sync::Arc;

use api::gateway::PolicyDocument;
use bytes::Bytes;

use super::super::buffer::{LaneState, LaneTarget, SubscriptionId};
use super::super::clock::SinceStart;
use super::super::message::TopicMessage;
use super::super::spool::MessagePlaces;
use super::super::subscription::{ConsumerSubscription, DeliveryTarget, SubscriptionTerms};
use super::super::topic_cache::CachedTopic;
use super::GatewayCore;

/// What changed between two instants.
#[derive(Debug)]
pub(in super::super) struct SpoolCut {
    pub(in super::super) number: u64,
    pub(in super::super) messages: Vec<(Arc<TopicMessage>, MessagePlaces)>,
    pub(in super::super) lanes: Vec<(SubscriptionId, LaneState)>,
    pub(in super::super) created: Vec<(SubscriptionId, SubscriptionTerms)>,
    pub(in super::super) ended: Vec<SubscriptionId>,
    pub(in super::super) topics: Vec<LastValue>,
    /// Topics without a last value; `None`: all but those of `topics`.
    pub(in super::super) forgotten: Option<Vec<Arc<str>>>,
    pub(in super::super) next_id: u64,
    /// Those that are new.
    pub(in super::super) policies: Option<PolicyDocument>,
}

/// The last value of a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in super::super) struct LastValue {
    pub(in super::super) topic: Arc<str>,
    pub(in super::super) payload: Bytes,
    pub(in super::super) at_ms: u64,
    /// The number of values so far.
    pub(in super::super) messages: u64,
}

impl LastValue {
    fn of(content: &CachedTopic) -> Self {
        let (topic, payload) = (Arc::clone(&content.topic), content.payload.clone());
        Self { topic, payload, at_ms: content.at_ms, messages: content.messages }
    }
}

impl GatewayCore {
    /// From now on changes are noted for cuts.
    pub(in super::super) fn enable_spool(&mut self) {
        self.changes.enable();
        self.changes.touched = self.topics.touches();
        for subscription in self.subscriptions.values() {
            self.buffers[subscription.terms.level.at()].keep_up_to(subscription.id, None);
        }
    }

    /// The lanes of a cut that is written, each with the number of its next message then: those before may leave.
    pub(in super::super) fn release_written(&mut self, lanes: &[(SubscriptionId, u64)]) {
        for (id, next_sequence) in lanes {
            if let Some(subscription) = self.subscriptions.get(id) {
                self.buffers[subscription.terms.level.at()].keep_up_to(*id, Some(next_sequence - 1));
            }
        }
    }

    /// The number of the cut that has everything up to now.
    pub(in super::super) fn current_cut(&self) -> u64 {
        self.changes.current_cut()
    }

    /// Everything that changed since the last cut, if anything did, and the bytes that buffers hold.
    pub(in super::super) fn take_cut(&mut self) -> (Option<SpoolCut>, u64) {
        let held_bytes = self.buffers.iter().map(super::Buffer::held_bytes).sum();
        (self.take_changes(), held_bytes)
    }

    fn take_changes(&mut self) -> Option<SpoolCut> {
        let taken = self.changes.take()?;
        let forgotten = self.topics.take_forgotten();
        let since = if forgotten.is_none() { 0 } else { self.changes.touched };
        self.changes.touched = self.topics.touches();
        let state = |id: SubscriptionId| {
            let level = self.subscriptions.get(&id)?.terms.level;
            Some((id, self.buffers[level.at()].lane_state(id)?))
        };
        let terms = |id: SubscriptionId| Some((id, self.subscriptions.get(&id)?.terms.clone()));
        Some(SpoolCut {
            number: taken.cut,
            messages: taken.messages,
            lanes: taken.lanes.into_iter().filter_map(state).collect(),
            created: taken.created.into_iter().filter_map(terms).collect(),
            ended: taken.ended.into_iter().collect(),
            topics: self.topics.since(since).map(LastValue::of).collect(),
            forgotten,
            next_id: self.next_id,
            policies: taken.has_policies.then(|| self.settings.policies.clone()),
        })
    }

    /// A subscription from before a restart.
    pub(in super::super) fn restore_subscription(
        &mut self,
        now: SinceStart,
        id: SubscriptionId,
        terms: SubscriptionTerms,
        state: Option<&LaneState>,
    ) {
        self.next_id = self.next_id.max(id.0 + 1);
        self.insert_subscription(now, ConsumerSubscription::new(id, terms));
        if let (Some(state), Some(subscription)) = (state, self.subscriptions.get(&id)) {
            self.buffers[subscription.terms.level.at()].restore_lane(id, state);
        }
    }

    pub(super) fn insert_subscription(&mut self, now: SinceStart, subscription: ConsumerSubscription) {
        let (id, terms) = (subscription.id, &subscription.terms);
        let (is_stream, level) = (terms.target == DeliveryTarget::Stream, terms.level);
        let is_here = match &terms.node {
            Some(node) => *node == self.settings.node,
            None => terms.is_local,
        };
        let side = if is_here { LaneTarget::Here } else { LaneTarget::Away };
        let buffer = &mut self.buffers[level.at()];
        buffer.add_lane(id, &subscription.consumer().into(), side);
        if self.changes.is_enabled() {
            buffer.keep_up_to(id, Some(0));
        }
        if !is_stream {
            buffer.open(id);
        }
        self.subscriptions.insert(id, subscription);
        self.revision += 1;
        if is_stream {
            self.start_silence(now, id);
        }
    }

    /// A message from before a restart, with the places in which it waits; [`Self::finish_restore`] follows.
    pub(in super::super) fn restore_message(&mut self, message: &Arc<TopicMessage>, places: &MessagePlaces) {
        for (id, sequence) in places {
            if let Some(subscription) = self.subscriptions.get(id) {
                self.buffers[subscription.terms.level.at()].restore_message(*id, *sequence, message);
            }
        }
    }

    /// The last value of a topic from before a restart.
    pub(in super::super) fn restore_topic(&mut self, value: &LastValue) {
        self.topics.restore(value.at_ms, &value.topic, value.payload.clone(), value.messages);
    }

    /// Everything is back.
    pub(in super::super) fn finish_restore(&mut self, next_id: u64) {
        self.next_id = self.next_id.max(next_id);
        self.buffers.iter_mut().for_each(super::Buffer::sort);
    }
}
