//! Where sessions, queued messages, retained messages and wills live, so that replicas keep nothing of their own.
//!
//! One trait, three implementors: [`memory`] (one process), `sqlite` (one process whose sessions outlive it) and [`redis`]
//! (any number). A store handle belongs to one replica. What must stay true of all:
//!
//! * A session has one holder: the replica that took it last, fenced by an **epoch**. Operations of an older
//!   holder are refused ([`StoreOutcome::Fenced`]), so no two replicas ever acknowledge for one session.
//! * A batch is carried out in its order (acknowledgements may change places with messages that share a call), and
//!   each operation wholly or not at all. When [`Store::commit`] answers, the
//!   store has it: only then is anything acknowledged to a client. It answers late rather than wrongly: while the store
//!   is away or an inbox is full it waits.
//! * Each lasting session has a queue whose messages are numbered by the store from 1: the order of delivery, and the
//!   packet ids, follow from the numbers.
//! * A publication may carry a **dedup key** (an inbound QoS 2 packet id, or a will): a second publication with it is
//!   reported as repeated and has no effect. That is what makes QoS 2 exact and wills single across replicas.
//! * Every change of a subscription or retained message is sent to every other replica in one order, numbered without
//!   gaps by its **version**.
//! * When a subscription is answered, every other replica that is alive routes by it, so that what is acknowledged to a
//!   publisher later reaches it, wherever the publisher is connected.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytestring::ByteString;

use super::codec::Qos;
use super::message::{ClientId, Message, ReplicaId, UnixMs};
use super::router::GrantedSubscription;

mod claim;
mod notice;
mod status;
mod stored_form;
#[cfg_attr(not(feature = "sqlite"), expect(dead_code, reason = "what is written to a file is told apart in memory"))]
pub(crate) mod memory;
pub(crate) mod redis;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

pub(crate) use claim::{ClaimedSession, LastWill, SessionClaim, claim_session};
pub(crate) use notice::{Notice, NumberedMessages, RouteChange, RouteEvent};
pub(crate) use status::subscription_statuses;
pub use status::{SessionStatus, SubscriptionStatus};

/// An answer that the store gives later.
pub(crate) type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Why the store did not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is shut.
    #[error("the store is shut")]
    Shut,
    /// It refuses a command: a defect, or a server of another kind.
    #[error("the store refuses a command: {0}")]
    Refused(Box<::redis::RedisError>),
    /// There are as many sessions as there may be, in all or of the user.
    #[error("no room for another session")]
    SessionsFull,
    /// The session belongs to another user.
    #[error("the session belongs to another user")]
    NotOwner,
    /// The replica is not known any more: it was away for longer than its lease.
    #[error("the lease of replica {0} was lost")]
    LeaseLost(ReplicaId),
    /// It takes too long.
    #[error("the store does not answer")]
    NoAnswer,
}

/// The store, as one replica sees it.
pub(crate) trait Store: Send + Sync + 'static {
    /// Which replica this is.
    fn replica(&self) -> ReplicaId;
    /// Makes the replica known, and tells everything that is to be routed. Notices are kept for it from here on.
    fn join(&self, now_ms: UnixMs) -> StoreFuture<'_, RoutingSnapshot>;
    /// Waits for notices of other replicas, in order.
    fn notices(&self) -> StoreFuture<'_, Vec<Notice>>;
    /// Makes the replica the holder of a session, which begins if there is none. `None`: an older connection holds it and
    /// has been told to end.
    fn claim(&self, claim: SessionClaim) -> StoreFuture<'_, Option<ClaimedSession>>;
    /// Carries out a batch and answers for each operation.
    fn commit(&self, batch: Vec<StoreOp>) -> StoreFuture<'_, Vec<StoreOutcome>>;
    /// Messages in the queue of a session after `after`, oldest first. Empty if the caller is not the holder.
    fn load(&self, holder: SessionHolder, after: u64, count: usize) -> StoreFuture<'_, Vec<Queued>>;
    /// Renews the lease, detaches the sessions of dead replicas, deletes expired ones, and finds messages that are due.
    fn sweep(&self, now_ms: UnixMs) -> StoreFuture<'_, DueWork>;
    /// What the store has of the session of a client, whoever holds it; `None`: there is none.
    fn look_up(&self, client: ClientId) -> StoreFuture<'_, Option<SessionStatus>>;
    /// Ends the lease.
    fn leave(&self) -> StoreFuture<'_, ()>;
    /// Whether the store answers at present.
    fn is_available(&self) -> bool;
}

