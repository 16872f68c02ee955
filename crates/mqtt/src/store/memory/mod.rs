//! The store in memory: for the broker that is embedded in one process. Several replicas of one process may share it,
//! which is how everything that crosses replicas is tested without a network.
//!
//! One lock, never held across a wait; every operation is a few look-ups.

mod changes;
mod claim;
mod cut;
mod publish;
mod queue;
mod record;
#[cfg(feature = "sqlite")]
mod restore;
mod session_form;
mod sweep;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{
    ClaimedSession, DueWork, Notice, OrphanedShareMessage, Queued, RouteChange, RouteEvent, RoutedSession,
    RoutingSnapshot, SessionClaim, SessionExpiry, SessionHolder, SessionState, SessionStatus, Store, StoreError,
    StoreFuture, StoreOp, StoreOutcome, WillFate, unsettled_version, warn_unsettled,
};
use crate::limits::{LEASE, SUBSCRIBE_WAIT};
use crate::message::{ClientId, ReplicaId, UnixMs};
use crate::router::RetainedMessages;
use changes::UnwrittenChanges;
#[cfg(feature = "sqlite")]
pub(super) use changes::{OpenSegment, QueuePlace, SegmentMessage};
#[cfg(feature = "sqlite")]
pub(super) use cut::{Cut, StoredSession, WrittenWill};
use record::{SessionRecord, StoredWill};
#[cfg(feature = "sqlite")]
pub(super) use restore::StateRestore;

/// The store that all replicas of the process share.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    inner: Arc<Mutex<MemoryState>>,
    /// Woken when an inbox has room again.
    room: Arc<Notify>,
}

/// A replica's handle.
#[derive(Debug)]
pub(crate) struct MemoryStore {
    memory: Memory,
    me: ReplicaId,
    wakeup: Arc<Notify>,
}

#[derive(Debug, Default)]
pub(super) struct MemoryState {
    sessions: HashMap<ClientId, SessionRecord>,
    wills: HashMap<ClientId, StoredWill>,
    /// Messages of shared subscriptions whose member has gone, by number.
    orphaned: BTreeMap<u64, OrphanedShareMessage>,
    orphan_count: u64,
    /// Bytes of all queues.
    queued_bytes: Arc<AtomicUsize>,
    /// Lasting sessions of each user.
    by_user: HashMap<Arc<str>, usize>,
    /// Messages that have expired in queues since the last sweep.
    expired: u64,
    retained: RetainedMessages,
    replicas: BTreeMap<ReplicaId, ReplicaInbox>,
    version: u64,
    epochs: u64,
    /// What a file does not have yet; `None`: there is no file.
    changes: Option<UnwrittenChanges>,
}

#[derive(Debug)]
struct ReplicaInbox {
    notices: VecDeque<Notice>,
    wakeup: Arc<Notify>,
    lease_ends_ms: UnixMs,
    /// The version of the changes that the replica has been given.
    given_version: u64,
    /// The version of those that it has applied.
    applied_version: u64,
}

