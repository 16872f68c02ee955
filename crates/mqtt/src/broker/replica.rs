//! What all connections of a replica share: the routes, the store, the counters.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytestring::ByteString;

use super::session_handle::{Connection, SessionRef};
use crate::codec::Reason;
use crate::limits::MATCHES_REMEMBERED;
use crate::message::{ClientId, Message, ReplicaId, UnixMs};
use crate::metrics::Metrics;
use crate::router::{Granted, Matches, Retained, Trie};
use crate::settings::Settings;
use crate::store::{Changed, ClaimedSession, RouteChange, RoutingSnapshot, SessionState, Store};

/// What connections share.
pub(crate) struct Hub {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) me: ReplicaId,
    pub(crate) settings: Settings,
    pub(crate) metrics: Arc<Metrics>,
    routes: RwLock<Routes>,
    /// Which routes a remembered match is of.
    generation: AtomicU64,
    /// Whose turn it is in shared subscriptions.
    pub(super) turn: AtomicUsize,
}

/// Who gets what.
#[derive(Default)]
struct Routes {
    trie: Trie<SessionRef>,
    retained: Retained,
    parties: HashMap<ClientId, SessionRef>,
    /// The last change heard of.
    version: u64,
}

/// Matches that a publisher remembers.
pub(crate) struct MatchCache {
    /// Of so many topics.
    most: usize,
    generation: u64,
    /// The last one asked for: most publishers have one topic.
    last: Option<(ByteString, Arc<Matches<SessionRef>>)>,
    by_topic: HashMap<ByteString, Arc<Matches<SessionRef>>>,
}

impl Default for MatchCache {
    fn default() -> Self {
        Self::of(MATCHES_REMEMBERED)
    }
}

impl MatchCache {
    pub(crate) fn of(most: usize) -> Self {
        Self { most, generation: 0, last: None, by_topic: HashMap::new() }
    }
}

