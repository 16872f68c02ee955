//! The buffer of one QoS level: a lane for each subscription, one limit in bytes for all of them.
//!
//! While there is room any lane may use it. In a full buffer the consumer that holds most loses messages, and of its lanes
//! the one that holds most: if that is the lane of the new message, its policy decides (the oldest circular messages make
//! room, a fifo message is refused); another lane drops its oldest circular or newest fifo message. What is being delivered
//! counts until it has arrived, and is not dropped. What was written to streams makes room first: nothing is lost by that.
//!
//! What must stay true: the bytes never exceed the limit; every message offered is delivered, waiting, on its way, or
//! counted as dropped; nothing is dropped for a message that then finds no room; a lane's messages leave in order;
//! consumers with something to send share what is sent equally, in bytes, and so do the lanes of one consumer.

mod overflow;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::gateway::{BufferCounts, OverflowPolicy};

pub use super::lane::{BufferedMessage, DeliveryEnd, LaneState, LaneTarget, QueueState};
use super::lane::{Lane, LaneLoad};
use super::message::TopicMessage;
use super::wire_cost::PPM;

/// A subscription, numbered in the order of creation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SubscriptionId(pub u64);

/// The lanes of one consumer.
#[derive(Clone, Debug, Default)]
struct ConsumerShare {
    lanes: usize,
    /// Lanes that are open and have something to send or on its way.
    active: usize,
    bytes: u64,
    /// Bytes sent, in the virtual time of the level (start-time fair queueing).
    served: u64,
    /// The virtual time of its lanes.
    virtual_time: u64,
}

/// The buffer of a level.
#[derive(Clone, Debug)]
pub struct Buffer {
    capacity_bytes: u64,
    /// The sums over all lanes; `ready_bytes` by [`LaneTarget`].
    bytes: u64,
    replay_bytes: u64,
    backlog_bytes: u64,
    ready_bytes: [u64; 2],
    lanes: BTreeMap<SubscriptionId, Lane>,
    consumers: BTreeMap<Arc<str>, ConsumerShare>,
    virtual_time: u64,
    counts: BufferCounts,
    /// Lanes that made room for a message of another.
    victims: BTreeSet<SubscriptionId>,
}

impl Buffer {
    /// An empty buffer.
    pub fn new(capacity_bytes: u64) -> Self {
        Self {
            capacity_bytes,
            bytes: 0,
            replay_bytes: 0,
            backlog_bytes: 0,
            ready_bytes: [0; 2],
            lanes: BTreeMap::new(),
            consumers: BTreeMap::new(),
            virtual_time: 0,
            counts: BufferCounts::default(),
            victims: BTreeSet::new(),
        }
    }

    /// The lanes that made room for messages of others since the last call.
    pub(super) fn take_victims(&mut self) -> BTreeSet<SubscriptionId> {
        std::mem::take(&mut self.victims)
    }

    /// The most it holds.
    pub fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    /// What waits, batches in flight included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The same, and what was written to streams and may be asked for again.
    pub(super) fn held_bytes(&self) -> u64 {
        self.bytes + self.replay_bytes
    }

    /// What of that waits for consumers at other nodes that accept deliveries.
    pub fn backlog_bytes(&self) -> u64 {
        self.backlog_bytes
    }

    /// How many subscriptions there are.
    pub fn lane_count(&self) -> usize {
        self.lanes.len()
    }

    /// What became of all messages since the gateway started.
    pub fn counts(&self) -> BufferCounts {
        self.counts
    }

    /// What became of a subscription's messages, and its bytes in the buffer.
    pub fn lane(&self, id: SubscriptionId) -> Option<(BufferCounts, u64)> {
        self.lanes.get(&id).map(|lane| (lane.counts, lane.bytes()))
    }

    /// What is kept of a lane besides its messages.
    pub fn lane_state(&self, id: SubscriptionId) -> Option<LaneState> {
        self.lanes.get(&id).map(Lane::state)
    }

    /// Where a lane leads, and whether deliveries have failed for some time.
    pub fn lane_demand(&self, id: SubscriptionId) -> Option<(LaneTarget, bool)> {
        self.lanes.get(&id).map(|lane| (lane.side, lane.is_failing))
    }

    /// Adds a lane, closed as yet.
    pub fn add_lane(&mut self, id: SubscriptionId, consumer: &Arc<str>, side: LaneTarget) {
        self.remove_lane(id);
        self.lanes.insert(id, Lane::new(Arc::clone(consumer), side));
        self.consumers.entry(Arc::clone(consumer)).or_default().lanes += 1;
    }

    /// Ends a lane; what waits is lost.
    pub fn remove_lane(&mut self, id: SubscriptionId) {
        let Some(lane) = self.lanes.get(&id) else { return };
        self.counts.abandoned += lane.len() as u64;
        let (consumer, side) = (Arc::clone(&lane.consumer), lane.side);
        let empty = Lane::new(Arc::clone(&consumer), side);
        self.change(id, |lane| *lane = empty);
        self.lanes.remove(&id);
        if let Some(share) = self.consumers.get_mut(&consumer) {
            share.lanes -= 1;
            if share.lanes == 0 {
                self.consumers.remove(&consumer);
            }
        }
    }

