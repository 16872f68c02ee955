//! The buffer of one QoS level: a lane for each subscription, one limit in bytes for all of them.
//!
//! As long as there is room anybody may use it. Without room, whoever has more than an equal part yields: by the policy of
//! the topic in their own lane, or, where somebody with less than their part needs room, the longest lane gives up its
//! oldest circular or newest fifo message. What is on its way to a consumer counts until it has arrived, and is not taken.
//!
//! What must stay true: the bytes never exceed the limit; every message offered is delivered, waiting, on its way, or
//! counted as dropped; a lane's messages leave in order; lanes that are ready share what is sent equally, in bytes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::message::{OverflowPolicy, TopicMessage};

/// A subscription, by the number in which it was made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SubscriptionId(pub u64);

/// A message in a lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BufferedMessage {
    /// Its number there: whoever misses one knows that something was dropped.
    pub sequence: u64,
    /// What is shared with other lanes.
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

/// What became of messages, in messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct BufferCounts {
    /// Came in.
    pub offered: u64,
    /// Arrived at their consumer.
    pub delivered: u64,
    /// New, and refused by `fifo`.
    pub refused: u64,
    /// Old, and overwritten by `circular`.
    pub overwritten: u64,
    /// Taken from a lane that had more than its part.
    pub yielded: u64,
    /// Larger than the whole buffer.
    pub too_large: u64,
    /// Not wanted by the consumer in spite of the subscription.
    pub rejected: u64,
    /// Waiting when their subscription ended.
    pub abandoned: u64,
}

impl BufferCounts {
    /// Everything that was lost.
    pub fn dropped(&self) -> u64 {
        self.refused + self.overwritten + self.yielded + self.too_large + self.rejected + self.abandoned
    }

    fn add(&mut self, what: impl Fn(&mut Self) -> &mut u64, count: u64) {
        *what(self) += count;
    }
}

/// How a delivery ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    /// It arrived.
    Delivered,
    /// The consumer does not want it; trying again would not help.
    Rejected,
    /// It did not arrive; it goes back to where it was.
    Failed,
}

#[derive(Clone, Debug, Default)]
struct Lane {
    fifo: VecDeque<BufferedMessage>,
    circular: VecDeque<BufferedMessage>,
    flight: Vec<BufferedMessage>,
    /// Of all three.
    bytes: u64,
    /// Of what is on its way.
    flight_bytes: u64,
    next_sequence: u64,
    /// What it was sent in the virtual time of the level.
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

    /// The one that came first.
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
    /// An empty one.
    pub fn new(capacity_bytes: u64) -> Self {
        Self { capacity_bytes, bytes: 0, lanes: BTreeMap::new(), virtual_time: 0, counts: BufferCounts::default() }
    }

    /// What it may hold.
    pub fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    /// What it holds.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many subscriptions there are.
    pub fn lane_count(&self) -> usize {
        self.lanes.len()
    }

    /// What became of everything.
    pub fn counts(&self) -> BufferCounts {
        self.counts
    }

    /// What became of what was for one subscription, and the bytes that wait for it.
    pub fn lane(&self, id: SubscriptionId) -> Option<(BufferCounts, u64)> {
        self.lanes.get(&id).map(|lane| (lane.counts, lane.bytes))
    }

    /// A lane, closed as yet.
    pub fn add_lane(&mut self, id: SubscriptionId, side: LaneTarget) {
        self.lanes.entry(id).or_insert_with(|| Lane { next_sequence: 1, side, ..Lane::default() });
    }

    /// Ends a lane; what waits is lost.
    pub fn remove_lane(&mut self, id: SubscriptionId) {
        if let Some(lane) = self.lanes.remove(&id) {
            self.bytes -= lane.bytes;
            let lost = lane.fifo.len() + lane.circular.len() + lane.flight.len();
            self.counts.add(|counts| &mut counts.abandoned, lost as u64);
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

    /// Puts a message into a lane, or not.
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
                self.have_longest_yield(part)
            };
            if !done {
                return false;
            }
        }
        true
    }

    /// The oldest circular message of a lane goes.
    fn overwrite(&mut self, id: SubscriptionId) -> bool {
        let old = self.lanes.get_mut(&id).and_then(|lane| lane.circular.pop_front());
        self.lose(id, old, |counts| &mut counts.overwritten)
    }

    fn have_longest_yield(&mut self, part: u64) -> bool {
        let over = self.lanes.iter().filter(|(_, lane)| lane.bytes > part && !lane.is_empty());
        let Some(id) = over.max_by_key(|(_, lane)| lane.bytes).map(|(id, _)| *id) else { return false };
        let lane = self.lanes.get_mut(&id);
        let gone = lane.and_then(|lane| lane.circular.pop_front().or_else(|| lane.fifo.pop_back()));
        self.lose(id, gone, |counts| &mut counts.yielded)
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
        self.counts.add(&why, 1);
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.counts.add(&why, 1);
        }
    }

    /// What could be sent to one side if there were credit.
    pub fn ready_bytes(&self, side: LaneTarget) -> u64 {
        self.lanes.values().filter(|lane| lane.is_ready(side)).map(Lane::waiting_bytes).sum()
    }

    /// The next messages to send to one subscription on one side: those of whoever was sent least, at least one, then as
    /// many as fit. They stay here until [`Self::settle`].
    pub fn take(
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

    /// What was taken has arrived, or not.
    pub fn settle(&mut self, id: SubscriptionId, settled: Settled) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let flight = std::mem::take(&mut lane.flight);
        let bytes = std::mem::take(&mut lane.flight_bytes);
        let count = flight.len() as u64;
        let why: fn(&mut BufferCounts) -> &mut u64 = match settled {
            Settled::Failed => {
                for item in flight.into_iter().rev() {
                    lane.queue(item.message.policy).push_front(item);
                }
                return;
            }
            Settled::Delivered => |counts| &mut counts.delivered,
            Settled::Rejected => |counts| &mut counts.rejected,
        };
        lane.bytes -= bytes;
        self.bytes -= bytes;
        lane.counts.add(why, count);
        self.counts.add(why, count);
    }
}

#[cfg(test)]
#[path = "buffer_tests.rs"]
mod tests;
