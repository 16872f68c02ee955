//! The claim of a session, within the bounds of all sessions and of those of one user.

use std::sync::Arc;

use super::MemoryState;
use super::queue::NumberedQueue;
use super::record::{SessionRecord, StoredWill};
use crate::limits::{SESSIONS_MAX, USER_SESSIONS_MAX};
use crate::message::{ReplicaId, UnixMs};
use crate::store::{ClaimedSession, Notice, RouteEvent, SessionClaim, SessionState, StoreError};

impl MemoryState {
    pub(super) fn claim(
        &mut self,
        me: ReplicaId,
        mut claim: SessionClaim,
    ) -> Result<Option<ClaimedSession>, StoreError> {
        let record = self.sessions.get(&claim.client).filter(|record| record.belongs_to.is_some());
        if let Some(record) = record.filter(|record| record.belongs_to != claim.user) {
            if !self.is_over(record, claim.now_ms) {
                return Err(StoreError::NotOwner);
            }
            claim.clean_start = true;
        }
        if let Some((owner, epoch)) =
            self.sessions.get(&claim.client).and_then(|record| Some((record.owner?, record.epoch)))
        {
            self.notify(owner, Notice::Kick { client: Arc::clone(&claim.client), epoch });
            if !claim.takes_over && self.replicas.contains_key(&owner) {
                return Ok(None);
            }
        }
        if claim.expiry_s > 0 && !self.sessions.contains_key(&claim.client) {
            let of_user = claim.user.as_ref().and_then(|user| self.by_user.get(user)).copied().unwrap_or(0);
            if self.sessions.len() >= SESSIONS_MAX || of_user >= USER_SESSIONS_MAX {
                return Err(StoreError::SessionsFull);
            }
        }
        Ok(Some(self.claim_now(me, claim)))
    }

    /// Whether a session that is there yet has ended.
    fn is_over(&self, record: &SessionRecord, now_ms: UnixMs) -> bool {
        match record.owner {
            Some(owner) => record.expiry_s == 0 && !self.replicas.contains_key(&owner),
            None => record.expires_at_ms <= now_ms,
        }
    }