impl Hub {
    pub(crate) fn new(store: Arc<dyn Store>, settings: Settings) -> Self {
        Self {
            me: store.replica(),
            store,
            settings,
            metrics: Arc::default(),
            routes: RwLock::default(),
            generation: AtomicU64::new(1),
            turn: AtomicUsize::new(0),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Routes> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Routes> {
        self.routes.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who gets a message on `topic`.
    pub(crate) fn matches(
        &self,
        remembered: &mut MatchCache,
        topic: &ByteString,
        publisher: Option<&SessionRef>,
    ) -> Arc<Matches<SessionRef>> {
        let generation = self.generation.load(Ordering::Acquire);
        if remembered.generation != generation || remembered.by_topic.len() >= remembered.most {
            *remembered = MatchCache { generation, ..MatchCache::of(remembered.most) };
        }
        if let Some((_, found)) = remembered.last.as_ref().filter(|(last, _)| last == topic) {
            return Arc::clone(found);
        }
        let (kept, found) = match remembered.by_topic.get_key_value(topic) {
            Some((kept, found)) => (kept.clone(), Arc::clone(found)),
            None => {
                let (kept, found) = (ByteString::from(&**topic), self.read().trie.matches(topic, publisher));
                let found = Arc::new(found);
                remembered.by_topic.insert(kept.clone(), Arc::clone(&found));
                (kept, found)
            }
        };
        remembered.last = Some((kept, Arc::clone(&found)));
        found
    }

    /// The routes are what the store says.
    pub(crate) fn learn(&self, picture: RoutingSnapshot) {
        let mut routes = self.write();
        let mut known = std::mem::take(&mut routes.parties);
        *routes = Routes::default();
        for message in picture.retained {
            routes.retained.put(&message);
        }
        for session in picture.sessions {
            let party = known
                .remove(&session.client)
                .unwrap_or_else(|| SessionRef::new(Arc::clone(&session.client), session.standing, picture.version));
            let mut state = party.lock();
            state.version = picture.version;
            state.standing = session.standing;
            state.filters.clear();
            for (filter, granted) in session.subscriptions {
                state.filters.insert(filter.clone());
                routes.trie.insert(&filter, party.clone(), granted);
            }
            drop(state);
            routes.parties.insert(session.client, party);
        }
        // Connections without subscriptions.
        for (client, party) in known {
            let mut state = party.lock();
            state.filters.clear();
            if state.link.is_some() {
                drop(state);
                routes.parties.insert(client, party);
            }
        }
        routes.version = picture.version;
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// A session that was taken gets its connection; an older one here ends.
    pub(crate) fn attach(
        &self,
        client: &ClientId,
        link: Connection,
        lasting: bool,
        taken: &ClaimedSession,
    ) -> SessionRef {
        let standing = SessionState { owner: Some(self.me), lasting };
        let mut routes = self.write();
        let party = match routes.parties.get(client) {
            Some(party) => party.clone(),
            None => {
                let party = SessionRef::new(Arc::clone(client), standing, taken.version);
                routes.parties.insert(Arc::clone(client), party.clone());
                party
            }
        };
        let mut state = party.lock();
        state.standing = standing;
        state.version = state.version.max(taken.version);
        let wanted: HashSet<ByteString> = taken.subscriptions.iter().map(|(filter, _)| filter.clone()).collect();
        if !state.filters.is_empty() || !wanted.is_empty() {
            for gone in state.filters.difference(&wanted) {
                routes.trie.remove(gone, &party);
            }
            for (filter, granted) in &taken.subscriptions {
                routes.trie.insert(filter, party.clone(), *granted);
            }
            state.filters = wanted;
            self.generation.fetch_add(1, Ordering::Release);
        }
        if let Some(Connection::Wire(old)) = state.link.replace(link) {
            self.metrics.taken_over.add(1);
            old.close(Reason::SessionTakenOver);
        }
        drop(state);
        party
    }

    /// A connection is over; what it leaves is as the store was told.
    pub(crate) fn detach(&self, party: &SessionRef, epoch: u64, lasting: bool) {
        let mut routes = self.write();
        let mut state = party.lock();
        if state.link.as_ref().is_none_or(|link| link.epoch() != epoch) {
            return;
        }
        state.link = None;
        state.standing = SessionState { owner: None, lasting };
        if !lasting {
            self.forget(&mut routes, party, &mut state.filters);
        } else if state.filters.is_empty() {
            routes.parties.remove(&party.0.client);
        }
    }

    fn forget(&self, routes: &mut Routes, party: &SessionRef, filters: &mut HashSet<ByteString>) {
        if !filters.is_empty() {
            self.generation.fetch_add(1, Ordering::Release);
        }
        for filter in filters.drain() {
            routes.trie.remove(&filter, party);
        }
        routes.parties.remove(&party.0.client);
    }

    /// A session here subscribed, and the store has it. Returns retained messages, if they are wanted.
    pub(crate) fn subscribe(
        &self,
        party: &SessionRef,
        filter: &ByteString,
        granted: Granted,
        version: u64,
        wants_retained: Option<UnixMs>,
    ) -> Vec<Arc<Message>> {
        let mut routes = self.write();
        routes.trie.insert(filter, party.clone(), granted);
        let mut state = party.lock();
        state.filters.insert(filter.clone());
        state.version = state.version.max(version);
        self.generation.fetch_add(1, Ordering::Release);
        // Under the same lock, so that no message is both retained and routed, or neither.
        wants_retained.map(|now_ms| routes.retained.matching(filter, now_ms)).unwrap_or_default()
    }

    /// A session here unsubscribed, and the store has it.
    pub(crate) fn unsubscribe(&self, party: &SessionRef, filter: &ByteString, version: u64) {
        let mut routes = self.write();
        routes.trie.remove(filter, party);
        let mut state = party.lock();
        state.filters.remove(filter);
        state.version = state.version.max(version);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// A message is retained, or the one before is cleared.
    pub(crate) fn retain(&self, message: &Arc<Message>) -> bool {
        self.write().retained.put(message)
    }

    /// Something changed elsewhere. Says `false` if changes are missing before this one.
    pub(crate) fn change(&self, RouteChange { version, what }: RouteChange) -> bool {
        let mut routes = self.write();
        if version <= routes.version {
            return true;
        }
        routes.version = version;
        match what {
            Changed::Retained(message) => {
                routes.retained.put(&message);
            }
            Changed::Subscribed { client, standing, filter, granted } => {
                let party = match routes.parties.get(&client) {
                    Some(party) => party.clone(),
                    None => {
                        let party = SessionRef::new(Arc::clone(&client), standing, 0);
                        routes.parties.insert(client, party.clone());
                        party
                    }
                };
                let mut state = party.lock();
                if state.version < version {
                    state.version = version;
                    state.standing = standing;
                    routes.trie.insert(&filter, party.clone(), granted);
                    state.filters.insert(filter);
                }
            }
            Changed::Unsubscribed { client, filter } => {
                if let Some(party) = routes.parties.get(&client).cloned() {
                    let mut state = party.lock();
                    if state.version < version {
                        state.version = version;
                        routes.trie.remove(&filter, &party);
                        state.filters.remove(&filter);
                    }
                }
            }
            Changed::Moved { client, standing } => {
                if let Some(party) = routes.parties.get(&client).cloned() {
                    let mut state = party.lock();
                    if state.version < version {
                        state.version = version;
                        state.standing = standing;
                    }
                }
            }
            Changed::Gone { client } => {
                if let Some(party) = routes.parties.get(&client).cloned() {
                    let mut state = party.lock();
                    if state.version < version && state.link.is_none() {
                        self.forget(&mut routes, &party, &mut state.filters);
                    }
                }
            }
        }
        self.generation.fetch_add(1, Ordering::Release);
        true
    }

    /// The party of a client, if it is known here.
    pub(crate) fn party(&self, client: &str) -> Option<SessionRef> {
        self.read().parties.get(client).cloned()
    }

    /// Every connection here.
    pub(crate) fn links(&self) -> Vec<Connection> {
        self.read().parties.values().filter_map(|party| party.lock().link.clone()).collect()
    }

    /// Subscriptions, retained messages and their bytes.
    pub(crate) fn sizes(&self) -> Sizes {
        let routes = self.read();
        Sizes {
            subscriptions: routes.trie.count(),
            retained: routes.retained.count(),
            retained_bytes: routes.retained.size_bytes(),
            sessions: routes.parties.len(),
        }
    }
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Subscriptions, of all replicas.
    pub subscriptions: usize,
    /// Retained messages.
    pub retained: usize,
    /// Their bytes.
    pub retained_bytes: usize,
    /// Sessions that are known here.
    pub sessions: usize,
}
