//! Delivery of a message: which receivers get it at once, and which only after the store has committed it.
//!
//! What must stay true: a message of QoS above 0 for a lasting session is acknowledged to its publisher only after the
//! store has it; a message with a dedup key is delivered only after the store has claimed the key.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::match_cache::MatchCache;
use super::replica::Replica;
use super::session_handle::{ClientConnection, Connection, SessionRef};
use crate::auth::Principal;
use crate::codec::{PacketKind, Qos, Reason, topic};
use crate::message::{ClientId, Message, ReplicaId, UnixMs, unix_ms};
use crate::router::{Matches, RouteMatch};
use crate::session::encode_cache::{MessageEncoder, with_encode_cache};
use crate::session::{Enqueue, Outbox};
use crate::settings::ShareOffline;
use crate::store::{DedupKey, DeliveryOptions, Publication, Published, StoreError, StoreOp, StoreOutcome};

/// The deliveries of a message that are not done yet.
#[derive(Default)]
pub(crate) struct DeliveryPlan {
    /// Lasting sessions, in the order of [`Publication::appends`].
    appends: Vec<(SessionRef, DeliveryOptions)>,
    forwards: BTreeSet<ReplicaId>,
    directs: Vec<(ReplicaId, ClientId, DeliveryOptions)>,
    /// Sessions here that get it once the dedup key is claimed.
    held: Vec<(SessionRef, DeliveryOptions)>,
    /// The topic has no subscribers.
    pub(crate) no_subscribers: bool,
    /// Connections here were given the message.
    pub(crate) delivered: bool,
    /// The acknowledgement waits for the intake.
    pub(crate) awaits_intake: bool,
    /// Clients for whom too much is waiting.
    pub(crate) congested: Vec<Connection>,
}

/// Whether deliveries wait for the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeliveryTiming {
    Immediate,
    AfterCommit,
}

impl DeliveryPlan {
    /// The operation for the store, if one is needed.
    pub(crate) fn store_op(&self, message: &Message, dedup_key: Option<DedupKey>) -> Option<(StoreOp, Arc<Message>)> {
        let idle = self.appends.is_empty() && self.forwards.is_empty() && self.directs.is_empty();
        if idle && dedup_key.is_none() && !message.retain {
            return None;
        }
        let message = Arc::new(message.compact());
        Some((self.publish_op(Arc::clone(&message), dedup_key), message))
    }

    /// For one lasting session.
    pub(crate) fn to_one(session: SessionRef, options: DeliveryOptions) -> Self {
        Self { appends: vec![(session, options)], ..Self::default() }
    }

    /// The operation that gives the message to some of the lasting sessions again.
    pub(crate) fn append_op(&self, message: &Arc<Message>, receivers: &[usize]) -> StoreOp {
        let appends = receivers.iter().filter_map(|at| self.appends.get(*at));
        let appends = appends.map(|(session, options)| (Arc::clone(&session.0.client), options.clone())).collect();
        let message = Arc::clone(message);
        let (forwards, directs) = (Vec::new(), Vec::new());
        StoreOp::Publish(Box::new(Publication { dedup_key: None, message, appends, forwards, directs, retain: false }))
    }

    /// The operation for the store.
    pub(crate) fn publish_op(&self, message: Arc<Message>, dedup_key: Option<DedupKey>) -> StoreOp {
        let retain = message.retain;
        StoreOp::Publish(Box::new(Publication {
            dedup_key,
            message,
            appends: self
                .appends
                .iter()
                .map(|(session, options)| (Arc::clone(&session.0.client), options.clone()))
                .collect(),
            forwards: self.forwards.iter().copied().collect(),
            directs: self.directs.clone(),
            retain,
        }))
    }
}

impl DeliveryPlan {
    /// The reason in the acknowledgement. It may say that there are no subscribers (3.4.2.1, 3.5.2.1); for QoS 2 it does
    /// not, since the message is the broker's with PUBREC and its subscribers' with PUBREL: only then are they looked up.
    pub(super) fn ack_reason(&self, kind: PacketKind) -> Reason {
        if self.no_subscribers && kind == PacketKind::Puback { Reason::NoMatchingSubscribers } else { Reason::Success }
    }
}

