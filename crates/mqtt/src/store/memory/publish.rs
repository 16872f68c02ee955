//! Publication: dedup keys, the retained message, queues, and the inboxes of other replicas.

use std::sync::Arc;

use super::MemoryState;
use super::changes::{QueuePlace, UnwrittenChanges};
use crate::codec::Qos;
use crate::limits::INBOX_MAX;
use crate::message::{ReplicaId, unix_ms};
use crate::store::{DedupKey, Notice, Publication, Published, RouteEvent, StoreOp, StoreOutcome};

impl MemoryState {
    pub(super) fn publish(&mut self, me: ReplicaId, publication: Publication) -> StoreOutcome {
        let Publication { dedup_key, message, appends, forwards, directs, retain } = publication;
        if let Some(refused) = dedup_key.and_then(|dedup_key| self.claim_dedup_key(dedup_key)) {
            return refused;
        }
        let not_retained = retain && !self.retained.insert(&message);
        if retain && !not_retained {
            self.record_retained(&message);
        }
        if retain && !not_retained && self.replicas.len() > 1 {
            // Sent to its own replica as well, so that all see one order.
            self.record_change(None, RouteEvent::Retained(Arc::clone(&message)));
        }
        let mut numbers = Vec::with_capacity(appends.len());
        let (mut refused, mut expired) = (Vec::new(), 0);
        let segment = self.changes.as_mut().filter(|_| !appends.is_empty()).map(UnwrittenChanges::open_segment);
        let mut places = Vec::with_capacity(if segment.is_some() { appends.len() } else { 0 });
        for (at, (client, options)) in appends.into_iter().enumerate() {
            let Some(record) = self.sessions.get_mut(&client) else {
                numbers.push(None);
                continue;
            };
            if !record.queue.has_room(&message) {
                expired += record.queue.remove_expired(unix_ms());
            }
            let stored = segment.is_some().then(|| options.clone());
            let number = record.queue.push(&message, options, segment.clone());
            if number.is_none() {
                refused.push(at);
            }
            if let (Some(seq), Some(options)) = (number, stored) {
                places.push(QueuePlace { client: Arc::clone(&client), birth: record.birth, seq, options });
            }
            numbers.push(number);
            if let Some(owner) = record.owner.filter(|owner| *owner != me) {
                self.notify(owner, Notice::Wake(client));
            }
        }
        self.expired += expired;
        places.iter().for_each(|place| self.record_session(&place.client));
        if let Some(changes) = &mut self.changes {
            changes.append(&message, places);
        }
        let forwards = forwards.into_iter().map(|replica| (replica, None));
        let directs = directs.into_iter().map(|(replica, client, options)| (replica, Some((client, options))));
        let mut skipped_replicas = 0;
        for (replica, to) in forwards.chain(directs) {
            // Messages above QoS 0 have waited for room in `commit`.
            if message.qos == Qos::AtMostOnce && self.is_full(replica) {
                skipped_replicas += 1;
                continue;
            }
            self.notify(replica, Notice::Forwarded { message: Arc::clone(&message), to });
        }
        StoreOutcome::Published(Published { numbers, refused, not_retained, skipped_replicas, ..Published::default() })
    }

    /// Claims a dedup key; the outcome if the publication was made before or its session is not held.
    fn claim_dedup_key(&mut self, dedup_key: DedupKey) -> Option<StoreOutcome> {
        let is_first = match dedup_key {
            DedupKey::Inbound { holder, packet_id } => {
                let Some(record) = self.held(&holder) else { return Some(StoreOutcome::Fenced) };
                let is_first = record.inbound.insert(packet_id);
                self.record_session(&holder.client);
                is_first
            }
            DedupKey::Will { client, epoch } => {
                let is_stored = self.wills.get(&client).is_some_and(|will| will.epoch == epoch);
                self.record_will(&client);
                is_stored && self.wills.remove(&client).is_some()
            }
            DedupKey::Orphaned { id } => id.parse().is_ok_and(|id: u64| {
                self.record_orphaned(id);
                self.orphaned.remove(&id).is_some()
            }),
        };
        let repeated = Published { repeated: true, ..Published::default() };
        (!is_first).then_some(StoreOutcome::Published(repeated))
    }

    fn is_full(&self, replica: ReplicaId) -> bool {
        self.replicas.get(&replica).is_some_and(|inbox| inbox.notices.len() >= INBOX_MAX)
    }

    /// Whether an inbox has no room for a message of the batch above QoS 0.
    pub(super) fn is_full_for(&self, batch: &[StoreOp]) -> bool {
        if self.replicas.len() < 2 {
            return false;
        }
        let full = |replica: &ReplicaId| self.is_full(*replica);
        batch.iter().any(|op| match op {
            StoreOp::Publish(publication) if publication.message.qos > Qos::AtMostOnce => {
                let directs = publication.directs.iter().map(|(replica, _, _)| replica);
                publication.forwards.iter().chain(directs).any(full)
            }
            _ => false,
        })
    }
}
