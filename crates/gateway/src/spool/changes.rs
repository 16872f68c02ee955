//! What changed since the last cut. Pure: the core notes it, and the writer takes it.
//!
//! What must stay true: however long the writer takes, this is bounded by what the gateway holds.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use super::super::buffer::SubscriptionId;
use super::super::message::TopicMessage;

/// The subscriptions that have a message, each with its number there.
pub type MessagePlaces = Vec<(SubscriptionId, u64)>;

/// Messages that are forgotten anyway are not looked for below so many.
const PRUNE_MIN: usize = 1_024;

#[derive(Debug)]
struct PendingMessage {
    /// A message that no lane has any more need not be written.
    message: Weak<TopicMessage>,
    places: MessagePlaces,
}

/// What changed.
#[derive(Debug, Default)]
pub struct SpoolChanges {
    is_enabled: bool,
    /// The number of the last cut.
    cut: u64,
    has_changes: bool,
    messages: Vec<PendingMessage>,
    prune_at: usize,
    lanes: BTreeSet<SubscriptionId>,
    /// Subscriptions that no cut has yet.
    created: BTreeSet<SubscriptionId>,
    ended: BTreeSet<SubscriptionId>,
    has_policies: bool,
    /// Last values up to this touch are in a cut.
    pub(in super::super) touched: u64,
}

/// What was taken.
pub(in super::super) struct TakenChanges {
    pub(in super::super) cut: u64,
    pub(in super::super) messages: Vec<(Arc<TopicMessage>, MessagePlaces)>,
    pub(in super::super) lanes: BTreeSet<SubscriptionId>,
    pub(in super::super) created: BTreeSet<SubscriptionId>,
    pub(in super::super) ended: BTreeSet<SubscriptionId>,
    pub(in super::super) has_policies: bool,
}

impl SpoolChanges {
    /// From now on changes are noted.
    pub fn enable(&mut self) {
        self.is_enabled = true;
        self.prune_at = PRUNE_MIN;
    }

    /// Whether changes are noted.
    pub fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    /// The cut that has everything up to now.
    pub fn current_cut(&self) -> u64 {
        self.cut + u64::from(self.has_changes)
    }

    fn note(&mut self) -> bool {
        self.has_changes |= self.is_enabled;
        self.is_enabled
    }

    /// A message arrived, and is in these places; last values changed in any case.
    pub(in super::super) fn record_message(&mut self, message: &Arc<TopicMessage>, places: MessagePlaces) {
        if !self.note() || places.is_empty() {
            return;
        }
        self.messages.push(PendingMessage { message: Arc::downgrade(message), places });
        if self.messages.len() >= self.prune_at {
            self.messages.retain(|pending| pending.message.strong_count() > 0);
            self.prune_at = (self.messages.len() * 2).max(PRUNE_MIN);
        }
    }

    pub(in super::super) fn record_policies(&mut self) {
        self.has_policies |= self.note();
    }

    /// A last value changed.
    pub(in super::super) fn record_topic(&mut self) {
        self.note();
    }

    /// Numbers, counts or waiting messages of a lane changed.
    pub(in super::super) fn record_lane(&mut self, id: SubscriptionId) {
        if self.note() {
            self.lanes.insert(id);
        }
    }

    pub(in super::super) fn record_subscription(&mut self, id: SubscriptionId) {
        if self.note() {
            self.created.insert(id);
            self.lanes.insert(id);
        }
    }

    pub(in super::super) fn record_end(&mut self, id: SubscriptionId) {
        if self.note() {
            self.lanes.remove(&id);
            if !self.created.remove(&id) {
                self.ended.insert(id);
            }
        }
    }

    /// Takes all of it for a cut; `None`: nothing changed.
    pub(in super::super) fn take(&mut self) -> Option<TakenChanges> {
        if !std::mem::take(&mut self.has_changes) {
            return None;
        }
        self.cut += 1;
        let living = |pending: PendingMessage| Some((pending.message.upgrade()?, pending.places));
        Some(TakenChanges {
            cut: self.cut,
            messages: std::mem::take(&mut self.messages).into_iter().filter_map(living).collect(),
            lanes: std::mem::take(&mut self.lanes),
            created: std::mem::take(&mut self.created),
            ended: std::mem::take(&mut self.ended),
            has_policies: std::mem::take(&mut self.has_policies),
        })
    }
}