/// Commits operations and gives each continuation the outcome of its operation, or that it is done if it has none.
///
/// # Errors
/// As [`Store::commit`].
pub(crate) async fn commit_with<C>(
    store: &dyn Store,
    batch: Vec<(Option<StoreOp>, C)>,
) -> Result<Vec<(C, StoreOutcome)>, StoreError> {
    let (mut ops, mut continuations) = (Vec::new(), Vec::new());
    for (op, continuation) in batch {
        continuations.push((continuation, op.is_some()));
        ops.extend(op);
    }
    let outcomes = if ops.is_empty() { Vec::new() } else { store.commit(ops).await? };
    let mut outcomes = outcomes.into_iter();
    let mut outcome = |has_op: bool| if has_op { outcomes.next() } else { Some(StoreOutcome::Done) };
    Ok(continuations.into_iter().map_while(|(after, has_op)| Some((after, outcome(has_op)?))).collect())
}

/// The routes as of a version.
#[derive(Debug, Default)]
pub(crate) struct RoutingSnapshot {
    pub(crate) version: u64,
    pub(crate) sessions: Vec<RoutedSession>,
    pub(crate) retained: Vec<Arc<Message>>,
}

/// A session with subscriptions.
#[derive(Debug)]
pub(crate) struct RoutedSession {
    pub(crate) client: ClientId,
    pub(crate) state: SessionState,
    pub(crate) subscriptions: Vec<(ByteString, GrantedSubscription)>,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionState {
    /// The replica that holds it.
    pub(crate) owner: Option<ReplicaId>,
    /// Whether the store keeps messages for it.
    pub(crate) lasting: bool,
}

/// A claim of a session: the client and the epoch of the claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionHolder {
    pub(crate) client: ClientId,
    pub(crate) epoch: u64,
}

/// How one subscriber gets a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeliveryOptions {
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) ids: Vec<u32>,
    /// The shared subscription of which this is the chosen member.
    pub(crate) share: Option<Arc<str>>,
}

impl DeliveryOptions {
    /// Whether another member gets the message if this one goes for good without having acknowledged it: at QoS 2 only
    /// if it was never sent [MQTT-4.8.2-5].
    pub(crate) fn is_redelivered(&self, was_sent: bool) -> bool {
        self.share.is_some() && (self.qos == Qos::AtLeastOnce || self.qos == Qos::ExactlyOnce && !was_sent)
    }
}

/// A message in a session's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Queued {
    pub(crate) seq: u64,
    pub(crate) message: Arc<Message>,
    pub(crate) options: DeliveryOptions,
}

/// The key that keeps a publication from happening twice.
#[derive(Clone, Debug)]
pub(crate) enum DedupKey {
    /// The packet id of a QoS 2 message of a lasting session: taken now, given back by [`StoreOp::Released`].
    Inbound { holder: SessionHolder, packet_id: u16 },
    /// The will of a connection: gone with its publication.
    Will { client: ClientId, epoch: u64 },
    /// A message that a member of a shared subscription left: gone with its publication.
    Orphaned { id: String },
}

/// A message with its receivers outside this replica's memory.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    pub(crate) dedup_key: Option<DedupKey>,
    pub(crate) message: Arc<Message>,
    /// Lasting sessions whose queue gets it.
    pub(crate) appends: Vec<(ClientId, DeliveryOptions)>,
    /// Other replicas that look for takers among their connections.
    pub(crate) forwards: Vec<ReplicaId>,
    /// One connection elsewhere: the chosen member of a shared subscription.
    pub(crate) directs: Vec<(ReplicaId, ClientId, DeliveryOptions)>,
    /// Whether it becomes the retained message of its topic.
    pub(crate) retain: bool,
}