    /// Changes a lane; every sum follows.
    fn change<T>(&mut self, id: SubscriptionId, change: impl FnOnce(&mut Lane) -> T) -> Option<T> {
        let lane = self.lanes.get_mut(&id)?;
        let share = self.consumers.get_mut(&lane.consumer)?;
        let (before, side_before) = (lane.load(), lane.side as usize);
        let result = change(lane);
        let after = lane.load();
        let moved = |sum: &mut u64, part: fn(&LaneLoad) -> u64| *sum = *sum - part(&before) + part(&after);
        moved(&mut self.bytes, |load| load.bytes);
        moved(&mut self.replay_bytes, |load| load.replay_bytes);
        moved(&mut self.backlog_bytes, |load| load.backlog_bytes);
        moved(&mut share.bytes, |load| load.bytes);
        self.ready_bytes[side_before] -= before.ready_bytes;
        self.ready_bytes[lane.side as usize] += after.ready_bytes;
        match (before.is_active, after.is_active) {
            (false, true) => {
                // Whoever had nothing to send has no credit from that time.
                if share.active == 0 {
                    share.served = share.served.max(self.virtual_time);
                }
                lane.served = lane.served.max(share.virtual_time);
                share.active += 1;
            }
            (true, false) => share.active -= 1,
            _ => {}
        }
        Some(result)
    }

    /// From now on a lane may be served.
    pub fn open(&mut self, id: SubscriptionId) {
        self.change(id, |lane| lane.is_open = true);
    }

    /// From now on a lane is not served.
    pub fn close(&mut self, id: SubscriptionId) {
        self.change(id, |lane| lane.is_open = false);
    }

