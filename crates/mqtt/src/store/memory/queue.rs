//! The queue of a lasting session.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::{QUEUE_BYTES_MAX, QUEUE_MESSAGES_MAX, QUEUED_BYTES_MAX};
use crate::message::{Message, UnixMs};
use crate::store::{DeliveryOptions, Queued};

/// Numbered messages: looked up by number, removed mostly at the front.
#[derive(Debug, Default)]
pub(super) struct NumberedQueue {
    /// The number of the first slot.
    first: u64,
    slots: VecDeque<Option<(Arc<Message>, DeliveryOptions)>>,
    count: usize,
    bytes: usize,
    /// Bytes of the queues of all sessions.
    all_bytes: Arc<AtomicUsize>,
    /// No message expires before; 0: none has an end.
    expires_at_ms: UnixMs,
}

impl NumberedQueue {
    pub(super) fn new(all_bytes: Arc<AtomicUsize>) -> Self {
        let mut queue = Self::default();
        queue.all_bytes = all_bytes;
        queue
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
    pub(super) fn push(&mut self, message: &Arc<Message>, options: DeliveryOptions) -> Option<u64> {
        if !self.has_room(message) {
            return None;
        }
        if let Some(end_ms) = message.expires_at_ms {
            self.expires_at_ms = if self.expires_at_ms == 0 { end_ms } else { self.expires_at_ms.min(end_ms) };
        }
        self.slots.push_back(Some((Arc::clone(message), options)));
        self.count += 1;
        self.bytes += message.size_bytes();
        self.all_bytes.fetch_add(message.size_bytes(), Ordering::Relaxed);
        Some(self.last())
    }

    /// Removes what has expired. Returns how many messages that were.
    pub(super) fn remove_expired(&mut self, now_ms: UnixMs) -> u64 {
        if self.expires_at_ms == 0 || self.expires_at_ms > now_ms {
            return 0;
        }
        let mut next_ms: Option<UnixMs> = None;
        let before = self.count;
        for slot in &mut self.slots {
            let Some((message, _)) = slot else { continue };
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

    pub(super) fn remove(&mut self, seq: u64) {
        let Some(at) = seq.checked_sub(self.first + 1).and_then(|at| usize::try_from(at).ok()) else { return };
        if let Some((message, _)) = self.slots.get_mut(at).and_then(Option::take) {
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
            let (message, options) = slot?;
            let goes_on = options.is_redelivered(seq <= sent);
            options.share.filter(|_| goes_on).map(|share| (message, share))
        })
    }

    pub(super) fn after(&self, after: u64, count: usize) -> Vec<Queued> {
        let skip = usize::try_from(after.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let numbered = self.slots.iter().zip(self.first + 1..).skip(skip);
        let full = numbered.filter_map(|(slot, seq)| slot.as_ref().map(|(message, options)| (seq, message, options)));
        full.take(count)
            .map(|(seq, message, options)| Queued { seq, message: Arc::clone(message), options: options.clone() })
            .collect()
    }
}

impl Drop for NumberedQueue {
    fn drop(&mut self) {
        self.all_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
