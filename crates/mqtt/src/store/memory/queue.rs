//! The queue of a lasting session.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::changes::SegmentRef;
use crate::limits::{QUEUE_BYTES_MAX, QUEUE_MESSAGES_MAX, QUEUED_BYTES_MAX};
use crate::message::{Message, UnixMs};
use crate::store::{DeliveryOptions, Queued};

/// The most places of a queue that is restored: those that may be full, and as many as there are packet ids.
#[cfg(feature = "sqlite")]
const RESTORED_PLACES_MAX: usize = QUEUE_MESSAGES_MAX + u16::MAX as usize;

/// Numbered messages: looked up by number, removed mostly at the front.
#[derive(Debug, Default)]
pub(super) struct NumberedQueue {
    /// The number of the first slot.
    first: u64,
    slots: VecDeque<Option<QueueSlot>>,
    /// No message behind this number was removed, but for those that expired.
    removed_to: u64,
    count: usize,
    bytes: usize,
    /// Bytes of the queues of all sessions.
    all_bytes: Arc<AtomicUsize>,
    /// No message expires before; 0: none has an end.
    expires_at_ms: UnixMs,
}

#[derive(Debug)]
struct QueueSlot {
    message: Arc<Message>,
    options: DeliveryOptions,
    /// Where a file has the message.
    segment: Option<SegmentRef>,
}

