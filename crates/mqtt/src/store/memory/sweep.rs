//! The sweep: dead replicas, expired sessions, wills that are due, and orphaned messages of shared subscriptions.

use std::sync::Arc;

use super::MemoryState;
use super::record::SessionRecord;
use crate::limits::{REAP_COUNT, SHARE_RELEASE_COUNT};
use crate::message::{ClientId, Message, UnixMs};
use crate::store::{DueWill, DueWork, OrphanedShareMessage, RouteEvent, SessionExpiry, SessionHolder, WillFate};

impl MemoryState {
    /// Sessions of replicas whose lease is over are let go as if their connections had just been lost.
    pub(super) fn reap(&mut self, now_ms: UnixMs) {
        let dead: Vec<_> =
            self.replicas.iter().filter(|(_, inbox)| inbox.lease_ends_ms <= now_ms).map(|(id, _)| *id).collect();
        for replica in dead {
            let held = self.sessions.iter().filter(|(_, record)| record.owner == Some(replica));
            let holders: Vec<_> = held
                .map(|(client, record)| {
                    // The dead replica has not reported what it sent: all may have been sent.
                    let holder = SessionHolder { client: Arc::clone(client), epoch: record.epoch };
                    (holder, record.expiry_s, record.queue.last())
                })
                .take(REAP_COUNT)
                .collect();
            if holders.is_empty() {
                self.replicas.remove(&replica);
            }
            for (holder, expiry_s, sent) in holders {
                let expiry = SessionExpiry::after(expiry_s, now_ms);
                self.detach(replica, &holder, sent, expiry, WillFate::Due(now_ms));
            }
        }
    }

    pub(super) fn expire(&mut self, now_ms: UnixMs) {
        if self.retained.remove_expired(now_ms) > 0
            && let Some(changes) = &mut self.changes
        {
            changes.retained_expired_ms = Some(now_ms);
        }
        self.expired += self.sessions.values_mut().map(|record| record.queue.remove_expired(now_ms)).sum::<u64>();
        let over = self.sessions.iter().filter(|(_, record)| record.owner.is_none() && record.expires_at_ms <= now_ms);
        let clients: Vec<_> = over.map(|(client, _)| Arc::clone(client)).take(REAP_COUNT).collect();
        for client in clients {
            let Some(record) = self.sessions.remove(&client) else { continue };
            let had = !record.subscriptions.is_empty();
            self.end_session(record);
            if had {
                self.record_change(None, RouteEvent::Gone { client });
            }
        }
    }

    /// Releases what waits for a member of a shared subscription that is away, and was never sent.
    pub(super) fn release_share(&mut self, client: &ClientId, share: &str) {
        let absent = self.sessions.get_mut(client).filter(|record| record.owner.is_none());
        let Some(record) = absent else { return };
        let mut released = Vec::new();
        for queued in record.queue.after(record.sent, SHARE_RELEASE_COUNT) {
            if let Some(of) = queued.options.share.filter(|of| **of == *share) {
                record.queue.remove(queued.seq);
                released.push((queued.message, of));
            }
        }
        if !released.is_empty() {
            self.record_session(client);
        }
        released.into_iter().for_each(|(message, share)| self.add_orphaned(message, share));
    }

    fn add_orphaned(&mut self, message: Arc<Message>, share: Arc<str>) {
        self.orphan_count += 1;
        let orphan = OrphanedShareMessage { id: self.orphan_count.to_string(), message, share };
        self.orphaned.insert(self.orphan_count, orphan);
        self.record_orphaned(self.orphan_count);
    }

    /// A session has ended: it counts no longer, and its messages of shared subscriptions go to other members.
    pub(super) fn end_session(&mut self, record: SessionRecord) {
        if let Some(user) = &record.user
            && let Some(count) = self.by_user.get_mut(user)
        {
            *count -= 1;
            if *count == 0 {
                self.by_user.remove(user);
            }
        }
        // An older connection has not reported what it sent: all may have been sent.
        let sent = if record.owner.is_some() { record.queue.last() } else { record.sent };
        if let Some(changes) = self.changes.as_mut().filter(|_| record.lasting) {
            changes.ended.push(record.birth);
        }
        for (message, share) in record.queue.into_redelivered(sent) {
            self.add_orphaned(message, share);
        }
    }

    pub(super) fn due(&mut self, now_ms: UnixMs) -> DueWork {
        let due = self.wills.iter().filter(|(_, will)| will.due_at_ms.is_some_and(|at_ms| at_ms <= now_ms));
        let orphaned = self.orphaned.values().take(REAP_COUNT).cloned().collect();
        let wills = due
            .take(REAP_COUNT)
            .map(|(client, testament)| DueWill {
                client: Arc::clone(client),
                epoch: testament.epoch,
                message: Arc::clone(&testament.will.message),
            })
            .collect();
        DueWork { wills, orphaned, expired: std::mem::take(&mut self.expired) }
    }
}
