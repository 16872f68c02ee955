//! A lasting session's messages come from the store: as it numbers them, or read from its queue by a session that is
//! behind.

use std::sync::Arc;

use super::{Outbox, QueuedMessage};
use crate::limits::LOAD_MESSAGES;
use crate::message::{Message, UnixMs};
use crate::session::encode_cache::{EncodeCache, MessageEncoder};
use crate::store::{DeliveryOptions, Queued};

impl Outbox {
    /// Messages in a row as the store numbers them. Those that come during a load wait for it.
    pub(crate) fn enqueue_run(
        &mut self,
        first: u64,
        messages: Vec<(Arc<Message>, DeliveryOptions)>,
        now_ms: UnixMs,
        cache: &mut EncodeCache,
    ) {
        for (seq, (message, options)) in (first..).zip(messages) {
            if self.loading && seq >= self.next && self.early.len() < LOAD_MESSAGES {
                self.early.push_back(QueuedMessage { seq, message, options });
            } else {
                self.enqueue_numbered(seq, &mut MessageEncoder::from_shared(&message, now_ms, cache), &options);
            }
        }
    }

    /// The store has more than is waiting here.
    pub(crate) fn fall_behind(&mut self) {
        self.behind = true;
    }

    /// The number after which the store is to be read, if it is time for that.
    pub(crate) fn load_after(&self) -> Option<u64> {
        (self.behind && self.waiting.len() < LOAD_MESSAGES / 2).then_some(self.next - 1)
    }

    /// Called before a load: later messages are part of it, or set `behind` again.
    pub(crate) fn begin_load(&mut self) {
        self.behind = false;
        self.loading = true;
    }

    /// Adds the loaded messages; `asked` is how many were asked for.
    pub(crate) fn on_loaded(&mut self, found: Vec<Queued>, asked: usize) {
        self.behind |= found.len() >= asked;
        for Queued { seq, message, options } in found {
            if seq < self.next {
                continue;
            }
            self.next = seq + 1;
            self.waiting_bytes += message.size_bytes();
            self.waiting.push_back(QueuedMessage { seq, message, options });
        }
        if !self.behind {
            self.next = self.next.max(self.floor);
        }
        self.loading = false;
        for early in std::mem::take(&mut self.early) {
            self.behind |= early.seq > self.next;
            if !self.behind && early.seq == self.next {
                self.next += 1;
                self.waiting_bytes += early.message.size_bytes();
                self.waiting.push_back(early);
            }
        }
    }
}