impl Replica {
    /// Delivers to the matching subscribers that need no commit, and plans the delivery to all others.
    pub(crate) fn plan_delivery(
        &self,
        matches: &Matches<SessionRef>,
        message: &Message,
        when: DeliveryTiming,
        now_ms: UnixMs,
    ) -> DeliveryPlan {
        let mut plan = DeliveryPlan { no_subscribers: matches.is_empty(), ..DeliveryPlan::default() };
        if let Some(intake) = self.intake.get().filter(|_| !message.topic.starts_with('$')) {
            plan.no_subscribers = false;
            plan.awaits_intake = intake.receive(message) && message.qos > Qos::AtMostOnce;
        }
        if matches.is_empty() {
            return plan;
        }
        with_encode_cache(|cache| {
            let mut encoder = MessageEncoder::new(message, now_ms, cache);
            for found in &matches.plain {
                self.plan_subscriber(&mut plan, &mut encoder, found, when);
            }
            for members in &matches.shared {
                if let Some(member) = self.choose_member(members) {
                    self.plan_shared_member(&mut plan, &mut encoder, member, when);
                }
            }
        });
        plan
    }

    fn plan_subscriber(
        &self,
        plan: &mut DeliveryPlan,
        encoder: &mut MessageEncoder<'_>,
        found: &RouteMatch<SessionRef>,
        when: DeliveryTiming,
    ) {
        let options = delivery_options(found, encoder.message());
        let route = found.subscriber.lock();
        if route.state.lasting && options.qos > Qos::AtMostOnce {
            plan.appends.push((found.subscriber.clone(), options));
        } else if let Some(connection) = &route.connection {
            match when {
                DeliveryTiming::Immediate => {
                    self.deliver_to(connection, encoder, &options, &mut plan.congested);
                    plan.delivered = true;
                }
                DeliveryTiming::AfterCommit => plan.held.push((found.subscriber.clone(), options)),
            }
        } else if let Some(owner) = route.state.owner.filter(|owner| *owner != self.me) {
            plan.forwards.insert(owner);
        }
    }

    fn plan_shared_member(
        &self,
        plan: &mut DeliveryPlan,
        encoder: &mut MessageEncoder<'_>,
        found: &RouteMatch<SessionRef>,
        when: DeliveryTiming,
    ) {
        let route = found.subscriber.lock();
        let elsewhere = route.state.owner.filter(|owner| *owner != self.me && route.connection.is_none());
        let kept = route.state.lasting && found.qos.min(encoder.message().qos) > Qos::AtMostOnce;
        match elsewhere {
            Some(owner) if !kept => {
                let options = delivery_options(found, encoder.message());
                plan.directs.push((owner, Arc::clone(&found.subscriber.0.client), options));
            }
            _ => {
                drop(route);
                self.plan_subscriber(plan, encoder, found, when);
            }
        }
    }

