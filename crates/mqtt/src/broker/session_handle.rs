//! Sessions as the router knows them: each has a connection here, or subscriptions on any replica. A client's connection
//! has a queue that publishers write into and the connection's task empties.

use std::collections::HashSet;
use std::future::poll_fn;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytestring::ByteString;
use tokio::sync::mpsc;

use crate::codec::Reason;
use crate::message::{ClientId, Message, UnixMs};
use crate::session::{Outbox, OutboxSizes};
use crate::store::{SessionHolder, SessionState};

/// A session, as the router knows it. Compared by identity.
#[derive(Clone, Debug)]
pub(crate) struct SessionRef(pub(crate) Arc<Session>);

impl PartialEq for SessionRef {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SessionRef {}

impl Hash for SessionRef {
    fn hash<H: Hasher>(&self, route: &mut H) {
        Arc::as_ptr(&self.0).hash(route);
    }
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: ClientId,
    route: Mutex<SessionRoute>,
}

#[derive(Debug)]
pub(crate) struct SessionRoute {
    /// The last change that was applied.
    pub(crate) version: u64,
    pub(crate) state: SessionState,
    pub(crate) connection: Option<Connection>,
    /// Its filters in the trie.
    pub(crate) filters: SessionFilters,
}

/// The filters of a session.
#[derive(Debug, Default)]
pub(crate) struct SessionFilters {
    filters: HashSet<ByteString>,
    bytes: usize,
}

impl SessionFilters {
    pub(crate) fn insert(&mut self, filter: ByteString) {
        let length = filter.len();
        self.bytes += if self.filters.insert(filter) { length } else { 0 };
    }

    pub(crate) fn remove(&mut self, filter: &ByteString) {
        self.bytes -= if self.filters.remove(filter) { filter.len() } else { 0 };
    }

    pub(crate) fn take(&mut self) -> HashSet<ByteString> {
        self.bytes = 0;
        std::mem::take(&mut self.filters)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &ByteString> {
        self.filters.iter()
    }

    pub(crate) fn contains(&self, filter: &ByteString) -> bool {
        self.filters.contains(filter)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.filters.len()
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes
    }
}

impl FromIterator<ByteString> for SessionFilters {
    fn from_iter<I: IntoIterator<Item = ByteString>>(filters: I) -> Self {
        let mut all = Self::default();
        filters.into_iter().for_each(|filter| all.insert(filter));
        all
    }
}

/// A connection here.
#[derive(Clone, Debug)]
pub(crate) enum Connection {
    /// Of a client with a socket.
    Client(Arc<ClientConnection>),
    /// Of a local client.
    Local(Arc<LocalConnection>),
}

/// The queue of a local client.
#[derive(Debug)]
pub(crate) struct LocalConnection {
    pub(crate) holder: SessionHolder,
    pub(crate) sender: mpsc::Sender<Arc<Message>>,
    /// Publishers that pause because of it.
    held_back: Mutex<Vec<Waker>>,
}

impl LocalConnection {
    pub(crate) fn new(holder: SessionHolder, sender: mpsc::Sender<Arc<Message>>) -> Arc<Self> {
        Arc::new(Self { holder, sender, held_back: Mutex::default() })
    }

    /// Whether publishers should pause.
    pub(crate) fn is_congested(&self) -> bool {
        self.sender.capacity() < self.sender.max_capacity() / 2 && !self.sender.is_closed()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.held_back.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets publishers go on, if there is room.
    pub(crate) fn wake_publishers(&self) {
        if !self.is_congested() {
            self.waiting().drain(..).for_each(Waker::wake);
        }
    }
}

/// Adds a waker, unless it is there already.
fn add_waker(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|known| known.will_wake(waker)) {
        wakers.push(waker.clone());
    }
}

impl Connection {
    pub(crate) fn epoch(&self) -> u64 {
        match self {
            Self::Client(connection) => connection.holder.epoch,
            Self::Local(local) => local.holder.epoch,
        }
    }

    /// A publisher waits until there is room there; `false` if there is.
    pub(crate) fn hold_back(&self, waker: &Waker) -> bool {
        match self {
            Self::Client(connection) => connection.lock().hold_back(waker),
            Self::Local(local) => {
                // Added before the check, so that a receiver that makes room between the two finds the waker.
                add_waker(&mut local.waiting(), waker);
                let hold = local.is_congested();
                local.wake_publishers();
                hold
            }
        }
    }

