//! The buffer of one QoS level: a lane for each subscription, one limit in bytes for all of them.
//!
//! While there is room any lane may use it. In a full buffer a lane with more than an equal part loses messages: its own new
//! message goes by the policy of the topic; for a message of a lane with less than its part, the longest lane drops its
//! oldest circular or newest fifo message. What is being delivered counts until it has arrived, and is not dropped.
//!
//! What must stay true: the bytes never exceed the limit; every message offered is delivered, waiting, on its way, or
//! counted as dropped; a lane's messages leave in order; lanes that are ready share what is sent equally, in bytes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use api::gateway::{BufferCounts, OverflowPolicy};

use super::message::TopicMessage;

/// A subscription, numbered in the order of creation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SubscriptionId(pub u64);

/// A message in a lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BufferedMessage {
    /// The number in the lane, from 1: a gap tells the consumer what was dropped.
    pub sequence: u64,
    /// Shared with other lanes.
    pub message: Arc<TopicMessage>,
}

/// Where a lane leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LaneTarget {
    /// To the gateway's own node: no link of the orchestrator is used.
    Here,
    /// To another node, over links that the orchestrator shares out.
    #[default]
    Away,
}

/// How a delivery ended, for the messages of its batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeliveryEnd {
    /// Delivered: they are counted and leave.
    Delivered,
    /// Rejected by the consumer: they are dropped, for another attempt would not help.
    Rejected,
    /// Not delivered: they go back to where they were.
    Failed,
}

#[derive(Clone, Debug, Default)]
struct Lane {
    fifo: VecDeque<BufferedMessage>,
    circular: VecDeque<BufferedMessage>,
    flight: Vec<BufferedMessage>,
    /// Of all three.
    bytes: u64,
    /// Of the batch in flight.
    flight_bytes: u64,
    next_sequence: u64,
    /// Bytes sent, in the virtual time of the level (start-time fair queueing).
    served: u64,
    is_open: bool,
    side: LaneTarget,
    counts: BufferCounts,
}

impl Lane {
    fn is_empty(&self) -> bool {
        self.fifo.is_empty() && self.circular.is_empty()
    }

    fn is_ready(&self, side: LaneTarget) -> bool {
        self.side == side && self.is_open && self.flight.is_empty() && !self.is_empty()
    }

    fn waiting_bytes(&self) -> u64 {
        self.bytes - self.flight_bytes
    }

    /// The message that came first.
    fn front(&self) -> Option<&BufferedMessage> {
        match (self.fifo.front(), self.circular.front()) {
            (Some(fifo), Some(circular)) if fifo.sequence < circular.sequence => Some(fifo),
            (fifo, circular) => circular.or(fifo),
        }
    }

    fn pop_front(&mut self) -> Option<BufferedMessage> {
        let policy = self.front()?.message.policy;
        self.queue(policy).pop_front()
    }

    fn queue(&mut self, policy: OverflowPolicy) -> &mut VecDeque<BufferedMessage> {
        match policy {
            OverflowPolicy::Fifo => &mut self.fifo,
            OverflowPolicy::Circular => &mut self.circular,
        }
    }
}

/// The buffer of a level.
#[derive(Clone, Debug)]
pub struct Buffer {
    capacity_bytes: u64,
    bytes: u64,
    lanes: BTreeMap<SubscriptionId, Lane>,
    virtual_time: u64,
    counts: BufferCounts,
}

impl Buffer {
    /// An empty buffer.
    pub fn new(capacity_bytes: u64) -> Self {
        Self { capacity_bytes, bytes: 0, lanes: BTreeMap::new(), virtual_time: 0, counts: BufferCounts::default() }
    }

    /// The most it holds.
    pub fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    /// What it holds, batches in flight included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many subscriptions there are.
    pub fn lane_count(&self) -> usize {
        self.lanes.len()
    }

    /// What became of all messages.
    pub fn counts(&self) -> BufferCounts {
        self.counts
    }

    /// What became of a subscription's messages, and its bytes in the buffer.
    pub fn lane(&self, id: SubscriptionId) -> Option<(BufferCounts, u64)> {
        self.lanes.get(&id).map(|lane| (lane.counts, lane.bytes))
    }

    /// Adds a lane, closed as yet.
    pub fn add_lane(&mut self, id: SubscriptionId, side: LaneTarget) {
        self.lanes.entry(id).or_insert_with(|| Lane { next_sequence: 1, side, ..Lane::default() });
    }

    /// Ends a lane; what waits is lost.
    pub fn remove_lane(&mut self, id: SubscriptionId) {
        if let Some(lane) = self.lanes.remove(&id) {
            self.bytes -= lane.bytes;
            let lost = lane.fifo.len() + lane.circular.len() + lane.flight.len();
            self.counts.abandoned += lost as u64;
        }
    }