    /// One member of a shared subscription, in turn; connected ones before congested ones, and these before those that
    /// are away [MQTT-4.8.2-4]. `None`: all are away, and such messages do not wait.
    fn choose_member<'a>(&self, members: &'a [RouteMatch<SessionRef>]) -> Option<&'a RouteMatch<SessionRef>> {
        let share_turn = self.share_turn.fetch_add(1, Ordering::Relaxed);
        let (mut best, mut best_rank) = (None, 0);
        for step in 0..members.len() {
            let member = &members[(share_turn + step) % members.len()];
            let route = member.subscriber.lock();
            let rank = match &route.connection {
                Some(Connection::Client(connection)) if connection.lock().outbox.is_congested() => 2,
                // On this replica or another: each gets its share.
                Some(_) => 3,
                None if route.state.owner.is_some() => 3,
                None if self.settings.share_offline == ShareOffline::Discard => 0,
                None => 1,
            };
            if rank > best_rank {
                (best, best_rank) = (Some(member), rank);
            }
            if rank == 3 {
                break;
            }
        }
        self.metrics.dropped_absent.add(u64::from(best.is_none()));
        best
    }

    /// Gives a message to a connection here.
    fn deliver_to(
        &self,
        connection: &Connection,
        encoder: &mut MessageEncoder<'_>,
        options: &DeliveryOptions,
        congested: &mut Vec<Connection>,
    ) {
        match connection {
            Connection::Client(connection) => {
                let verdict = connection.post(|outbox| outbox.enqueue(encoder, options));
                self.count_enqueue(verdict, connection, congested);
                if verdict == Enqueue::TooSlow && options.qos > Qos::AtMostOnce {
                    // The publisher was held back for its time. The client has to know that it lacks a message.
                    self.metrics.slow_consumers.add(1);
                    connection.close(Reason::QuotaExceeded);
                }
            }
            Connection::Local(local) => {
                if local.sender.try_send(encoder.keep_copy()).is_err() {
                    self.metrics.dropped_slow.add(1);
                }
                if options.qos > Qos::AtMostOnce && local.is_congested() {
                    congested.push(connection.clone());
                }
            }
        }
    }

    fn count_enqueue(&self, verdict: Enqueue, connection: &Arc<ClientConnection>, congested: &mut Vec<Connection>) {
        match verdict {
            Enqueue::Queued => {}
            Enqueue::Congested => congested.push(Connection::Client(Arc::clone(connection))),
            Enqueue::TooSlow => self.metrics.dropped_slow.add(1),
            Enqueue::TooLarge => self.metrics.dropped_large.add(1),
        }
    }

    /// Delivers what waited for the commit. Returns `false` for a repeated publication.
    pub(crate) fn apply_published(
        &self,
        plan: &mut DeliveryPlan,
        message: &Arc<Message>,
        done: &Published,
        now_ms: UnixMs,
    ) -> bool {
        if done.repeated {
            return false;
        }
        if message.retain {
            let room = !done.not_retained && self.retain(message);
            if !room {
                self.metrics.not_retained.add(1);
            }
        }
        self.metrics.dropped_crowded.add(done.skipped_replicas);
        self.metrics.dropped_full.add(done.refused.len() as u64);
        let forwarded = (plan.forwards.len() + plan.directs.len()) as u64;
        self.metrics.forwarded.add(forwarded.saturating_sub(done.skipped_replicas));
        with_encode_cache(|cache| {
            let mut encoder = MessageEncoder::from_shared(message, now_ms, cache);
            for (session, options) in std::mem::take(&mut plan.held) {
                if let Some(connection) = session.lock().connection.clone() {
                    self.deliver_to(&connection, &mut encoder, &options, &mut plan.congested);
                    plan.delivered = true;
                }
            }
            for ((session, options), number) in std::mem::take(&mut plan.appends).into_iter().zip(&done.numbers) {
                let Some(seq) = *number else { continue };
                if let Some(Connection::Client(connection)) = session.lock().connection.clone() {
                    plan.delivered = true;
                    if seq == 0 {
                        connection.post(Outbox::fall_behind);
                        continue;
                    }
                    let verdict = connection.post(|outbox| outbox.enqueue_numbered(seq, &mut encoder, &options));
                    self.count_enqueue(verdict, &connection, &mut plan.congested);
                }
            }
        });
        true
    }

    /// Publishes a will or a message of a local client. Returns `false` for a repeated publication.
    ///
    /// # Errors
    /// The store is shut.
    pub(crate) async fn publish(&self, message: Message, dedup_key: Option<DedupKey>) -> Result<bool, StoreError> {
        let matches = self.matches(&mut MatchCache::default(), &message.topic, None);
        if !matches.is_complete {
            self.metrics.dropped_costly.add(1);
            return Ok(false);
        }
        let when = if dedup_key.is_some() { DeliveryTiming::AfterCommit } else { DeliveryTiming::Immediate };
        let mut plan = self.plan_delivery(&matches, &message, when, unix_ms());
        let Some((op, kept)) = plan.store_op(&message, dedup_key) else { return Ok(true) };
        let outcome = self.store.commit(vec![op]).await?.pop();
        let Some(StoreOutcome::Published(done)) = outcome else { return Ok(false) };
        Ok(self.apply_published(&mut plan, &kept, &done, unix_ms()))
    }

    /// Gives a message that a member of a shared subscription left to another one, if there is any.
    ///
    /// # Errors
    /// The store is shut.
    pub(crate) async fn redeliver_shared(
        &self,
        message: &Arc<Message>,
        share: &str,
        dedup_key: Option<DedupKey>,
    ) -> Result<(), StoreError> {
        let message = Message { retain: false, ..Message::clone(message) };
        let matches = self.matches(&mut MatchCache::default(), &message.topic, None);
        let is_it = |members: &&Vec<RouteMatch<SessionRef>>| {
            members.first().is_some_and(|member| member.share.as_deref() == Some(share))
        };
        let members = matches.shared.iter().find(is_it).filter(|_| !message.is_expired(unix_ms()));
        let member = members.and_then(|members| self.choose_member(members));
        let when = if dedup_key.is_some() { DeliveryTiming::AfterCommit } else { DeliveryTiming::Immediate };
        let mut plan = DeliveryPlan::default();
        if let Some(member) = member {
            with_encode_cache(|cache| {
                let mut encoder = MessageEncoder::new(&message, unix_ms(), cache);
                self.plan_shared_member(&mut plan, &mut encoder, member, when);
            });
        }
        let Some((op, kept)) = plan.store_op(&message, dedup_key) else { return Ok(()) };
        if let Some(StoreOutcome::Published(done)) = self.store.commit(vec![op]).await?.pop() {
            self.apply_published(&mut plan, &kept, &done, unix_ms());
        }
        Ok(())
    }

    /// A message from another replica: for connections here that the store does not keep it for, or for the one named.
    pub(crate) fn deliver_forwarded(
        &self,
        message: &Arc<Message>,
        to: Option<(ClientId, DeliveryOptions)>,
        match_cache: &mut MatchCache,
    ) {
        let mut congested = Vec::new();
        if let Some((client, options)) = to {
            let connection = self.session(&client).and_then(|session| session.lock().connection.clone());
            let Some(connection) = connection else { return };
            with_encode_cache(|cache| {
                let mut encoder = MessageEncoder::from_shared(message, unix_ms(), cache);
                self.deliver_to(&connection, &mut encoder, &options, &mut congested);
            });
            return;
        }
        let matches = self.matches(match_cache, &message.topic, None);
        with_encode_cache(|cache| {
            let mut encoder = MessageEncoder::from_shared(message, unix_ms(), cache);
            for found in &matches.plain {
                let options = delivery_options(found, message);
                let route = found.subscriber.lock();
                let kept = route.state.lasting && options.qos > Qos::AtMostOnce;
                if let Some(connection) = route.connection.as_ref().filter(|_| !kept) {
                    self.deliver_to(connection, &mut encoder, &options, &mut congested);
                }
            }
        });
    }
}

/// The reason to refuse a publication or a will there, if there is one.
pub(super) fn refuse_topic(principal: &Principal, client: &str, topic: &str) -> Option<Reason> {
    if topic::check_depth(topic).is_err() {
        return Some(Reason::TopicNameInvalid);
    }
    let is_reserved = topic.starts_with("$SYS/") || topic.starts_with("$share/");
    (is_reserved || !principal.may_publish(client, topic)).then_some(Reason::NotAuthorized)
}

/// How a subscriber gets a message [MQTT-3.3.1-12], [MQTT-3.3.1-13], [MQTT-3.8.4-8].
fn delivery_options(found: &RouteMatch<SessionRef>, message: &Message) -> DeliveryOptions {
    DeliveryOptions {
        qos: found.qos.min(message.qos),
        retain: message.retain && found.retain_as_published,
        ids: found.ids.clone(),
        share: found.share.clone(),
    }
}
