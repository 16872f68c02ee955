//! Where sessions, queued messages, retained messages and wills live, so that replicas keep nothing of their own.
//!
//! One trait, two implementors: [`memory`] (one process) and [`redis`] (any number). A store handle belongs to one
//! replica. What must stay true of both:
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

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytestring::ByteString;

use super::codec::Qos;
use super::message::{ClientId, Message, ReplicaId, UnixMs};
use super::router::GrantedSubscription;

pub(crate) mod memory;
pub(crate) mod redis;

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
    /// The replica is not known any more: it was away for longer than its lease.
    #[error("the lease of replica {0} was lost")]
    LeaseLost(ReplicaId),
}

/// The store, as one replica sees it.
pub(crate) trait Store: Send + Sync + 'static {
    /// Which replica this is.
    fn replica(&self) -> ReplicaId;
    /// Makes the replica known, and tells everything that is to be routed. Notices are kept for it from here on.
    fn join(&self, now_ms: UnixMs) -> StoreFuture<'_, RoutingSnapshot>;
    /// Waits for notices of other replicas, in order.
    fn notices(&self) -> StoreFuture<'_, Vec<Notice>>;
    /// Makes the replica the holder of a session, which begins if there is none.
    fn claim(&self, claim: SessionClaim) -> StoreFuture<'_, ClaimedSession>;
    /// Carries out a batch and answers for each operation.
    fn commit(&self, batch: Vec<StoreOp>) -> StoreFuture<'_, Vec<StoreOutcome>>;
    /// Messages in the queue of a session after `after`, oldest first. Empty if the caller is not the holder.
    fn load(&self, holder: SessionHolder, after: u64, count: usize) -> StoreFuture<'_, Vec<Queued>>;
    /// Renews the lease, detaches the sessions of dead replicas, deletes expired ones, and finds messages that are due.
    fn sweep(&self, now_ms: UnixMs) -> StoreFuture<'_, DueWork>;
    /// Ends the lease.
    fn leave(&self) -> StoreFuture<'_, ()>;
    /// Whether the store answers at present.
    fn is_available(&self) -> bool;
}

/// Commits operations and gives each continuation the outcome of its operation.
///
/// # Errors
/// As [`Store::commit`].
pub(crate) async fn commit_with<C>(
    store: &dyn Store,
    batch: Vec<(StoreOp, C)>,
) -> Result<Vec<(C, StoreOutcome)>, StoreError> {
    let (ops, continuations): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    Ok(continuations.into_iter().zip(store.commit(ops).await?).collect())
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
    /// Whether it outlives its connection.
    pub(crate) lasting: bool,
}

/// A claim of a session: the client and the epoch of the claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionHolder {
    pub(crate) client: ClientId,
    pub(crate) epoch: u64,
}

/// A connection that asks for its session.
#[derive(Clone, Debug)]
pub(crate) struct SessionClaim {
    pub(crate) now_ms: UnixMs,
    pub(crate) client: ClientId,
    pub(crate) clean_start: bool,
    /// How long the session outlives the connection; 0: it does not.
    pub(crate) expiry_s: u32,
    pub(crate) will: Option<LastWill>,
}

/// A will as CONNECT gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastWill {
    pub(crate) message: Arc<Message>,
    pub(crate) delay_s: u32,
}

/// A session that was taken.
#[derive(Debug)]
pub(crate) struct ClaimedSession {
    pub(crate) epoch: u64,
    /// The version of the subscriptions.
    pub(crate) version: u64,
    /// Whether it was there before.
    pub(crate) present: bool,
    pub(crate) subscriptions: Vec<(ByteString, GrantedSubscription)>,
    /// The number of the last message given to the queue.
    pub(crate) last: u64,
    /// The number of the last message known to have been sent.
    pub(crate) sent: u64,
    /// Messages of QoS 2 that the client has received and not completed.
    pub(crate) received: Vec<u64>,
    /// Packet ids of the client's own QoS 2 messages that were published and not released.
    pub(crate) inbound: Vec<u16>,
    /// The will of the connection before, if it is to be published now.
    pub(crate) will: Option<Arc<Message>>,
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
    },
    Published(Published),
    /// Another connection has claimed the session.
    Fenced,
}

/// The outcome of a publication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Published {
    /// The dedup key was claimed before: nothing was published.
    pub(crate) repeated: bool,
    /// For each append the number in the queue: 0 if the queue has to be looked at, `None` if it is full or gone. Empty
    /// if they come as [`Notice::Numbered`].
    pub(crate) numbers: Vec<Option<u64>>,
    /// Whether there was no room to retain it.
    pub(crate) not_retained: bool,
    /// Queues that were full or gone.
    pub(crate) refused: u64,
    /// Replicas whose inbox had no room: a message of QoS 0 went past them.
    pub(crate) skipped_replicas: u64,
}

/// Messages that a sweep found to be due.
#[derive(Debug, Default)]
pub(crate) struct DueWork {
    pub(crate) wills: Vec<DueWill>,
    pub(crate) orphaned: Vec<OrphanedShareMessage>,
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

/// A notice for a replica.
#[derive(Clone, Debug)]
pub(crate) enum Notice {
    /// Something to route changed elsewhere.
    Changed(RouteChange),
    /// A message for connections here: those that take it at QoS 0 or do not last, or the one named.
    Forwarded { message: Arc<Message>, to: Option<(ClientId, DeliveryOptions)> },
    /// A session held here was given messages, which its queue has.
    Numbered(NumberedMessages),
    /// The queue of a session held here has more.
    Wake(ClientId),
    /// The session was taken by another; `epoch` is the one that is over.
    Kick { client: ClientId, epoch: u64 },
}

/// Messages that a session was given one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NumberedMessages {
    /// The holder at that time.
    pub(crate) holder: SessionHolder,
    /// The number of the first.
    pub(crate) first: u64,
    pub(crate) messages: Vec<(Arc<Message>, DeliveryOptions)>,
}

/// A change of the routes.
#[derive(Clone, Debug)]
pub(crate) struct RouteChange {
    pub(crate) version: u64,
    pub(crate) what: RouteEvent,
}

/// The content of a change.
#[derive(Clone, Debug)]
pub(crate) enum RouteEvent {
    Subscribed {
        client: ClientId,
        state: SessionState,
        filter: ByteString,
        granted: GrantedSubscription,
    },
    Unsubscribed {
        client: ClientId,
        filter: ByteString,
    },
    /// Another holder, or none.
    Moved {
        client: ClientId,
        state: SessionState,
    },
    /// The session is no more.
    Gone {
        client: ClientId,
    },
    /// The retained message of its topic; empty: none.
    Retained(Arc<Message>),
}