    /// From now on a lane may be served.
    pub fn open(&mut self, id: SubscriptionId) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.is_open = true;
            lane.served = lane.served.max(self.virtual_time);
        }
    }

    /// From now on a lane is not served.
    pub fn close(&mut self, id: SubscriptionId) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.is_open = false;
        }
    }

    /// Puts a message into a lane, or counts why not.
    pub fn offer(&mut self, id: SubscriptionId, message: &Arc<TopicMessage>) {
        let size = message.bytes();
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let item = BufferedMessage { sequence: lane.next_sequence, message: Arc::clone(message) };
        lane.next_sequence += 1;
        lane.counts.offered += 1;
        self.counts.offered += 1;
        if size > self.capacity_bytes {
            return self.count(id, |counts| &mut counts.too_large);
        }
        if !self.make_room(id, message.policy, size) {
            return self.count(id, |counts| &mut counts.refused);
        }
        let virtual_time = self.virtual_time;
        if let Some(lane) = self.lanes.get_mut(&id) {
            if lane.is_empty() && lane.flight.is_empty() {
                lane.served = lane.served.max(virtual_time);
            }
            lane.bytes += size;
            self.bytes += size;
            lane.queue(message.policy).push_back(item);
        }
    }

    /// Makes room for `size` bytes in a lane; whether there is now.
    fn make_room(&mut self, id: SubscriptionId, policy: OverflowPolicy, size: u64) -> bool {
        let part = self.capacity_bytes / (self.lanes.len() as u64).max(1);
        while self.bytes + size > self.capacity_bytes {
            let own_bytes = self.lanes.get(&id).map_or(0, |lane| lane.bytes);
            let done = if own_bytes + size > part {
                policy == OverflowPolicy::Circular && self.overwrite(id)
            } else {
                self.drop_from_longest(part)
            };
            if !done {
                return false;
            }
        }
        true
    }

    /// Drops the oldest circular message of a lane.
    fn overwrite(&mut self, id: SubscriptionId) -> bool {
        let old = self.lanes.get_mut(&id).and_then(|lane| lane.circular.pop_front());
        self.lose(id, old, |counts| &mut counts.overwritten)
    }

    fn drop_from_longest(&mut self, part: u64) -> bool {
        let over = self.lanes.iter().filter(|(_, lane)| lane.bytes > part && !lane.is_empty());
        let Some(id) = over.max_by_key(|(_, lane)| lane.bytes).map(|(id, _)| *id) else { return false };
        let lane = self.lanes.get_mut(&id);
        let gone = lane.and_then(|lane| lane.circular.pop_front().or_else(|| lane.fifo.pop_back()));
        self.lose(id, gone, |counts| &mut counts.pushed_out)
    }

    fn lose(
        &mut self,
        id: SubscriptionId,
        item: Option<BufferedMessage>,
        why: impl Fn(&mut BufferCounts) -> &mut u64,
    ) -> bool {
        let Some(item) = item else { return false };
        let size = item.message.bytes();
        self.bytes -= size;
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.bytes -= size;
        }
        self.count(id, why);
        true
    }

    fn count(&mut self, id: SubscriptionId, why: impl Fn(&mut BufferCounts) -> &mut u64) {
        *why(&mut self.counts) += 1;
        if let Some(lane) = self.lanes.get_mut(&id) {
            *why(&mut lane.counts) += 1;
        }
    }

    /// What could be sent to one side if there were credit.
    pub fn ready_bytes(&self, side: LaneTarget) -> u64 {
        self.lanes.values().filter(|lane| lane.is_ready(side)).map(Lane::waiting_bytes).sum()
    }

    /// The next batch of one side: from the lane that was sent least, at least one message, then as many as fit. Its messages
    /// stay here until [`Self::finish_delivery`].
    pub fn next_batch(
        &mut self,
        side: LaneTarget,
        budget_bytes: u64,
        max_messages: usize,
    ) -> Option<(SubscriptionId, Vec<BufferedMessage>)> {
        let ready = self.lanes.iter_mut().filter(|(_, lane)| lane.is_ready(side));
        let (id, lane) = ready.min_by_key(|(_, lane)| lane.served)?;
        let (mut taken, mut bytes) = (vec![], 0_u64);
        while taken.len() < max_messages {
            let Some(size) = lane.front().map(|item| item.message.bytes()) else { break };
            if !taken.is_empty() && bytes + size > budget_bytes {
                break;
            }
            bytes += size;
            taken.extend(lane.pop_front());
        }
        self.virtual_time = self.virtual_time.max(lane.served);
        lane.served += bytes;
        lane.flight_bytes = bytes;
        lane.flight.clone_from(&taken);
        Some((*id, taken))
    }

    /// The delivery of a lane's batch ended.
    pub fn finish_delivery(&mut self, id: SubscriptionId, end: DeliveryEnd) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let flight = std::mem::take(&mut lane.flight);
        let bytes = std::mem::take(&mut lane.flight_bytes);
        let count = flight.len() as u64;
        let why: fn(&mut BufferCounts) -> &mut u64 = match end {
            DeliveryEnd::Failed => {
                for item in flight.into_iter().rev() {
                    lane.queue(item.message.policy).push_front(item);
                }
                return;
            }
            DeliveryEnd::Delivered => |counts| &mut counts.delivered,
            DeliveryEnd::Rejected => |counts| &mut counts.rejected,
        };
        lane.bytes -= bytes;
        self.bytes -= bytes;
        *why(&mut lane.counts) += count;
        *why(&mut self.counts) += count;
    }
}

#[cfg(test)]
#[path = "buffer_tests.rs"]
mod tests;