/// An operation on the store.
#[derive(Clone, Debug)]
pub(crate) enum StoreOp {
    Publish(Box<Publication>),
    Subscribe {
        holder: SessionHolder,
        filter: ByteString,
        granted: GrantedSubscription,
    },
    Unsubscribe {
        holder: SessionHolder,
        filter: ByteString,
    },
    /// QoS 1 messages were acknowledged, or messages will never be sent.
    Ack {
        holder: SessionHolder,
        seqs: Vec<u64>,
        progress: Progress,
    },
    /// A QoS 2 message was received (PUBREC).
    Received {
        holder: SessionHolder,
        seq: u64,
        sent: u64,
    },
    /// A QoS 2 message is complete (PUBCOMP).
    Complete {
        holder: SessionHolder,
        seq: u64,
    },
    /// An incoming QoS 2 packet id is free again (PUBREL).
    Released {
        holder: SessionHolder,
        packet_id: u16,
    },
    /// A member of a shared subscription has come: what waits for one that is away, and was never sent, is released for
    /// all members.
    ReleaseShare {
        client: ClientId,
        share: ByteString,
    },
    /// The connection is over.
    Detach {
        holder: SessionHolder,
        sent: u64,
        expiry: SessionExpiry,
        will: WillFate,
    },
}

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The last number sent.
    pub(crate) sent: u64,
    /// All messages below this number are over: acknowledged, or never to be sent.
    pub(crate) over: u64,
}

/// How long a session outlives its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionExpiry {
    Nothing,
    Until(UnixMs),
}

impl SessionExpiry {
    /// For a session that outlives its connection by `expiry_s`.
    pub(crate) fn after(expiry_s: u32, now_ms: UnixMs) -> Self {
        if expiry_s == 0 { Self::Nothing } else { Self::Until(now_ms + u64::from(expiry_s) * 1000) }
    }
}

/// The fate of the will when a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WillFate {
    Dropped,
    /// It is due when its delay is over, counted from here, or when the session ends, if that is earlier.
    Due(UnixMs),
}

/// The outcome of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreOutcome {
    Done,
    /// A subscription was changed; whether it was there before, and the version of the change.
    Changed {
        existed: bool,
        version: u64,
        /// Whether the other replicas route by it already.
        settled: bool,
    },
    Published(Published),
    /// Another connection has claimed the session.
    Fenced,
}

/// The last change that other replicas have to apply before it is answered.
pub(crate) fn unsettled_version(outcomes: &[StoreOutcome]) -> Option<u64> {
    let versions = outcomes.iter().map(|outcome| match outcome {
        StoreOutcome::Changed { version, settled: false, .. } => Some(*version),
        _ => None,
    });
    versions.max().flatten()
}

/// Logs that a replica has not applied a subscription in time.
pub(crate) fn warn_unsettled(is_settled: bool) {
    if !is_settled {
        tracing::warn!("a subscription is answered before every replica routes by it: a replica is too busy");
    }
}

/// The outcome of a publication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Published {
    /// The dedup key was claimed before: nothing was published.
    pub(crate) repeated: bool,
    /// For each append the number in the queue: 0 if the queue has to be looked at, `None` if it is full or its session is
    /// gone. Empty
    /// if they come as [`Notice::Numbered`].
    pub(crate) numbers: Vec<Option<u64>>,
    /// Whether there was no room to retain it.
    pub(crate) not_retained: bool,
    /// The appends whose queue was full.
    pub(crate) refused: Vec<usize>,
    /// Replicas whose inbox had no room: a message of QoS 0 went past them.
    pub(crate) skipped_replicas: u64,
}

/// Messages that a sweep found to be due.
#[derive(Debug, Default)]
pub(crate) struct DueWork {
    pub(crate) wills: Vec<DueWill>,
    pub(crate) orphaned: Vec<OrphanedShareMessage>,
    /// Messages that have expired in queues.
    pub(crate) expired: u64,
}

/// A message that a member of a shared subscription had not acknowledged when its session ended; it goes to
/// another member once, under its dedup key.
#[derive(Clone, Debug)]
pub(crate) struct OrphanedShareMessage {
    pub(crate) id: String,
    pub(crate) message: Arc<Message>,
    pub(crate) share: Arc<str>,
}

/// A will that is due; published once, under its dedup key.
#[derive(Clone, Debug)]
pub(crate) struct DueWill {
    pub(crate) client: ClientId,
    pub(crate) epoch: u64,
    pub(crate) message: Arc<Message>,
}
