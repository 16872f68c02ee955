//! A party of the router: a session that has a connection here, or subscriptions anywhere. And its wire: the mailbox
//! that whoever has something for the client writes into, and that the connection empties.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytestring::ByteString;
use tokio::sync::mpsc;

use crate::codec::Reason;
use crate::message::{ClientId, Message};
use crate::session::Outbox;
use crate::store::{Holder, SessionState};

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
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: ClientId,
    state: Mutex<PeerState>,
}

#[derive(Debug)]
pub(crate) struct PeerState {
    /// Changes up to this one are in.
    pub(crate) version: u64,
    pub(crate) standing: SessionState,
    pub(crate) link: Option<Connection>,
    /// Its filters in the trie.
    pub(crate) filters: HashSet<ByteString>,
}

/// A connection here.
#[derive(Clone, Debug)]
pub(crate) enum Connection {
    /// Of a client.
    Wire(Arc<ClientConnection>),
    /// Of a part of this process.
    Inside(Arc<Inside>),
}

/// What a part of this process has waiting.
#[derive(Debug)]
pub(crate) struct Inside {
    pub(crate) holder: Holder,
    pub(crate) sender: mpsc::Sender<Arc<Message>>,
    /// Publishers that pause because of it.
    held_back: Mutex<Vec<Waker>>,
}

impl Inside {
    pub(crate) fn new(holder: Holder, sender: mpsc::Sender<Arc<Message>>) -> Arc<Self> {
        Arc::new(Self { holder, sender, held_back: Mutex::default() })
    }

    /// Whether publishers should pause.
    pub(crate) fn is_pressed(&self) -> bool {
        self.sender.capacity() < self.sender.max_capacity() / 2 && !self.sender.is_closed()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.held_back.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets publishers go on, if there is room.
    pub(crate) fn relieve(&self) {
        if !self.is_pressed() {
            self.waiting().drain(..).for_each(Waker::wake);
        }
    }
}

/// Once, however often somebody asks.
fn remember(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|known| known.will_wake(waker)) {
        wakers.push(waker.clone());
    }
}

impl Connection {
    pub(crate) fn epoch(&self) -> u64 {
        match self {
            Self::Wire(wire) => wire.holder.epoch,
            Self::Inside(inside) => inside.holder.epoch,
        }
    }

    /// A publisher waits until there is room there; `false` if there is.
    pub(crate) fn hold_back(&self, waker: &Waker) -> bool {
        match self {
            Self::Wire(wire) => wire.lock().hold_back(waker),
            Self::Inside(inside) => {
                // First in the list, then the look: who makes room between them finds the waker.
                remember(&mut inside.waiting(), waker);
                let hold = inside.is_pressed();
                inside.relieve();
                hold
            }
        }
    }

    /// Whether both are one connection.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Wire(one), Self::Wire(two)) => Arc::ptr_eq(one, two),
            (Self::Inside(one), Self::Inside(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }
}

impl SessionRef {
    pub(crate) fn new(client: ClientId, standing: SessionState, version: u64) -> Self {
        let state = PeerState { version, standing, link: None, filters: HashSet::new() };
        Self(Arc::new(Session { client, state: Mutex::new(state) }))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, PeerState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's connection, as others see it.
#[derive(Debug)]
pub(crate) struct ClientConnection {
    pub(crate) holder: Holder,
    mailbox: Mutex<OutQueue>,
}

#[derive(Debug)]
pub(crate) struct OutQueue {
    pub(crate) outbox: Outbox,
    /// Why the connection is to end.
    pub(crate) close: Option<Reason>,
    /// The connection is over: nobody empties this any more.
    pub(crate) over: bool,
    /// Only there while the connection sleeps.
    waker: Option<Waker>,
    /// Publishers that pause because of this client.
    held_back: Vec<Waker>,
}

impl ClientConnection {
    pub(crate) fn new(holder: Holder, outbox: Outbox) -> Arc<Self> {
        let mailbox = OutQueue { outbox, close: None, over: false, waker: None, held_back: Vec::new() };
        Arc::new(Self { holder, mailbox: Mutex::new(mailbox) })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, OutQueue> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the outbox and wakes the connection.
    pub(crate) fn post<T>(&self, what: impl FnOnce(&mut Outbox) -> T) -> T {
        let mut mailbox = self.lock();
        let result = what(&mut mailbox.outbox);
        let waker = mailbox.waker.take();
        drop(mailbox);
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    /// Asks the connection to end.
    pub(crate) fn close(&self, reason: Reason) {
        let mut mailbox = self.lock();
        mailbox.close.get_or_insert(reason);
        let waker = mailbox.waker.take();
        drop(mailbox);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl OutQueue {
    /// The connection goes to sleep and wants to be woken.
    pub(crate) fn sleep(&mut self, waker: &Waker) {
        if self.waker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
    }

    /// A publisher waits until there is room here; `false` if there is.
    pub(crate) fn hold_back(&mut self, waker: &Waker) -> bool {
        let hold = self.outbox.is_pressed() && !self.over;
        if hold {
            remember(&mut self.held_back, waker);
        }
        hold
    }

    /// Lets publishers go on, if there is room.
    pub(crate) fn relieve(&mut self) {
        if !self.held_back.is_empty() && (self.over || !self.outbox.is_pressed()) {
            self.held_back.drain(..).for_each(Waker::wake);
        }
    }
}