impl Memory {
    /// A new replica's handle.
    pub(crate) fn replica(&self) -> MemoryStore {
        MemoryStore { memory: self.clone(), me: ReplicaId::draw(), wakeup: Arc::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, MemoryState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<MemoryState> for Memory {
    fn from(state: MemoryState) -> Self {
        Self { inner: Arc::new(Mutex::new(state)), room: Arc::default() }
    }
}

impl MemoryState {
    /// Whether a replica has joined and not left.
    #[cfg(feature = "sqlite")]
    pub(super) fn has_replicas(&self) -> bool {
        !self.replicas.is_empty()
    }

    fn notify(&mut self, replica: ReplicaId, notice: Notice) {
        if let Some(inbox) = self.replicas.get_mut(&replica) {
            inbox.notices.push_back(notice);
            inbox.wakeup.notify_one();
        }
    }

    /// Numbers a change and tells it to every replica but its own.
    fn record_change(&mut self, me: Option<ReplicaId>, what: RouteEvent) -> u64 {
        self.version += 1;
        let change = RouteChange { version: self.version, what };
        for (replica, inbox) in &mut self.replicas {
            if Some(*replica) != me {
                inbox.notices.push_back(Notice::Changed(change.clone()));
                inbox.wakeup.notify_one();
            }
        }
        self.version
    }

    fn held(&mut self, holder: &SessionHolder) -> Option<&mut SessionRecord> {
        self.sessions.get_mut(&holder.client).filter(|record| record.epoch == holder.epoch && record.owner.is_some())
    }

    fn apply(&mut self, me: ReplicaId, op: StoreOp) -> StoreOutcome {
        match op {
            StoreOp::Publish(publication) => self.publish(me, *publication),
            StoreOp::Subscribe { holder, filter, granted } => {
                let Some(record) = self.held(&holder) else { return StoreOutcome::Fenced };
                let existed = record.subscriptions.insert(filter.clone(), granted).is_some();
                let state = SessionState { owner: record.owner, lasting: record.lasting };
                let client = holder.client;
                self.record_subscription(&client, &filter);
                let version = self.record_change(Some(me), RouteEvent::Subscribed { client, state, filter, granted });
                StoreOutcome::Changed { existed, version, settled: self.is_settled(me, version) }
            }
            StoreOp::Unsubscribe { holder, filter } => {
                let Some(record) = self.held(&holder) else { return StoreOutcome::Fenced };
                let existed = record.subscriptions.remove(&filter).is_some();
                let client = holder.client;
                self.record_subscription(&client, &filter);
                let version = self.record_change(Some(me), RouteEvent::Unsubscribed { client, filter });
                StoreOutcome::Changed { existed, version, settled: true }
            }
            StoreOp::Ack { holder, seqs, progress } => self.update_held(&holder, |record| {
                seqs.into_iter().for_each(|seq| record.queue.remove(seq));
                record.sent = record.sent.max(progress.sent);
            }),
            StoreOp::Received { holder, seq, sent } => self.update_held(&holder, |record| {
                record.queue.remove(seq);
                record.received.insert(seq);
                record.sent = record.sent.max(sent);
            }),
            StoreOp::Complete { holder, seq } => self.update_held(&holder, |record| {
                record.received.remove(&seq);
            }),
            StoreOp::Released { holder, packet_id } => self.update_held(&holder, |record| {
                record.inbound.remove(&packet_id);
            }),
            StoreOp::ReleaseShare { client, share } => {
                self.release_share(&client, &share);
                StoreOutcome::Done
            }
            StoreOp::Detach { holder, sent, expiry, will } => self.detach(me, &holder, sent, expiry, will),
        }
    }

    fn update_held(&mut self, holder: &SessionHolder, what: impl FnOnce(&mut SessionRecord)) -> StoreOutcome {
        let Some(record) = self.held(holder) else { return StoreOutcome::Fenced };
        what(record);
        self.record_session(&holder.client);
        StoreOutcome::Done
    }

    fn detach(
        &mut self,
        me: ReplicaId,
        holder: &SessionHolder,
        sent: u64,
        expiry: SessionExpiry,
        will: WillFate,
    ) -> StoreOutcome {
        let Some(record) = self.held(holder) else { return StoreOutcome::Fenced };
        record.sent = record.sent.max(sent);
        record.owner = None;
        let mut ends_at_ms = UnixMs::MAX;
        let had = !record.subscriptions.is_empty();
        let client = Arc::clone(&holder.client);
        match expiry {
            SessionExpiry::Until(at_ms) => {
                record.expires_at_ms = at_ms;
                record.lasting = true;
                ends_at_ms = at_ms;
                let state = SessionState { owner: None, lasting: true };
                if had {
                    self.record_change(Some(me), RouteEvent::Moved { client, state });
                }
            }
            SessionExpiry::Nothing => {
                ends_at_ms = match will {
                    WillFate::Due(now_ms) => now_ms,
                    WillFate::Dropped => ends_at_ms,
                };
                if let Some(record) = self.sessions.remove(&client) {
                    self.end_session(record);
                }
                if had {
                    self.record_change(Some(me), RouteEvent::Gone { client });
                }
            }
        }
        self.record_session(&holder.client);
        if let Some(testament) = self.wills.get_mut(&holder.client).filter(|will| will.epoch == holder.epoch) {
            match will {
                WillFate::Dropped => {
                    self.wills.remove(&holder.client);
                }
                WillFate::Due(now_ms) => {
                    let delay_ms = u64::from(testament.will.delay_s) * 1000;
                    testament.due_at_ms = Some((now_ms + delay_ms).min(ends_at_ms));
                }
            }
            self.record_will(&holder.client);
        }
        StoreOutcome::Done
    }

    /// Whether the other replicas have applied the changes up to a version.
    fn is_settled(&self, me: ReplicaId, version: u64) -> bool {
        self.replicas.iter().all(|(replica, inbox)| *replica == me || inbox.applied_version >= version)
    }

    fn snapshot(&self) -> RoutingSnapshot {
        let with = self.sessions.iter().filter(|(_, record)| !record.subscriptions.is_empty());
        let sessions = with
            .map(|(client, record)| RoutedSession {
                client: Arc::clone(client),
                state: SessionState { owner: record.owner, lasting: record.lasting },
                subscriptions: record.subscriptions.iter().map(|(f, granted)| (f.clone(), *granted)).collect(),
            })
            .collect();
        RoutingSnapshot { version: self.version, sessions, retained: self.retained.all() }
    }
}

impl MemoryStore {
    /// Waits until the other replicas route by the changes up to a version.
    async fn settle(&self, version: u64) {
        loop {
            let applied = self.memory.room.notified();
            if self.memory.lock().is_settled(self.me, version) {
                return;
            }
            applied.await;
        }
    }
}

impl Store for MemoryStore {
    fn replica(&self) -> ReplicaId {
        self.me
    }

    fn join(&self, now_ms: UnixMs) -> StoreFuture<'_, RoutingSnapshot> {
        let mut inner = self.memory.lock();
        let lease_ends_ms = now_ms + lease_ms();
        let snapshot = inner.snapshot();
        let inbox = ReplicaInbox {
            notices: VecDeque::new(),
            wakeup: Arc::clone(&self.wakeup),
            lease_ends_ms,
            given_version: snapshot.version,
            applied_version: snapshot.version,
        };
        inner.replicas.insert(self.me, inbox);
        Box::pin(std::future::ready(Ok(snapshot)))
    }

    fn notices(&self) -> StoreFuture<'_, Vec<Notice>> {
        Box::pin(async move {
            loop {
                let heard: Vec<_> = {
                    let mut inner = self.memory.lock();
                    let version = inner.version;
                    let Some(inbox) = inner.replicas.get_mut(&self.me) else {
                        return Err(StoreError::LeaseLost(self.me));
                    };
                    inbox.applied_version = inbox.given_version;
                    inbox.given_version = version;
                    inbox.notices.drain(..).collect()
                };
                self.memory.room.notify_waiters();
                if !heard.is_empty() {
                    return Ok(heard);
                }
                self.wakeup.notified().await;
            }
        })
    }

    fn claim(&self, claim: SessionClaim) -> StoreFuture<'_, Option<ClaimedSession>> {
        let claimed = self.memory.lock().claim(self.me, claim);
        Box::pin(std::future::ready(claimed))
    }