    /// A batch was answered after so long; the longest time that answers of the level take.
    pub fn observe_answer(&mut self, id: SubscriptionId, answer_us: u64) -> u64 {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.answer_us = answer_us.max(lane.answer_us - lane.answer_us / 8);
        }
        let answering = self.lanes.values().filter(|lane| lane.side == LaneTarget::Away && !lane.is_failing);
        answering.map(|lane| lane.answer_us).max().unwrap_or_default()
    }

    /// A coding left so much of what a lane sent last, in parts per million: that of the next batches is planned with it.
    pub fn observe_coding(&mut self, id: SubscriptionId, ppm: u64) {
        self.change(id, |lane| lane.coded_ppm = lane.coded_ppm.midpoint(ppm));
    }

    /// What is expected to be left of a lane's messages, in parts per million.
    pub fn coded_ppm(&self, id: SubscriptionId) -> u64 {
        self.lanes.get(&id).map_or(PPM, |lane| lane.coded_ppm)
    }

    /// A lane leads elsewhere.
    pub fn set_side(&mut self, id: SubscriptionId, side: LaneTarget) {
        self.change(id, |lane| lane.side = side);
    }

    /// Deliveries of a lane have failed for some time, or go well again.
    pub fn set_failing(&mut self, id: SubscriptionId, is_failing: bool) {
        self.change(id, |lane| (lane.is_failing, lane.is_probing) = (is_failing, false));
    }

    /// A failing lane may send one message, whatever its level may send, to find out whether its consumer is back.
    pub fn probe(&mut self, id: SubscriptionId) {
        self.change(id, |lane| lane.is_probing = lane.is_failing);
    }

    /// Numbers a message in a lane and puts it there, or counts why not.
    pub fn offer(&mut self, id: SubscriptionId, message: &Arc<TopicMessage>) -> Option<u64> {
        let lane = self.lanes.get_mut(&id)?;
        let sequence = lane.assign_sequence();
        lane.counts.offered += 1;
        self.counts.offered += 1;
        let item = BufferedMessage { sequence, message: Arc::clone(message) };
        self.insert(id, item, Lane::push).then_some(sequence)
    }

    /// Puts a message into a lane if there is room or can be made, else counts why not.
    fn insert(&mut self, id: SubscriptionId, item: BufferedMessage, push: fn(&mut Lane, BufferedMessage)) -> bool {
        let (size, policy) = (item.message.bytes(), item.message.policy);
        if size > self.capacity_bytes {
            self.count(id, 1, |counts| &mut counts.too_large);
            return false;
        }
        let has_room = self.make_room(id, policy, size);
        if has_room {
            self.change(id, |lane| push(lane, item));
        } else {
            self.count(id, 1, |counts| &mut counts.refused);
        }
        if let Some(lane) = self.lanes.get_mut(&id).filter(|_| policy == OverflowPolicy::Fifo) {
            lane.refused_bytes = if has_room { 0 } else { lane.refused_bytes.max(size) };
        }
        has_room
    }

    fn count(&mut self, id: SubscriptionId, count: u64, why: impl Fn(&mut BufferCounts) -> &mut u64) {
        *why(&mut self.counts) += count;
        if let Some(lane) = self.lanes.get_mut(&id) {
            *why(&mut lane.counts) += count;
        }
    }

    /// What could be sent to one side if there were credit, as it would be on the wire.
    pub fn ready_bytes(&self, side: LaneTarget) -> u64 {
        self.ready_bytes[side as usize]
    }

    /// The next batch of one side: from the consumer, and of its lanes the one, that was sent least. At least one message,
    /// then as many as fit. Its messages stay here until [`Self::finish_delivery`].
    pub fn next_batch(
        &mut self,
        side: LaneTarget,
        budget_bytes: u64,
        max_messages: usize,
    ) -> Option<(SubscriptionId, Vec<BufferedMessage>)> {
        let ready = self.lanes.iter().filter(|(_, lane)| lane.side == side && lane.is_ready() && !lane.is_failing);
        let served = |lane: &Lane| (self.consumers.get(&lane.consumer).map_or(0, |share| share.served), lane.served);
        let id = ready.min_by_key(|(_, lane)| served(lane)).map(|(id, _)| *id)?;
        self.begin_batch(id, budget_bytes, max_messages)
    }

    /// One message of a failing lane that may be tried.
    pub fn next_probe(&mut self) -> Option<(SubscriptionId, Vec<BufferedMessage>)> {
        let id = self.lanes.iter().find(|(_, lane)| lane.is_probing && lane.is_ready()).map(|(id, _)| *id)?;
        self.begin_batch(id, 1, 1)
    }

    fn begin_batch(
        &mut self,
        id: SubscriptionId,
        budget_bytes: u64,
        max_messages: usize,
    ) -> Option<(SubscriptionId, Vec<BufferedMessage>)> {
        let (taken, bytes) = self.change(id, |lane| {
            lane.is_probing = false;
            lane.begin_batch(budget_bytes, max_messages)
        })?;
        let lane = self.lanes.get_mut(&id)?;
        let share = self.consumers.get_mut(&lane.consumer)?;
        self.virtual_time = self.virtual_time.max(share.served);
        share.virtual_time = share.virtual_time.max(lane.served);
        share.served += bytes;
        lane.served += bytes;
        Some((id, taken))
    }

    /// The delivery of a lane's batch ended.
    pub fn finish_delivery(&mut self, id: SubscriptionId, end: DeliveryEnd) {
        let Some(count) = self.change(id, |lane| lane.finish(end)) else { return };
        match end {
            DeliveryEnd::Failed => {}
            DeliveryEnd::Delivered | DeliveryEnd::Written => self.count(id, count, |counts| &mut counts.delivered),
            DeliveryEnd::Rejected => self.count(id, count, |counts| &mut counts.rejected),
        }
    }

    /// The consumer found the batch in flight too large: the next ones have half of that. `false`: it was one message.
    pub fn shrink_batches(&mut self, id: SubscriptionId) -> bool {
        self.change(id, Lane::shrink_batches).unwrap_or(false)
    }

    /// A stream is read by one who has all messages up to `last`; the later ones are sent again. `None`: it goes on after
    /// what was written.
    pub fn resume(&mut self, id: SubscriptionId, last: Option<u64>) {
        if let Some(count) = self.change(id, |lane| lane.resume(last)) {
            self.count(id, count, |counts| &mut counts.delivered);
        }
    }

    /// What is known of a lane from before a restart.
    pub fn restore_lane(&mut self, id: SubscriptionId, state: &LaneState) {
        self.change(id, |lane| lane.restore(state));
    }

    /// A message from before a restart, in any order; [`Self::sort`] follows. In a buffer that is smaller now the same rules
    /// hold as for a new one.
    pub fn restore_message(&mut self, id: SubscriptionId, sequence: u64, message: &Arc<TopicMessage>) {
        if self.lanes.contains_key(&id) {
            let item = BufferedMessage { sequence, message: Arc::clone(message) };
            self.insert(id, item, Lane::restore_message);
        }
    }

    /// Messages of a lane up to this number may leave, and no later ones; `None`: those that are there.
    pub fn keep_up_to(&mut self, id: SubscriptionId, sequence: Option<u64>) {
        self.change(id, |lane| lane.keep_up_to(sequence));
    }

    /// The numbers of the messages of a lane that are not over.
    #[cfg(test)]
    pub(super) fn held_sequences(&self, id: SubscriptionId) -> Vec<u64> {
        self.lanes.get(&id).map(Lane::held_sequences).unwrap_or_default()
    }

    /// Puts what was restored in order.
    pub fn sort(&mut self) {
        self.lanes.values_mut().for_each(Lane::sort);
    }
}

#[cfg(test)]
#[path = "buffer_tests.rs"]
mod tests;