    /// Whether both are one connection.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Client(one), Self::Client(two)) => Arc::ptr_eq(one, two),
            (Self::Local(one), Self::Local(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }
}

impl SessionRef {
    pub(crate) fn new(client: ClientId, state: SessionState, version: u64) -> Self {
        let route = SessionRoute { version, state, connection: None, filters: SessionFilters::default() };
        Self(Arc::new(Session { client, route: Mutex::new(route) }))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, SessionRoute> {
        self.0.route.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionStatus {
    /// Where it comes from.
    pub origin: ConnectionOrigin,
    /// Messages of QoS 1 and 2 that are sent and not acknowledged.
    pub inflight: usize,
    /// Messages that wait for the client to acknowledge others.
    pub waiting_messages: usize,
    /// Their bytes.
    pub waiting_bytes: usize,
}

/// Where a connection comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionOrigin {
    /// The client's address; `None`: in this process.
    pub address: Option<SocketAddr>,
    /// The user that the client proved to be.
    pub user: Option<Arc<str>>,
    /// When it began.
    pub connected_at_ms: UnixMs,
}

/// A client's connection, as publishers see it.
#[derive(Debug)]
pub(crate) struct ClientConnection {
    pub(crate) holder: SessionHolder,
    origin: ConnectionOrigin,
    queue: Mutex<OutQueue>,
}

#[derive(Debug)]
pub(crate) struct OutQueue {
    pub(crate) outbox: Outbox,
    /// Why the connection is to end.
    pub(crate) close: Option<Reason>,
    /// The connection has ended: the queue is not emptied any more.
    pub(crate) ended: bool,
    /// The store has detached the session.
    detached: bool,
    /// The access rules have changed.
    pub(crate) has_new_rights: bool,
    /// Only there while the connection sleeps.
    waker: Option<Waker>,
    /// Publishers that pause because of this client, and newer connections that wait for the session.
    held_back: Vec<Waker>,
}

impl ClientConnection {
    pub(crate) fn new(holder: SessionHolder, outbox: Outbox, origin: ConnectionOrigin) -> Arc<Self> {
        let queue = OutQueue {
            outbox,
            close: None,
            ended: false,
            detached: false,
            has_new_rights: false,
            waker: None,
            held_back: Vec::new(),
        };
        Arc::new(Self { holder, origin, queue: Mutex::new(queue) })
    }

    /// The user that the client proved to be.
    pub(crate) fn user(&self) -> Option<&str> {
        self.origin.user.as_deref()
    }

    /// What operators are told.
    pub(crate) fn status(&self) -> ConnectionStatus {
        let OutboxSizes { inflight, waiting_messages, waiting_bytes } = self.lock().outbox.sizes();
        ConnectionStatus { origin: self.origin.clone(), inflight, waiting_messages, waiting_bytes }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, OutQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the outbox and wakes the connection.
    pub(crate) fn post<T>(&self, what: impl FnOnce(&mut Outbox) -> T) -> T {
        let mut queue = self.lock();
        let result = what(&mut queue.outbox);
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    /// Asks the connection to end. Returns whether it was not asked before.
    pub(crate) fn close(&self, reason: Reason) -> bool {
        let mut queue = self.lock();
        let is_first = queue.close.is_none();
        queue.close.get_or_insert(reason);
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
        is_first
    }

    /// Asks the connection to look at the access rules again.
    pub(crate) fn check_rights(&self) {
        let mut queue = self.lock();
        queue.has_new_rights = true;
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits until the store has detached the session.
    pub(crate) async fn wait_for_detach(&self) {
        poll_fn(|cx| {
            let mut queue = self.lock();
            if queue.detached {
                return Poll::Ready(());
            }
            add_waker(&mut queue.held_back, cx.waker());
            Poll::Pending
        })
        .await;
    }

    /// The session is detached, or will be without this connection.
    pub(crate) fn set_detached(&self) {
        let mut queue = self.lock();
        queue.detached = true;
        queue.held_back.drain(..).for_each(Waker::wake);
    }
}

impl OutQueue {
    /// Notes the waker of a connection that goes to sleep.
    pub(crate) fn sleep(&mut self, waker: &Waker) {
        if self.waker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }

    /// A publisher waits until there is room here; `false` if there is.
    pub(crate) fn hold_back(&mut self, waker: &Waker) -> bool {
        let hold = self.outbox.is_congested() && !self.ended;
        if hold {
            add_waker(&mut self.held_back, waker);
        }
        hold
    }

    /// Lets publishers go on, if there is room.
    pub(crate) fn relieve(&mut self) {
        if !self.held_back.is_empty() && (self.ended || !self.outbox.is_congested()) {
            self.held_back.drain(..).for_each(Waker::wake);
        }
    }
}
