//! The state as a file has it, read back when a process starts. Connections that held sessions are over: they end as
//! those of a replica whose lease is over.

use std::collections::HashMap;
use std::sync::Arc;

use bytestring::ByteString;

use super::changes::{QueuePlace, SegmentRef, UnwrittenChanges};
use super::cut::{StoredSession, WrittenWill};
use super::queue::NumberedQueue;
use super::record::{SessionRecord, StoredWill};
use super::session_form::{SessionForm, read_session};
use super::{Memory, MemoryState};
use crate::message::{ClientId, Message, ReplicaId, UnixMs};
use crate::router::GrantedSubscription;
use crate::store::{LastWill, OrphanedShareMessage, SessionExpiry, SessionHolder, WillFate};

/// The holder of sessions that a process before this one held.
const FORMER_REPLICA: ReplicaId = ReplicaId(0);

/// A state that is being read back: sessions first, then what belongs to them.
#[derive(Debug)]
pub(in crate::store) struct StateRestore {
    state: MemoryState,
    by_birth: HashMap<u64, ClientId>,
    /// Messages that are over, by session.
    over: HashMap<ClientId, Vec<(u64, u64)>>,
}

impl StateRestore {
    /// Of a file whose last segment has this id.
    pub(in crate::store) fn new(last_segment: u64) -> Self {
        let state = MemoryState { changes: Some(UnwrittenChanges::after(last_segment)), ..MemoryState::default() };
        Self { state, by_birth: HashMap::new(), over: HashMap::new() }
    }

    /// Returns whether it could be read.
    pub(in crate::store) fn add_session(&mut self, stored: StoredSession) -> bool {
        let StoredSession { birth, client, state } = stored;
        // Also of one that cannot be read: nobody else is to have its birth, by which its rows are found.
        self.state.epochs = self.state.epochs.max(birth);
        let Some(form) = read_session(&state) else { return false };
        let SessionForm { epoch, user, is_held, expiry_s, expires_at_ms, sent, first, last, over, received, inbound } =
            form;
        let removed_to = over.last().map_or(first, |(_, to)| *to);
        let Some(queue) = NumberedQueue::restored(Arc::clone(&self.state.queued_bytes), first, last, removed_to) else {
            return false;
        };
        if let Some(user) = &user {
            *self.state.by_user.entry(Arc::clone(user)).or_default() += 1;
        }
        let record = SessionRecord {
            birth,
            belongs_to: user.clone(),
            user,
            owner: is_held.then_some(FORMER_REPLICA),
            expires_at_ms,
            sent,
            received: received.into_iter().collect(),
            inbound: inbound.into_iter().collect(),
            ..SessionRecord::new(epoch, FORMER_REPLICA, expiry_s, true, queue)
        };
        self.state.epochs = self.state.epochs.max(epoch);
        self.by_birth.insert(birth, Arc::clone(&client));
        if !over.is_empty() {
            self.over.insert(Arc::clone(&client), over);
        }
        self.state.sessions.insert(client, record);
        true
    }

    pub(in crate::store) fn add_subscription(&mut self, birth: u64, filter: ByteString, granted: GrantedSubscription) {
        self.state.epochs = self.state.epochs.max(birth);
        let client = self.by_birth.get(&birth);
        if let Some(record) = client.and_then(|client| self.state.sessions.get_mut(client)) {
            record.subscriptions.insert(filter, granted);
        }
    }

    pub(in crate::store) fn add_retained(&mut self, message: &Arc<Message>) {
        self.state.retained.insert(message);
    }

    pub(in crate::store) fn add_will(&mut self, client: ClientId, will: WrittenWill) {
        let WrittenWill { epoch, delay_s, due_at_ms, message } = will;
        self.state.epochs = self.state.epochs.max(epoch);
        self.state.wills.insert(client, StoredWill { epoch, will: LastWill { message, delay_s }, due_at_ms });
    }

    pub(in crate::store) fn add_orphaned(&mut self, number: u64, share: Arc<str>, message: Arc<Message>) {
        self.state.orphan_count = self.state.orphan_count.max(number);
        self.state.orphaned.insert(number, OrphanedShareMessage { id: number.to_string(), message, share });
    }

