//! The queue of a lasting session.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::limits::{QUEUE_BYTES_MAX, QUEUE_MESSAGES_MAX};
use crate::message::Message;
use crate::store::{DeliveryOptions, Queued};

/// Numbered messages: looked up by number, removed mostly at the front.
#[derive(Debug, Default)]
pub(super) struct NumberedQueue {
    /// The number of the first slot.
    first: u64,
    slots: VecDeque<Option<(Arc<Message>, DeliveryOptions)>>,
    count: usize,
    bytes: usize,
}

impl NumberedQueue {
    pub(super) fn last(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// `None`: full.
    pub(super) fn push(&mut self, message: &Arc<Message>, options: DeliveryOptions) -> Option<u64> {
        if self.count >= QUEUE_MESSAGES_MAX || self.bytes + message.size_bytes() > QUEUE_BYTES_MAX {
            return None;
        }
        self.slots.push_back(Some((Arc::clone(message), options)));
        self.count += 1;
        self.bytes += message.size_bytes();
        Some(self.last())
    }

    pub(super) fn remove(&mut self, seq: u64) {
        let Some(at) = seq.checked_sub(self.first + 1).and_then(|at| usize::try_from(at).ok()) else { return };
        if let Some((message, _)) = self.slots.get_mut(at).and_then(Option::take) {
            self.count -= 1;
            self.bytes -= message.size_bytes();
        }
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.first += 1;
        }
    }

    /// The messages that go to other members of shared subscriptions once the session has ended.
    pub(super) fn into_redelivered(self, sent: u64) -> impl Iterator<Item = (Arc<Message>, Arc<str>)> {
        let numbered = self.slots.into_iter().zip(self.first + 1..);
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