    fn commit(&self, batch: Vec<StoreOp>) -> StoreFuture<'_, Vec<StoreOutcome>> {
        Box::pin(async move {
            let outcomes: Vec<_> = loop {
                let room = self.memory.room.notified();
                {
                    let mut inner = self.memory.lock();
                    if !inner.is_full_for(&batch) {
                        break batch.into_iter().map(|op| inner.apply(self.me, op)).collect();
                    }
                }
                room.await;
            };
            if let Some(version) = unsettled_version(&outcomes) {
                let settled = tokio::time::timeout(SUBSCRIBE_WAIT, self.settle(version)).await;
                warn_unsettled(settled.is_ok());
            }
            Ok(outcomes)
        })
    }

    fn load(&self, holder: SessionHolder, after: u64, count: usize) -> StoreFuture<'_, Vec<Queued>> {
        let mut inner = self.memory.lock();
        let found = inner.held(&holder).map(|record| record.queue.after(after, count)).unwrap_or_default();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn sweep(&self, now_ms: UnixMs) -> StoreFuture<'_, DueWork> {
        let mut inner = self.memory.lock();
        let answer = match inner.replicas.get_mut(&self.me) {
            None => Err(StoreError::LeaseLost(self.me)),
            Some(inbox) => {
                inbox.lease_ends_ms = now_ms + lease_ms();
                inner.reap(now_ms);
                inner.expire(now_ms);
                Ok(inner.due(now_ms))
            }
        };
        self.memory.room.notify_waiters();
        Box::pin(std::future::ready(answer))
    }

    fn look_up(&self, client: ClientId) -> StoreFuture<'_, Option<SessionStatus>> {
        let found = self.memory.lock().sessions.get(&client).map(SessionRecord::status);
        Box::pin(std::future::ready(Ok(found)))
    }

    fn leave(&self) -> StoreFuture<'_, ()> {
        self.memory.lock().replicas.remove(&self.me);
        self.wakeup.notify_one();
        self.memory.room.notify_waiters();
        Box::pin(std::future::ready(Ok(())))
    }

    fn is_available(&self) -> bool {
        true
    }
}

fn lease_ms() -> u64 {
    u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX)
}
