//! The state that all connections of a replica share: the routes, the store, the counters.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytestring::ByteString;

use super::intake::Intake;
use super::log_limit::LogLimit;
use super::match_cache::MatchCache;
use super::session_handle::{Connection, SessionFilters, SessionRef};
use crate::address::AddressRates;
use crate::auth::Access;
use crate::codec::Reason;
use crate::limits::{HANDOVER_WAIT, RATE_BURST, SHARE_RELEASE_MEMBERS, SUBSCRIPTION_BYTES_MAX};
use crate::message::{ClientId, Message, ReplicaId, UnixMs, unix_ms};
use crate::metrics::{Metrics, RoutingSizes};
use crate::router::{GrantedSubscription, Matches, NamedPage, RetainedMessages, Trie};
use crate::settings::Settings;
use crate::store::{ClaimedSession, RouteChange, RouteEvent, RoutingSnapshot, SessionState, Store, StoreError};

/// One replica: the state that its connections share.
pub(crate) struct Replica {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) me: ReplicaId,
    pub(crate) settings: Settings,
    pub(crate) metrics: Arc<Metrics>,
    access: RwLock<Arc<Access>>,
    pub(crate) refusal_log: LogLimit,
    pub(crate) connect_rates: AddressRates,
    rate_log: LogLimit,
    routes: RwLock<Routes>,
    /// Which routes a remembered match is of.
    generation: AtomicU64,
    /// The next member of shared subscriptions.
    pub(super) share_turn: AtomicUsize,
    pub(super) intake: OnceLock<Arc<dyn Intake>>,
}

/// The routes of messages.
#[derive(Default)]
struct Routes {
    trie: Trie<SessionRef>,
    retained: RetainedMessages,
    sessions: HashMap<ClientId, SessionRef>,
    /// The last change that was applied.
    version: u64,
}

impl Replica {
    pub(crate) fn new(store: Arc<dyn Store>, settings: Settings) -> Self {
        Self {
            me: store.replica(),
            store,
            access: RwLock::new(Arc::clone(&settings.access)),
            refusal_log: LogLimit::default(),
            connect_rates: AddressRates::new(settings.connect_rate_per_address_max, RATE_BURST),
            rate_log: LogLimit::default(),
            settings,
            metrics: Arc::default(),
            routes: RwLock::default(),
            generation: AtomicU64::new(1),
            share_turn: AtomicUsize::new(0),
            intake: OnceLock::new(),
        }
    }

    /// Logs that an address sends more of something a second than it may.
    pub(crate) fn warn_too_fast(&self, from: Option<SocketAddr>, what: &'static str) {
        if let Some(unlogged) = self.rate_log.admit(unix_ms()) {
            tracing::warn!(?from, what, unlogged, "an address connects too often and is refused");
        }
    }

    /// The access rules in force.
    pub(crate) fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the access rules, and has each connection look at them.
    pub(crate) fn set_access(&self, access: Arc<Access>) {
        {
            let mut current = self.access.write().unwrap_or_else(PoisonError::into_inner);
            *current = Arc::new(access.after(&current));
        }
        self.recheck_rights();
    }

