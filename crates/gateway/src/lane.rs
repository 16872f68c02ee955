//! The queue of one subscription. Messages leave in the order of their numbers; those that a stream was sent stay for a
//! reader that comes back, for as long as there is room.

use std::collections::VecDeque;
use std::sync::Arc;

use api::gateway::{BufferCounts, OverflowPolicy};

use super::lane_queue::LaneQueue;
pub use super::lane_queue::{BufferedMessage, LaneState, QueueState};
use super::limits::{BATCH_MAX_BYTES, STREAM_REPLAY_MAX_BYTES};
use super::wire_cost::{PPM, part, whole};

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
    /// Written to a stream: they are counted, and stay for a reader that resumes.
    Written,
    /// Rejected by the consumer: they are dropped, for another attempt would not help.
    Rejected,
    /// Not delivered: they go back to where they were.
    Failed,
}

#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) consumer: Arc<str>,
    pub(super) side: LaneTarget,
    pub(super) is_open: bool,
    /// Deliveries have failed for some time, or no stream was read: it is no demand.
    pub(super) is_failing: bool,
    /// One message may be sent, so that a failing consumer can show that it is back.
    pub(super) is_probing: bool,
    fifo: LaneQueue,
    circular: LaneQueue,
    flight: Vec<BufferedMessage>,
    /// Whether the batch in flight is one of `replay`.
    is_replaying: bool,
    /// What was written to the stream and may be asked for again.
    replay: VecDeque<BufferedMessage>,
    /// The first of `replay` that is still to be written again.
    replay_at: usize,
    /// Of what waits and is in flight.
    bytes: u64,
    flight_bytes: u64,
    replay_bytes: u64,
    next_sequence: u64,
    /// Messages up to this number may leave: the spool has them, so that no crash gives their numbers to others.
    kept_sequence: u64,
    /// The largest message refused since one was accepted: smaller ones do not take the room that it waits for.
    pub(super) refused_bytes: u64,
    /// The most bytes of a batch; less than that of the level if the consumer found one too large.
    batch_max_bytes: u64,
    /// How long answers took lately, in microseconds; a longer time is forgotten slowly.
    pub(super) answer_us: u64,
    /// What the coding of its consumer leaves of messages, in parts per million of what they take as they are rendered.
    pub(super) coded_ppm: u64,
    /// Bytes sent, in the virtual time of its consumer (start-time fair queueing).
    pub(super) served: u64,
    pub(super) counts: BufferCounts,
}

/// What a lane adds to the sums of its level.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct LaneLoad {
    pub(super) bytes: u64,
    pub(super) replay_bytes: u64,
    /// As they are on the wire.
    pub(super) ready_bytes: u64,
    pub(super) backlog_bytes: u64,
    pub(super) is_active: bool,
}

impl Lane {
    pub(super) fn new(consumer: Arc<str>, side: LaneTarget) -> Self {
        Self {
            consumer,
            side,
            is_open: false,
            is_failing: false,
            is_probing: false,
            fifo: LaneQueue::default(),
            circular: LaneQueue::default(),
            flight: vec![],
            is_replaying: false,
            replay: VecDeque::new(),
            replay_at: 0,
            bytes: 0,
            flight_bytes: 0,
            replay_bytes: 0,
            next_sequence: 1,
            kept_sequence: u64::MAX,
            refused_bytes: 0,
            batch_max_bytes: BATCH_MAX_BYTES,
            answer_us: 0,
            coded_ppm: PPM,
            served: 0,
            counts: BufferCounts::default(),
        }
    }

    pub(super) fn load(&self) -> LaneLoad {
        let has_work = !self.is_empty() || !self.flight.is_empty();
        LaneLoad {
            bytes: self.bytes,
            replay_bytes: self.replay_bytes,
            ready_bytes: if self.is_ready() && !self.is_failing {
                part(self.waiting_bytes(), self.coded_ppm)
            } else {
                0
            },
            backlog_bytes: if self.side == LaneTarget::Away && !self.is_failing { self.bytes } else { 0 },
            is_active: self.is_open && has_work,
        }
    }