    /// The hold of a segment in the file, for the messages that it has.
    pub(in crate::store) fn segment(&self, id: u64) -> Option<SegmentRef> {
        self.state.changes.as_ref().map(|changes| changes.written_segment(id))
    }

    /// Puts a message into its places that still wait for it.
    pub(in crate::store) fn add_message(
        &mut self,
        segment: &SegmentRef,
        message: &Arc<Message>,
        places: Vec<QueuePlace>,
        now_ms: UnixMs,
    ) {
        for QueuePlace { client, birth, seq, options } in places {
            // An epoch is never used again while a segment names it.
            self.state.epochs = self.state.epochs.max(birth);
            let session = self.state.sessions.get_mut(&client).filter(|record| record.birth == birth);
            let is_over = |(from, to): &(u64, u64)| (*from..=*to).contains(&seq);
            let Some(record) = session.filter(|_| !message.is_expired(now_ms)) else { continue };
            let over = self.over.get(&client).map_or(&[][..], Vec::as_slice);
            let run = over.partition_point(|(_, to)| *to < seq);
            if !over.get(run).is_some_and(is_over) {
                record.queue.restore(seq, message, options, segment.clone());
            }
        }
    }

    /// The state, once the connections that were are over.
    pub(in crate::store) fn finish(self, now_ms: UnixMs) -> Memory {
        let mut state = self.state;
        state.sessions.values_mut().for_each(|record| record.queue.finish_restore());
        state.end_connections(now_ms);
        Memory::from(state)
    }
}

impl MemoryState {
    /// All connections have ended at once, with their process.
    pub(in crate::store) fn end_connections(&mut self, now_ms: UnixMs) {
        let held = self.sessions.iter().filter(|(_, record)| record.owner.is_some());
        let mut held: Vec<_> = held
            .map(|(client, record)| {
                // What was sent is not known: all may have been.
                let holder = SessionHolder { client: Arc::clone(client), epoch: record.epoch };
                (holder, record.expiry_s, record.queue.last())
            })
            .collect();
        held.sort_unstable_by(|(one, ..), (other, ..)| one.client.cmp(&other.client));
        for (holder, expiry_s, last) in held {
            let expiry = SessionExpiry::after(expiry_s, now_ms);
            self.detach(FORMER_REPLICA, &holder, last, expiry, WillFate::Due(now_ms));
        }
        // The others were of sessions that ended with their connections.
        let mut due = Vec::new();
        for (client, will) in self.wills.iter_mut().filter(|(_, will)| will.due_at_ms.is_none()) {
            will.due_at_ms = Some(now_ms);
            due.push(Arc::clone(client));
        }
        due.iter().for_each(|client| self.record_will(client));
    }

    /// Everything that a file has to hold, in one order.
    #[cfg(test)]
    pub(in crate::store) fn describe(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (client, record) in self.sessions.iter().filter(|(_, record)| record.lasting) {
            let SessionRecord { epoch, birth, user, owner, expiry_s, expires_at_ms, sent, received, .. } = record;
            let last = record.queue.last();
            lines.push(format!(
                "{client} {epoch} {birth} {user:?} {owner:?} {expiry_s} {expires_at_ms} {sent} {last} {received:?}"
            ));
            lines.extend(record.subscriptions.iter().map(|(filter, granted)| format!("{client} {filter} {granted:?}")));
            lines.extend(record.inbound.iter().map(|id| format!("{client} inbound {id}")));
            lines.extend(record.queue.after(0, usize::MAX).iter().map(|queued| format!("{client} {queued:?}")));
        }
        lines.extend(self.retained.all().iter().map(|message| format!("retained {message:?}")));
        lines.extend(self.wills.iter().map(|(client, will)| format!("{client} {will:?}")));
        lines.extend(self.orphaned.values().map(|one| format!("{:?} of {}", one.message, one.share)));
        lines.push(format!(
            "{} bytes, users {:?}",
            self.queued_bytes(),
            std::collections::BTreeMap::from_iter(&self.by_user)
        ));
        lines.sort();
        lines
    }
}