    /// Has each connection look at what it may still do.
    pub(crate) fn recheck_rights(&self) {
        for connection in self.connections() {
            if let Connection::Client(connection) = connection {
                connection.check_rights();
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Routes> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Routes> {
        self.routes.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The subscribers of a topic.
    pub(crate) fn matches(
        &self,
        match_cache: &mut MatchCache,
        topic: &ByteString,
        publisher: Option<&SessionRef>,
    ) -> Arc<Matches<SessionRef>> {
        let generation = self.generation.load(Ordering::Acquire);
        if match_cache.generation != generation || match_cache.by_topic.len() >= match_cache.most {
            let visited = match_cache.visited;
            *match_cache = MatchCache { generation, visited, ..MatchCache::with_capacity(match_cache.most) };
        }
        if let Some((_, found)) = match_cache.last.as_ref().filter(|(last, _)| last == topic) {
            return Arc::clone(found);
        }
        let (kept, found) = match match_cache.by_topic.get_key_value(topic) {
            Some((kept, found)) => (kept.clone(), Arc::clone(found)),
            None => {
                let (kept, found) = (ByteString::from(&**topic), self.read().trie.matches(topic, publisher));
                match_cache.visited += found.visited;
                let found = Arc::new(found);
                match_cache.by_topic.insert(kept.clone(), Arc::clone(&found));
                (kept, found)
            }
        };
        match_cache.last = Some((kept, Arc::clone(&found)));
        found
    }

    /// Replaces the routes by those of the store.
    pub(crate) fn load_snapshot(&self, snapshot: RoutingSnapshot) {
        let mut routes = self.write();
        let mut known = std::mem::take(&mut routes.sessions);
        *routes = Routes::default();
        for message in snapshot.retained {
            routes.retained.insert(&message);
        }
        for routed in snapshot.sessions {
            let session = known
                .remove(&routed.client)
                .unwrap_or_else(|| SessionRef::new(Arc::clone(&routed.client), routed.state, snapshot.version));
            let mut route = session.lock();
            route.version = snapshot.version;
            route.state = routed.state;
            route.filters.take();
            for (filter, granted) in routed.subscriptions {
                route.filters.insert(filter.clone());
                routes.trie.insert(&filter, session.clone(), granted);
            }
            drop(route);
            routes.sessions.insert(routed.client, session);
        }
        // Connections without subscriptions.
        for (client, session) in known {
            let mut route = session.lock();
            route.filters.take();
            if route.connection.is_some() {
                drop(route);
                routes.sessions.insert(client, session);
            }
        }
        routes.version = snapshot.version;
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Attaches a connection to a claimed session; an older connection here is closed.
    pub(crate) fn attach(
        &self,
        client: &ClientId,
        connection: Connection,
        lasting: bool,
        claimed: &ClaimedSession,
    ) -> SessionRef {
        let state = SessionState { owner: Some(self.me), lasting };
        let mut routes = self.write();
        let session = match routes.sessions.get(client) {
            Some(session) => session.clone(),
            None => {
                let session = SessionRef::new(Arc::clone(client), state, claimed.version);
                routes.sessions.insert(Arc::clone(client), session.clone());
                session
            }
        };
        let mut route = session.lock();
        route.state = state;
        route.version = route.version.max(claimed.version);
        let wanted: SessionFilters = claimed.subscriptions.iter().map(|(filter, _)| filter.clone()).collect();
        if !route.filters.is_empty() || !wanted.is_empty() {
            for gone in route.filters.take().into_iter().filter(|filter| !wanted.contains(filter)) {
                routes.trie.remove(&gone, &session);
            }
            for (filter, granted) in &claimed.subscriptions {
                routes.trie.insert(filter, session.clone(), *granted);
            }
            route.filters = wanted;
            self.generation.fetch_add(1, Ordering::Release);
        }
        if let Some(Connection::Client(old)) = route.connection.replace(connection)
            && old.close(Reason::SessionTakenOver)
        {
            self.metrics.taken_over.add(1);
        }
        drop(route);
        session
    }

    /// Asks the older connection of a session here to end, and waits until it has handled what it received.
    ///
    /// # Errors
    /// It is another user's.
    pub(crate) async fn hand_over(&self, client: &ClientId, user: Option<&str>) -> Result<(), StoreError> {
        let connection = self.session(client).and_then(|session| session.lock().connection.clone());
        let Some(Connection::Client(old)) = connection else { return Ok(()) };
        if old.user().is_some_and(|owner| Some(owner) != user) {
            return Err(StoreError::NotOwner);
        }
        if old.close(Reason::SessionTakenOver) {
            self.metrics.taken_over.add(1);
        }
        let _ = tokio::time::timeout(HANDOVER_WAIT, old.wait_for_detach()).await;
        Ok(())
    }

    /// Removes a connection that has ended; the session remains if it is lasting.
    pub(crate) fn detach(&self, session: &SessionRef, epoch: u64, lasting: bool) {
        let mut routes = self.write();
        let mut route = session.lock();
        if route.connection.as_ref().is_none_or(|connection| connection.epoch() != epoch) {
            return;
        }
        route.connection = None;
        route.state = SessionState { owner: None, lasting };
        if !lasting {
            self.remove_session(&mut routes, session, &mut route.filters);
        } else if route.filters.is_empty() {
            routes.sessions.remove(&session.0.client);
        }
    }

    fn remove_session(&self, routes: &mut Routes, session: &SessionRef, filters: &mut SessionFilters) {
        if !filters.is_empty() {
            self.generation.fetch_add(1, Ordering::Release);
        }
        for filter in filters.take() {
            routes.trie.remove(&filter, session);
        }
        routes.sessions.remove(&session.0.client);
    }

    /// A session here subscribed, and the store has it. Returns retained messages, if they are wanted.
    pub(crate) fn subscribe(
        &self,
        session: &SessionRef,
        filter: &ByteString,
        granted: GrantedSubscription,
        version: u64,
        wants_retained: Option<UnixMs>,
    ) -> Vec<Arc<Message>> {
        let mut routes = self.write();
        routes.trie.insert(filter, session.clone(), granted);
        let mut route = session.lock();
        route.filters.insert(filter.clone());
        route.version = route.version.max(version);
        self.generation.fetch_add(1, Ordering::Release);
        // Under the same lock, so that no message is both retained and routed, or neither.
        wants_retained.map(|now_ms| routes.retained.matching(filter, now_ms)).unwrap_or_default()
    }

    /// The members of a shared subscription that are away.
    pub(crate) fn absent_members(&self, share: &str) -> Vec<ClientId> {
        let routes = self.read();
        let absent = routes.trie.members(share).filter(|member| {
            let route = member.lock();
            route.connection.is_none() && route.state.owner.is_none() && route.state.lasting
        });
        absent.take(SHARE_RELEASE_MEMBERS).map(|member| Arc::clone(&member.0.client)).collect()
    }

    /// A session here unsubscribed, and the store has it.
    pub(crate) fn unsubscribe(&self, session: &SessionRef, filter: &ByteString, version: u64) {
        let mut routes = self.write();
        routes.trie.remove(filter, session);
        let mut route = session.lock();
        route.filters.remove(filter);
        route.version = route.version.max(version);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Whether there is room for another subscription.
    pub(crate) fn has_room_to_subscribe(&self) -> bool {
        self.read().trie.size_bytes() < SUBSCRIPTION_BYTES_MAX
    }

    /// Removes retained messages that have expired.
    pub(crate) fn remove_expired(&self, now_ms: UnixMs) {
        if self.read().retained.has_expired(now_ms) {
            let expired = self.write().retained.remove_expired(now_ms);
            self.metrics.expired.add(expired as u64);
        }
    }

    /// A message is retained, or the one before is cleared.
    pub(crate) fn retain(&self, message: &Arc<Message>) -> bool {
        self.write().retained.insert(message)
    }

    /// Applies a change of another replica. Returns `false` if changes before it are missing.
    pub(crate) fn apply_change(&self, RouteChange { version, what }: RouteChange) -> bool {
        let mut routes = self.write();
        if version <= routes.version {
            return true;
        }
        routes.version = version;
        match what {
            RouteEvent::Retained(message) => {
                routes.retained.insert(&message);
            }
            RouteEvent::Subscribed { client, state, filter, granted } => {
                let session = match routes.sessions.get(&client) {
                    Some(session) => session.clone(),
                    None => {
                        let session = SessionRef::new(Arc::clone(&client), state, 0);
                        routes.sessions.insert(client, session.clone());
                        session
                    }
                };
                let mut route = session.lock();
                if route.version < version {
                    route.version = version;
                    route.state = state;
                    routes.trie.insert(&filter, session.clone(), granted);
                    route.filters.insert(filter);
                }
            }
            RouteEvent::Unsubscribed { client, filter } => {
                if let Some(session) = routes.sessions.get(&client).cloned() {
                    let mut route = session.lock();
                    if route.version < version {
                        route.version = version;
                        routes.trie.remove(&filter, &session);
                        route.filters.remove(&filter);
                    }
                }
            }
            RouteEvent::Moved { client, state } => {
                if let Some(session) = routes.sessions.get(&client).cloned() {
                    let mut route = session.lock();
                    if route.version < version {
                        route.version = version;
                        route.state = state;
                    }
                }
            }
            RouteEvent::Gone { client } => {
                if let Some(session) = routes.sessions.get(&client).cloned() {
                    let mut route = session.lock();
                    if route.version < version && route.connection.is_none() {
                        self.remove_session(&mut routes, &session, &mut route.filters);
                    }
                }
            }
        }
        self.generation.fetch_add(1, Ordering::Release);
        true
    }

    /// The session of a client, if it is known here.
    pub(crate) fn session(&self, client: &str) -> Option<SessionRef> {
        self.read().sessions.get(client).cloned()
    }

    /// At most `limit` of the sessions behind `after` in the order of their clients.
    pub(crate) fn sessions_after(
        &self,
        after: Option<&str>,
        limit: usize,
        is_wanted: impl Fn(&SessionRef) -> bool,
    ) -> Vec<SessionRef> {
        let mut page = NamedPage::new(after, limit);
        for (client, session) in self.read().sessions.iter().filter(|(_, session)| is_wanted(session)) {
            page.offer(client, || session.clone());
        }
        page.into_items()
    }

    /// At most `limit` of the retained messages behind the topic `after`.
    pub(crate) fn retained_after(&self, filter: Option<&str>, after: Option<&str>, limit: usize) -> Vec<Arc<Message>> {
        self.read().retained.after(filter, after, limit)
    }

    /// A session was ended from here: it has no routes any more, unless a newer connection has it.
    pub(crate) fn forget_session(&self, client: &str) {
        let mut routes = self.write();
        let Some(session) = routes.sessions.get(client).cloned() else { return };
        let mut route = session.lock();
        if route.connection.is_none() {
            self.remove_session(&mut routes, &session, &mut route.filters);
        }
    }

    /// Every connection here.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        self.read().sessions.values().filter_map(|session| session.lock().connection.clone()).collect()
    }

    /// Subscriptions, retained messages and their bytes.
    pub(crate) fn sizes(&self) -> RoutingSizes {
        let routes = self.read();
        RoutingSizes {
            subscriptions: routes.trie.count(),
            subscription_bytes: routes.trie.size_bytes(),
            retained: routes.retained.count(),
            retained_bytes: routes.retained.size_bytes(),
            sessions: routes.sessions.len(),
        }
    }
}
