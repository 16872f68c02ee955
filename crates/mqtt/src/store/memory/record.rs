//! The record of a session and of a will.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytestring::ByteString;

use super::queue::NumberedQueue;
use crate::limits::CLOCK_SKEW_MS;
use crate::message::{ReplicaId, UnixMs};
use crate::router::GrantedSubscription;
use crate::store::{LastWill, SessionStatus, subscription_statuses};

#[derive(Debug)]
pub(super) struct SessionRecord {
    pub(super) epoch: u64,
    /// The epoch that it began with.
    pub(super) birth: u64,
    /// The user that it belongs to.
    pub(super) belongs_to: Option<Arc<str>>,
    /// The user whose sessions it is counted with.
    pub(super) user: Option<Arc<str>>,
    pub(super) owner: Option<ReplicaId>,
    pub(super) lasting: bool,
    pub(super) expiry_s: u32,
    /// Only while no replica holds it.
    pub(super) expires_at_ms: UnixMs,
    pub(super) subscriptions: HashMap<ByteString, GrantedSubscription>,
    pub(super) queue: NumberedQueue,
    pub(super) sent: u64,
    pub(super) received: BTreeSet<u64>,
    pub(super) inbound: HashSet<u16>,
}

#[derive(Debug)]
pub(super) struct StoredWill {
    pub(super) epoch: u64,
    pub(super) will: LastWill,
    pub(super) due_at_ms: Option<UnixMs>,
}

impl StoredWill {
    /// Whether it is due when the client reconnects: its delay is over, or it has none [MQTT-3.1.3-9].
    pub(super) fn is_due_at_return(&self, now_ms: UnixMs) -> bool {
        let skew_ms = if self.will.delay_s == 0 { CLOCK_SKEW_MS } else { 0 };
        self.due_at_ms.map_or(self.will.delay_s == 0, |at_ms| at_ms <= now_ms + skew_ms)
    }
}

impl SessionRecord {
    /// Whether the session ends when the connection that holds it does.
    pub(super) fn ends_with_connection(&self) -> bool {
        self.owner.is_some() && self.expiry_s == 0
    }

    /// What operators are told.
    pub(super) fn status(&self) -> SessionStatus {
        let granted = self.subscriptions.iter().map(|(filter, granted)| (filter.clone(), *granted));
        SessionStatus {
            holder: self.owner,
            lasting: self.lasting,
            expires_at_ms: self.owner.is_none().then_some(self.expires_at_ms),
            user: self.user.clone(),
            queued_messages: self.queue.count(),
            queued_bytes: self.queue.bytes(),
            received: self.received.len(),
            unreleased: self.inbound.len(),
            subscriptions: subscription_statuses(granted),
        }
    }

    pub(super) fn new(epoch: u64, owner: ReplicaId, expiry_s: u32, lasting: bool, queue: NumberedQueue) -> Self {
        Self {
            epoch,
            birth: epoch,
            belongs_to: None,
            user: None,
            owner: Some(owner),
            lasting,
            expiry_s,
            expires_at_ms: UnixMs::MAX,
            subscriptions: HashMap::new(),
            queue,
            sent: 0,
            received: BTreeSet::new(),
            inbound: HashSet::new(),
        }
    }
}