    fn claim_now(&mut self, me: ReplicaId, claim: SessionClaim) -> ClaimedSession {
        self.epochs += 1;
        let epoch = self.epochs;
        let before = self.sessions.remove(&claim.client);
        let ends = before.as_ref().is_some_and(|record| claim.clean_start || record.ends_with_connection());
        let lasting = claim.is_stored(before.is_some() && !ends);
        let SessionClaim { now_ms, client, user, expiry_s, will, .. } = claim;
        let old_will = self.wills.remove(&client);
        if old_will.is_some() || will.is_some() {
            self.record_will(&client);
        }
        let old_will = old_will.filter(|old| old.is_due_at_return(now_ms) || ends);
        if let Some(will) = will {
            self.wills.insert(Arc::clone(&client), StoredWill { epoch, will, due_at_ms: None });
        }
        let had = before.as_ref().is_some_and(|record| !record.subscriptions.is_empty());
        let kept = match before {
            Some(record) if ends => {
                self.end_session(record);
                None
            }
            before => before,
        };
        let present = kept.is_some();
        let record = match kept {
            Some(record) => {
                // An older connection has not reported what it sent: all may have been sent.
                let sent = if record.owner.is_some() { record.queue.last() } else { record.sent };
                // A session that was nobody's becomes that of the first user that resumes it.
                let belongs_to = record.belongs_to.clone().or(user);
                SessionRecord { epoch, owner: Some(me), expiry_s, lasting, sent, belongs_to, ..record }
            }
            None => {
                let belongs_to = user.clone();
                let user = user.filter(|_| lasting);
                if let Some(user) = &user {
                    *self.by_user.entry(Arc::clone(user)).or_default() += 1;
                }
                let queue = NumberedQueue::new(Arc::clone(&self.queued_bytes));
                SessionRecord { belongs_to, user, ..SessionRecord::new(epoch, me, expiry_s, lasting, queue) }
            }
        };
        if had {
            let state = SessionState { owner: Some(me), lasting };
            let moved = RouteEvent::Moved { client: Arc::clone(&client), state };
            let what = if present { moved } else { RouteEvent::Gone { client: Arc::clone(&client) } };
            self.record_change(Some(me), what);
        }
        let taken = ClaimedSession {
            epoch,
            version: self.version,
            present,
            subscriptions: record.subscriptions.iter().map(|(filter, granted)| (filter.clone(), *granted)).collect(),
            last: record.queue.last(),
            sent: record.sent,
            received: record.received.iter().copied().collect(),
            inbound: record.inbound.iter().copied().collect(),
            will: old_will.map(|old| old.will.message),
        };
        self.sessions.insert(Arc::clone(&client), record);
        self.record_session(&client);
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::codec::Qos;
    use crate::limits::QUEUED_BYTES_MAX;
    use crate::message::Message;
    use crate::store::{
        DeliveryOptions, Progress, Publication, SessionExpiry, SessionHolder, StoreOp, StoreOutcome, WillFate,
    };

    fn claim(client: &str, user: &str, clean_start: bool) -> SessionClaim {
        let (client, user) = (client.into(), Some(user.into()));
        SessionClaim { now_ms: 0, client, user, clean_start, expiry_s: 60, will: None, takes_over: true }
    }

    #[test]
    fn a_user_has_so_many_sessions_and_no_more() {
        let (mut state, me) = (MemoryState::default(), ReplicaId(1));
        for number in 0..USER_SESSIONS_MAX {
            assert!(state.claim(me, claim(&number.to_string(), "greedy", false)).is_ok());
        }
        assert!(matches!(state.claim(me, claim("more", "greedy", false)), Err(StoreError::SessionsFull)));
        assert!(state.claim(me, claim("0", "greedy", true)).is_ok(), "a session that is there");
        assert!(state.claim(me, claim("more", "modest", false)).is_ok());
        let holder = SessionHolder { client: "1".into(), epoch: 2 };
        let ended = state.detach(me, &holder, 0, SessionExpiry::Nothing, WillFate::Dropped);
        assert_eq!(ended, StoreOutcome::Done);
        assert!(state.claim(me, claim("another", "greedy", false)).is_ok());
    }

    #[test]
    fn a_session_is_for_the_user_that_made_it() {
        let (mut state, me) = (MemoryState::default(), ReplicaId(1));
        let first = state.claim(me, claim("c", "alice", false)).unwrap().unwrap();
        for clean_start in [false, true] {
            assert!(matches!(state.claim(me, claim("c", "bob", clean_start)), Err(StoreError::NotOwner)));
            let unnamed = SessionClaim { user: None, ..claim("c", "", clean_start) };
            assert!(matches!(state.claim(me, unnamed), Err(StoreError::NotOwner)));
        }
        assert!(state.claim(me, claim("c", "alice", false)).unwrap().unwrap().present);
        // Over, it is found by no other user, though it is there yet.
        let holder = SessionHolder { client: "c".into(), epoch: first.epoch + 1 };
        let expiry = SessionExpiry::Until(5);
        assert_eq!(state.detach(me, &holder, 0, expiry, WillFate::Dropped), StoreOutcome::Done);
        assert!(matches!(state.claim(me, claim("c", "bob", false)), Err(StoreError::NotOwner)));
        let later = SessionClaim { now_ms: 5, ..claim("c", "bob", false) };
        assert!(!state.claim(me, later).unwrap().unwrap().present);
    }

    #[test]
    fn the_bytes_of_all_queues_are_counted_and_return_to_nothing() {
        let (mut state, me) = (MemoryState::default(), ReplicaId(1));
        let message = Arc::new(Message::new("a", vec![0; 1000], Qos::AtLeastOnce).unwrap());
        let count = |state: &MemoryState| state.queued_bytes.load(Ordering::Relaxed);
        let publish = |state: &mut MemoryState| {
            let options = DeliveryOptions { qos: Qos::AtLeastOnce, retain: false, ids: vec![], share: None };
            let appends = vec![("a".into(), options.clone()), ("b".into(), options)];
            let (message, forwards, directs) = (Arc::clone(&message), vec![], vec![]);
            let publication = Publication { dedup_key: None, message, appends, forwards, directs, retain: false };
            let StoreOutcome::Published(published) = state.publish(me, publication) else { panic!() };
            published.refused
        };
        for client in ["a", "b"] {
            state.claim(me, claim(client, "u", false)).unwrap();
        }
        assert_eq!((publish(&mut state), publish(&mut state)), (vec![], vec![]));
        assert_eq!(count(&state), 4 * 1065);
        state.queued_bytes.fetch_add(QUEUED_BYTES_MAX, Ordering::Relaxed);
        assert_eq!(publish(&mut state), [0, 1], "no room in all");
        state.queued_bytes.fetch_sub(QUEUED_BYTES_MAX, Ordering::Relaxed);
        let holder = SessionHolder { client: "a".into(), epoch: 1 };
        let progress = Progress { sent: 1, over: 0 };
        state.apply(me, StoreOp::Ack { holder, seqs: vec![1], progress });
        assert_eq!(count(&state), 3 * 1065);
        for client in ["a", "b"] {
            state.claim(me, claim(client, "u", true)).unwrap();
        }
        assert_eq!(count(&state), 0);
    }
}