    /// Nothing is to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.fifo.items.is_empty() && self.circular.items.is_empty() && self.replay_at >= self.replay.len()
    }

    pub(super) fn is_ready(&self) -> bool {
        let has_next = self.replay_at < self.replay.len() || self.kept_front().is_some();
        self.is_open && self.flight.is_empty() && has_next
    }

    /// Of what waits and is in flight.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn waiting_bytes(&self) -> u64 {
        let again = self.replay.iter().skip(self.replay_at).map(|item| item.message.bytes());
        self.bytes - self.flight_bytes + again.sum::<u64>()
    }

    /// The messages that have not reached their consumer.
    pub(super) fn len(&self) -> usize {
        self.fifo.items.len() + self.circular.items.len() + self.first_flight().len()
    }

    /// What is in flight for the first time.
    fn first_flight(&self) -> &[BufferedMessage] {
        if self.is_replaying { &[] } else { &self.flight }
    }

    /// The number of the next message.
    pub(super) fn assign_sequence(&mut self) -> u64 {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        sequence
    }

    pub(super) fn push(&mut self, item: BufferedMessage) {
        self.bytes += item.message.bytes();
        self.queue(item.message.policy).items.push_back(item);
    }

    fn queue(&mut self, policy: OverflowPolicy) -> &mut LaneQueue {
        match policy {
            OverflowPolicy::Fifo => &mut self.fifo,
            OverflowPolicy::Circular => &mut self.circular,
        }
    }

    /// The message that came first.
    fn front(&self) -> Option<&BufferedMessage> {
        match (self.fifo.items.front(), self.circular.items.front()) {
            (Some(fifo), Some(circular)) if fifo.sequence < circular.sequence => Some(fifo),
            (fifo, circular) => circular.or(fifo),
        }
    }

    /// The same, if it may leave.
    fn kept_front(&self) -> Option<&BufferedMessage> {
        self.front().filter(|item| item.sequence <= self.kept_sequence)
    }

    /// Messages up to this number may leave, and no later ones; `None`: those that are there.
    pub(super) fn keep_up_to(&mut self, sequence: Option<u64>) {
        self.kept_sequence = sequence.unwrap_or(self.next_sequence - 1);
    }

    fn pop_front(&mut self) -> Option<BufferedMessage> {
        let policy = self.front()?.message.policy;
        self.queue(policy).items.pop_front()
    }

    /// The size of the oldest circular message but `skipped`.
    pub(super) fn circular_bytes(&self, skipped: usize) -> Option<u64> {
        self.circular.items.get(skipped).map(|item| item.message.bytes())
    }

    /// The size of the newest fifo message but `skipped`.
    pub(super) fn fifo_bytes(&self, skipped: usize) -> Option<u64> {
        let at = self.fifo.items.len().checked_sub(skipped + 1)?;
        self.fifo.items.get(at).map(|item| item.message.bytes())
    }

    /// The numbers of the first and the last message of a policy that was sent and is not over.
    fn sent(&self, policy: OverflowPolicy) -> (Option<u64>, Option<u64>) {
        let of_policy = |item: &&BufferedMessage| item.message.policy == policy;
        let mut sent = self.replay.iter().chain(self.first_flight()).filter(of_policy).map(|item| item.sequence);
        let first = sent.next();
        (first, sent.next_back().or(first))
    }

    /// Drops the oldest circular message, and with it whatever was between it and the last one sent.
    pub(super) fn drop_circular(&mut self) {
        let Some(item) = self.circular.items.pop_front() else { return };
        self.bytes -= item.message.bytes();
        if let (Some(oldest), Some(last)) = self.sent(OverflowPolicy::Circular) {
            self.circular.record_drop(last + 1, item.sequence, oldest);
        }
    }

    /// Drops the newest fifo message, and with it whatever came after the one before it.
    pub(super) fn drop_fifo(&mut self) {
        let Some(item) = self.fifo.items.pop_back() else { return };
        self.bytes -= item.message.bytes();
        let (first, last) = self.sent(OverflowPolicy::Fifo);
        let (oldest, newest) = (self.fifo.items.front(), self.fifo.items.back());
        if let (Some(oldest), Some(newest)) =
            (first.or(oldest.map(|item| item.sequence)), newest.map(|item| item.sequence).or(last))
        {
            self.fifo.record_drop(newest + 1, self.next_sequence - 1, oldest);
        }
    }

    /// Forgets the oldest message that was written to the stream; whether there was one.
    pub(super) fn trim_replay(&mut self) -> bool {
        let Some(item) = self.replay.pop_front() else { return false };
        self.replay_bytes -= item.message.bytes();
        self.replay_at = self.replay_at.saturating_sub(1);
        true
    }

    /// Messages for a batch, at least one, then as many as fit the budget on the wire; they stay here until [`Self::finish`].
    pub(super) fn begin_batch(&mut self, budget_bytes: u64, max_messages: usize) -> (Vec<BufferedMessage>, u64) {
        let (mut taken, mut bytes) = (vec![], 0_u64);
        let max_bytes = whole(budget_bytes, self.coded_ppm).min(self.batch_max_bytes);
        self.is_replaying = self.replay_at < self.replay.len();
        while taken.len() < max_messages {
            let next = if self.is_replaying { self.replay.get(self.replay_at) } else { self.kept_front() };
            let Some(size) = next.map(|item| item.message.bytes()) else { break };
            if !taken.is_empty() && bytes + size > max_bytes {
                break;
            }
            bytes += size;
            if self.is_replaying {
                taken.extend(self.replay.get(self.replay_at).cloned());
                self.replay_at += 1;
            } else {
                taken.extend(self.pop_front());
            }
        }
        self.flight_bytes = if self.is_replaying { 0 } else { bytes };
        self.flight.clone_from(&taken);
        (taken, bytes)
    }

    /// The delivery of the batch ended; how many messages it had that were not delivered before.
    pub(super) fn finish(&mut self, end: DeliveryEnd) -> u64 {
        let flight = std::mem::take(&mut self.flight);
        let bytes = std::mem::take(&mut self.flight_bytes);
        if std::mem::take(&mut self.is_replaying) {
            if end == DeliveryEnd::Failed {
                self.replay_at = self.replay_at.saturating_sub(flight.len());
            }
            return 0;
        }
        let count = flight.len() as u64;
        if end == DeliveryEnd::Failed {
            for item in flight.into_iter().rev() {
                self.queue(item.message.policy).items.push_front(item);
            }
            return count;
        }
        self.bytes -= bytes;
        if end == DeliveryEnd::Written {
            self.replay_bytes += bytes;
            self.replay.extend(flight);
            self.replay_at = self.replay.len();
            while self.replay_bytes > STREAM_REPLAY_MAX_BYTES && self.trim_replay() {}
        }
        count
    }

    pub(super) fn shrink_batches(&mut self) -> bool {
        self.batch_max_bytes = self.flight.iter().map(|item| item.message.bytes()).sum::<u64>() / 2;
        self.flight.len() > 1
    }

    /// A stream is read from now on by one who has everything up to `last`, or says nothing of it. Returns how many of
    /// those messages were not counted as delivered.
    pub(super) fn resume(&mut self, last: Option<u64>) -> u64 {
        let Some(last) = last else {
            while self.trim_replay() {}
            return 0;
        };
        while self.replay.front().is_some_and(|item| item.sequence <= last) && self.trim_replay() {}
        self.replay_at = 0;
        let mut count = 0;
        while self.front().is_some_and(|item| item.sequence <= last) {
            let Some(item) = self.pop_front() else { break };
            self.bytes -= item.message.bytes();
            count += 1;
        }
        count
    }

    pub(super) fn state(&self) -> LaneState {
        let state = |policy: OverflowPolicy, queue: &LaneQueue| {
            let first = self.sent(policy).0.or(queue.items.front().map(|item| item.sequence));
            let first = first.unwrap_or(self.next_sequence);
            let still_matters = queue.dropped.iter().filter(|(_, last)| **last >= first);
            QueueState { first, dropped: still_matters.map(|(first, last)| (*first, *last)).collect() }
        };
        LaneState {
            next_sequence: self.next_sequence,
            fifo: state(OverflowPolicy::Fifo, &self.fifo),
            circular: state(OverflowPolicy::Circular, &self.circular),
            counts: self.counts,
        }
    }

    pub(super) fn restore(&mut self, state: &LaneState) {
        self.next_sequence = state.next_sequence;
        self.fifo.dropped = state.fifo.dropped.iter().copied().collect();
        self.circular.dropped = state.circular.dropped.iter().copied().collect();
        self.counts = state.counts;
    }

    /// A message from the spool is back; they come in any order, and [`Self::sort`] follows.
    pub(super) fn restore_message(&mut self, item: BufferedMessage) {
        self.next_sequence = self.next_sequence.max(item.sequence + 1);
        self.push(item);
    }

    pub(super) fn sort(&mut self) {
        for queue in [&mut self.fifo, &mut self.circular] {
            queue.items.make_contiguous().sort_by_key(|item| item.sequence);
        }
    }

    #[cfg(test)]
    pub(super) fn is_consistent(&self) -> bool {
        let bytes =
            |items: &mut dyn Iterator<Item = &BufferedMessage>| -> u64 { items.map(|item| item.message.bytes()).sum() };
        let flight = bytes(&mut self.first_flight().iter());
        self.flight_bytes == flight
            && self.bytes == flight + bytes(&mut self.fifo.items.iter().chain(&self.circular.items))
            && self.replay_bytes == bytes(&mut self.replay.iter())
            && self.replay_at <= self.replay.len()
    }

    /// The numbers of what waits, is in flight, or may be asked for again.
    #[cfg(test)]
    pub(super) fn held_sequences(&self) -> Vec<u64> {
        let all = self.fifo.items.iter().chain(&self.circular.items).chain(self.first_flight()).chain(&self.replay);
        let mut numbers: Vec<u64> = all.map(|item| item.sequence).collect();
        numbers.sort_unstable();
        numbers
    }

    #[cfg(test)]
    pub(super) fn newest_in_flight(&self) -> Option<u64> {
        self.flight.last().map(|item| item.sequence)
    }
}
