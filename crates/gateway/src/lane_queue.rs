//! The messages of one lane and policy that wait, and what is kept of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use api::gateway::{BufferCounts, OverflowPolicy};
use serde::{Deserialize, Serialize};

use super::message::TopicMessage;

/// A message in a lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BufferedMessage {
    /// The number in the lane, from 1: a gap tells the consumer what was dropped.
    pub sequence: u64,
    /// Shared with other lanes.
    pub message: Arc<TopicMessage>,
}

/// What is kept of a lane besides its messages.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LaneState {
    /// The number of the next message.
    pub next_sequence: u64,
    /// Which fifo messages wait.
    pub fifo: QueueState,
    /// Which circular messages wait.
    pub circular: QueueState,
    /// What became of messages.
    pub counts: BufferCounts,
}

/// The messages of one policy that are not over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct QueueState {
    /// Those below this number are over.
    pub first: u64,
    /// Others that are over, as ranges of numbers, both ends included.
    pub dropped: Vec<(u64, u64)>,
}

impl LaneState {
    /// Whether a message is not over.
    pub(super) fn is_waiting(&self, sequence: u64, policy: OverflowPolicy) -> bool {
        let queue = match policy {
            OverflowPolicy::Fifo => &self.fifo,
            OverflowPolicy::Circular => &self.circular,
        };
        let is_in = |(first, last): &(u64, u64)| (*first..=*last).contains(&sequence);
        sequence >= queue.first && !queue.dropped.iter().any(is_in)
    }
}

/// The messages of one policy that wait.
#[derive(Clone, Debug, Default)]
pub(super) struct LaneQueue {
    pub(super) items: VecDeque<BufferedMessage>,
    /// Messages that were dropped while older ones were not over: first and last number of each range.
    pub(super) dropped: BTreeMap<u64, u64>,
}

impl LaneQueue {
    /// The messages with these numbers are over, though that with the number `oldest` is not.
    pub(super) fn record_drop(&mut self, first: u64, last: u64, oldest: u64) {
        let mut later = self.dropped.split_off(&first);
        let beyond = later.split_off(&(last + 1));
        let last = later.values().copied().fold(last, u64::max);
        self.dropped.extend(beyond);
        self.dropped.insert(first, last);
        while self.dropped.first_entry().is_some_and(|range| *range.get() < oldest) {
            self.dropped.pop_first();
        }
    }
}