impl NumberedQueue {
    pub(super) fn new(all_bytes: Arc<AtomicUsize>) -> Self {
        let mut queue = Self::default();
        queue.all_bytes = all_bytes;
        queue
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All messages up to this number are over.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn last(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    pub(super) fn has_room(&self, message: &Message) -> bool {
        let size = message.size_bytes();
        self.count < QUEUE_MESSAGES_MAX
            && self.bytes + size <= QUEUE_BYTES_MAX
            && self.all_bytes.load(Ordering::Relaxed) + size <= QUEUED_BYTES_MAX
    }

    /// `None`: full.
    pub(super) fn push(
        &mut self,
        message: &Arc<Message>,
        options: DeliveryOptions,
        segment: Option<SegmentRef>,
    ) -> Option<u64> {
        if !self.has_room(message) {
            return None;
        }
        self.count_in(message);
        self.slots.push_back(Some(QueueSlot { message: Arc::clone(message), options, segment }));
        Some(self.last())
    }

    fn count_in(&mut self, message: &Message) {
        if let Some(end_ms) = message.expires_at_ms {
            self.expires_at_ms = if self.expires_at_ms == 0 { end_ms } else { self.expires_at_ms.min(end_ms) };
        }
        self.count += 1;
        self.bytes += message.size_bytes();
        self.all_bytes.fetch_add(message.size_bytes(), Ordering::Relaxed);
    }

    /// Removes what has expired. Returns how many messages that were.
    pub(super) fn remove_expired(&mut self, now_ms: UnixMs) -> u64 {
        if self.expires_at_ms == 0 || self.expires_at_ms > now_ms {
            return 0;
        }
        let mut next_ms: Option<UnixMs> = None;
        let before = self.count;
        for slot in &mut self.slots {
            let Some(QueueSlot { message, .. }) = slot else { continue };
            if message.is_expired(now_ms) {
                self.count -= 1;
                self.bytes -= message.size_bytes();
                self.all_bytes.fetch_sub(message.size_bytes(), Ordering::Relaxed);
                *slot = None;
            } else if let Some(end_ms) = message.expires_at_ms {
                next_ms = Some(next_ms.map_or(end_ms, |next_ms| next_ms.min(end_ms)));
            }
        }
        self.expires_at_ms = next_ms.unwrap_or(0);
        self.drop_empty_slots();
        (before - self.count) as u64
    }

    fn drop_empty_slots(&mut self) {
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.first += 1;
        }
    }

    fn place(&self, seq: u64) -> Option<usize> {
        seq.checked_sub(self.first + 1).and_then(|at| usize::try_from(at).ok())
    }

    pub(super) fn remove(&mut self, seq: u64) {
        let Some(at) = self.place(seq) else { return };
        if let Some(QueueSlot { message, .. }) = self.slots.get_mut(at).and_then(Option::take) {
            self.removed_to = self.removed_to.max(seq);
            self.count -= 1;
            self.bytes -= message.size_bytes();
            self.all_bytes.fetch_sub(message.size_bytes(), Ordering::Relaxed);
        }
        self.drop_empty_slots();
    }

    /// The messages that go to other members of shared subscriptions once the session has ended.
    pub(super) fn into_redelivered(mut self, sent: u64) -> impl Iterator<Item = (Arc<Message>, Arc<str>)> {
        let numbered = std::mem::take(&mut self.slots).into_iter().zip(self.first + 1..);
        numbered.filter_map(move |(slot, seq)| {
            let QueueSlot { message, options, .. } = slot?;
            let goes_on = options.is_redelivered(seq <= sent);
            options.share.filter(|_| goes_on).map(|share| (message, share))
        })
    }

    pub(super) fn after(&self, after: u64, count: usize) -> Vec<Queued> {
        let skip = usize::try_from(after.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let numbered = self.slots.iter().zip(self.first + 1..).skip(skip);
        let full = numbered.filter_map(|(slot, seq)| slot.as_ref().map(|slot| (seq, slot)));
        full.take(count)
            .map(|(seq, slot)| Queued { seq, message: Arc::clone(&slot.message), options: slot.options.clone() })
            .collect()
    }
}

/// As a file has it.
impl NumberedQueue {
    /// Messages behind [`first`](Self::first) that were removed: the first and the last of each run.
    pub(super) fn removed_runs(&self) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        let looked_at = self.slots.iter().zip(self.first + 1..=self.removed_to);
        for (_, seq) in looked_at.filter(|(slot, _)| slot.is_none()) {
            match runs.last_mut() {
                Some((_, to)) if *to + 1 == seq => *to = seq,
                _ => runs.push((seq, seq)),
            }
        }
        runs
    }

    /// A queue whose messages come by [`restore`](Self::restore). `None`: there cannot be so many.
    #[cfg(feature = "sqlite")]
    pub(super) fn restored(all_bytes: Arc<AtomicUsize>, first: u64, last: u64, removed_to: u64) -> Option<Self> {
        let count = usize::try_from(last.checked_sub(first)?).ok().filter(|count| *count <= RESTORED_PLACES_MAX)?;
        let mut queue = Self::new(all_bytes);
        (queue.first, queue.removed_to) = (first, removed_to);
        queue.slots.resize_with(count, || None);
        Some(queue)
    }

    /// Puts a message back into its place, if it has one.
    #[cfg(feature = "sqlite")]
    pub(super) fn restore(&mut self, seq: u64, message: &Arc<Message>, options: DeliveryOptions, segment: SegmentRef) {
        let place = self.place(seq);
        let Some(slot) = place.and_then(|at| self.slots.get_mut(at)).filter(|slot| slot.is_none()) else { return };
        *slot = Some(QueueSlot { message: Arc::clone(message), options, segment: Some(segment) });
        self.count_in(message);
    }

    /// Everything is restored: what did not come has expired.
    #[cfg(feature = "sqlite")]
    pub(super) fn finish_restore(&mut self) {
        self.drop_empty_slots();
    }

    /// Has a message that is in one segment held by another. Returns whether it is there.
    pub(super) fn move_to(&mut self, seq: u64, from: u64, to: &SegmentRef) -> bool {
        let slot = self.place(seq).and_then(|at| self.slots.get_mut(at)?.as_mut());
        let held = slot.and_then(|slot| slot.segment.as_mut()).filter(|segment| segment.id() == from);
        held.map(|segment| *segment = to.clone()).is_some()
    }
}

impl Drop for NumberedQueue {
    fn drop(&mut self) {
        self.all_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
