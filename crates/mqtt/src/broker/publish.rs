//! How a message finds those who get it: what is delivered at once, what the store has to have first.
//!
//! What must stay true: a message of QoS above 0 for a lasting session is acknowledged to its publisher only after the
//! store has it; with a guard nothing is delivered before the store has said that it is not a repetition.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::replica::{Hub, MatchCache};
use super::session_handle::{ClientConnection, Connection, SessionRef};
use crate::codec::{PacketKind, Qos, Reason};
use crate::message::{ClientId, Message, ReplicaId, UnixMs, unix_ms};
use crate::router::{Matches, RouteMatch};
use crate::session::encode_cache::{Frames, with_encoded};
use crate::session::{Enqueue, Outbox};
use crate::store::{DedupKey, DeliveryOptions, Op, Publication, Published, StoreError, StoreOutcome};

/// What remains to be done for a message.
#[derive(Default)]
pub(crate) struct DeliveryPlan {
    /// Lasting sessions, in the order of [`Publication::appends`].
    appends: Vec<(SessionRef, DeliveryOptions)>,
    forwards: BTreeSet<ReplicaId>,
    directs: Vec<(ReplicaId, ClientId, DeliveryOptions)>,
    /// Connections here that get it once the guard has been passed.
    held: Vec<(SessionRef, DeliveryOptions)>,
    /// Nobody subscribes to the topic.
    pub(crate) nobody: bool,
    /// Connections here were given the message.
    pub(crate) stirred: bool,
    /// Clients for whom too much is waiting.
    pub(crate) pressed: Vec<Connection>,
}

/// Whether deliveries wait for the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deliver {
    Now,
    Later,
}

impl DeliveryPlan {
    /// What the store is to do, if anything.
    pub(crate) fn op(&self, message: &Message, guard: Option<DedupKey>) -> Option<(Op, Arc<Message>)> {
        let idle = self.appends.is_empty() && self.forwards.is_empty() && self.directs.is_empty();
        if idle && guard.is_none() && !message.retain {
            return None;
        }
        let message = Arc::new(message.compact());
        Some((self.publication(Arc::clone(&message), guard), message))
    }

    /// For one lasting session.
    pub(crate) fn to_one(party: SessionRef, how: DeliveryOptions) -> Self {
        Self { appends: vec![(party, how)], ..Self::default() }
    }

    /// What the store is to do.
    pub(crate) fn publication(&self, message: Arc<Message>, guard: Option<DedupKey>) -> Op {
        let retain = message.retain;
        Op::Publish(Box::new(Publication {
            guard,
            message,
            appends: self.appends.iter().map(|(party, how)| (Arc::clone(&party.0.client), how.clone())).collect(),
            forwards: self.forwards.iter().copied().collect(),
            directs: self.directs.clone(),
            retain,
        }))
    }
}

impl DeliveryPlan {
    /// What the publisher is told. That nobody was there may be said (3.4.2.1, 3.5.2.1); of QoS 2 it is not, since the
    /// message is the broker's with PUBREC and its subscribers' with PUBREL: other brokers know nothing of them before.
    pub(super) fn verdict(&self, kind: PacketKind) -> Reason {
        if self.nobody && kind == PacketKind::Puback { Reason::NoMatchingSubscribers } else { Reason::Success }
    }
}

impl Hub {
    /// Looks at each who matches, and delivers at once what may be.
    pub(crate) fn plan(
        &self,
        matches: &Matches<SessionRef>,
        message: &Message,
        when: Deliver,
        now_ms: UnixMs,
    ) -> DeliveryPlan {
        let mut plan = DeliveryPlan { nobody: matches.is_empty(), ..DeliveryPlan::default() };
        if plan.nobody {
            return plan;
        }
        with_encoded(|encoded| {
            let mut frames = Frames::new(message, now_ms, encoded);
            for found in &matches.plain {
                self.reach(&mut plan, &mut frames, found, when);
            }
            for members in &matches.shared {
                if let Some(member) = self.choose(members) {
                    self.reach_member(&mut plan, &mut frames, member, when);
                }
            }
        });
        plan
    }

    fn reach(&self, plan: &mut DeliveryPlan, frames: &mut Frames<'_>, found: &RouteMatch<SessionRef>, when: Deliver) {
        let how = how(found, frames.message());
        let state = found.party.lock();
        if state.standing.lasting && how.qos > Qos::AtMostOnce {
            plan.appends.push((found.party.clone(), how));
        } else if let Some(link) = &state.link {
            match when {
                Deliver::Now => {
                    self.hand_over(link, frames, &how, &mut plan.pressed);
                    plan.stirred = true;
                }
                Deliver::Later => plan.held.push((found.party.clone(), how)),
            }
        } else if let Some(owner) = state.standing.owner.filter(|owner| *owner != self.me) {
            plan.forwards.insert(owner);
        }
    }

    fn reach_member(
        &self,
        plan: &mut DeliveryPlan,
        frames: &mut Frames<'_>,
        found: &RouteMatch<SessionRef>,
        when: Deliver,
    ) {
        let state = found.party.lock();
        let elsewhere = state.standing.owner.filter(|owner| *owner != self.me && state.link.is_none());
        let kept = state.standing.lasting && found.qos.min(frames.message().qos) > Qos::AtMostOnce;
        match elsewhere {
            Some(owner) if !kept => {
                let how = how(found, frames.message());
                plan.directs.push((owner, Arc::clone(&found.party.0.client), how));
            }
            _ => {
                drop(state);
                self.reach(plan, frames, found, when);
            }
        }
    }

    /// One member of a shared subscription, in turn; the best placed first [MQTT-4.8.2-4].
    fn choose<'a>(&self, members: &'a [RouteMatch<SessionRef>]) -> Option<&'a RouteMatch<SessionRef>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let (mut best, mut best_rank) = (None, 0);
        for step in 0..members.len() {
            let member = &members[(turn + step) % members.len()];
            let state = member.party.lock();
            let rank = match &state.link {
                Some(Connection::Wire(wire)) if wire.lock().outbox.is_pressed() => 2,
                Some(_) => 4,
                None if state.standing.owner.is_some() => 3,
                None => 1,
            };
            if rank > best_rank {
                (best, best_rank) = (Some(member), rank);
            }
            if rank == 4 {
                break;
            }
        }
        best
    }

    /// Gives a message to a connection here.
    fn hand_over(
        &self,
        link: &Connection,
        frames: &mut Frames<'_>,
        how: &DeliveryOptions,
        pressed: &mut Vec<Connection>,
    ) {
        match link {
            Connection::Wire(wire) => {
                let verdict = wire.post(|outbox| outbox.deliver(frames, how));
                self.judge(verdict, wire, pressed);
            }
            Connection::Inside(inside) => {
                if inside.sender.try_send(frames.keep()).is_err() {
                    self.metrics.dropped_slow.add(1);
                }
                if how.qos > Qos::AtMostOnce && inside.is_pressed() {
                    pressed.push(link.clone());
                }
            }
        }
    }

    fn judge(&self, verdict: Enqueue, wire: &Arc<ClientConnection>, pressed: &mut Vec<Connection>) {
        match verdict {
            Enqueue::Taken => {}
            Enqueue::Pressed => pressed.push(Connection::Wire(Arc::clone(wire))),
            Enqueue::TooSlow => self.metrics.dropped_slow.add(1),
            Enqueue::TooLarge => self.metrics.dropped_large.add(1),
        }
    }

    /// The store has it: what waited for that is delivered. Returns whether it was the first time.
    pub(crate) fn finish(
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
        self.metrics.dropped_crowded.add(done.passed_over);
        self.metrics.dropped_full.add(done.refused);
        let forwarded = (plan.forwards.len() + plan.directs.len()) as u64;
        self.metrics.forwarded.add(forwarded.saturating_sub(done.passed_over));
        with_encoded(|encoded| {
            let mut frames = Frames::kept(message, now_ms, encoded);
            for (party, how) in std::mem::take(&mut plan.held) {
                if let Some(link) = party.lock().link.clone() {
                    self.hand_over(&link, &mut frames, &how, &mut plan.pressed);
                    plan.stirred = true;
                }
            }
            for ((party, how), number) in std::mem::take(&mut plan.appends).into_iter().zip(&done.numbers) {
                let Some(seq) = *number else {
                    self.metrics.dropped_full.add(1);
                    continue;
                };
                if let Some(Connection::Wire(wire)) = party.lock().link.clone() {
                    plan.stirred = true;
                    if seq == 0 {
                        wire.post(Outbox::fall_behind);
                        continue;
                    }
                    let verdict = wire.post(|outbox| outbox.deliver_numbered(seq, &mut frames, &how));
                    self.judge(verdict, &wire, &mut plan.pressed);
                }
            }
        });
        true
    }

    /// Publishes from inside: wills, `$SYS`, parts of this process. Returns whether it was the first time.
    ///
    /// # Errors
    /// The store is shut.
    pub(crate) async fn publish(&self, message: Message, guard: Option<DedupKey>) -> Result<bool, StoreError> {
        let matches = self.matches(&mut MatchCache::default(), &message.topic, None);
        let when = if guard.is_some() { Deliver::Later } else { Deliver::Now };
        let mut plan = self.plan(&matches, &message, when, unix_ms());
        let Some((op, kept)) = plan.op(&message, guard) else { return Ok(true) };
        let outcome = self.store.commit(vec![op]).await?.pop();
        let Some(StoreOutcome::Published(done)) = outcome else { return Ok(false) };
        Ok(self.finish(&mut plan, &kept, &done, unix_ms()))
    }

    /// Gives a message that a member of a shared subscription left to another one, if there is any.
    ///
    /// # Errors
    /// The store is shut.
    pub(crate) async fn pass_on(
        &self,
        message: &Arc<Message>,
        share: &str,
        guard: Option<DedupKey>,
    ) -> Result<(), StoreError> {
        let message = Message { retain: false, ..Message::clone(message) };
        let matches = self.matches(&mut MatchCache::default(), &message.topic, None);
        let is_it = |members: &&Vec<RouteMatch<SessionRef>>| {
            members.first().is_some_and(|member| member.share.as_deref() == Some(share))
        };
        let members = matches.shared.iter().find(is_it).filter(|_| !message.is_expired(unix_ms()));
        let member = members.and_then(|members| self.choose(members));
        let when = if guard.is_some() { Deliver::Later } else { Deliver::Now };
        let mut plan = DeliveryPlan::default();
        if let Some(member) = member {
            with_encoded(|encoded| {
                let mut frames = Frames::new(&message, unix_ms(), encoded);
                self.reach_member(&mut plan, &mut frames, member, when);
            });
        }
        let Some((op, kept)) = plan.op(&message, guard) else { return Ok(()) };
        if let Some(StoreOutcome::Published(done)) = self.store.commit(vec![op]).await?.pop() {
            self.finish(&mut plan, &kept, &done, unix_ms());
        }
        Ok(())
    }

    /// A message from another replica: for connections here that the store does not keep it for, or for the one named.
    pub(crate) fn deliver_forwarded(
        &self,
        message: &Arc<Message>,
        to: Option<(ClientId, DeliveryOptions)>,
        seen: &mut MatchCache,
    ) {
        let mut pressed = Vec::new();
        if let Some((client, how)) = to {
            let link = self.party(&client).and_then(|party| party.lock().link.clone());
            let Some(link) = link else { return };
            with_encoded(|encoded| {
                let mut frames = Frames::kept(message, unix_ms(), encoded);
                self.hand_over(&link, &mut frames, &how, &mut pressed);
            });
            return;
        }
        let matches = self.matches(seen, &message.topic, None);
        with_encoded(|encoded| {
            let mut frames = Frames::kept(message, unix_ms(), encoded);
            for found in &matches.plain {
                let how = how(found, message);
                let state = found.party.lock();
                let kept = state.standing.lasting && how.qos > Qos::AtMostOnce;
                if let Some(link) = state.link.as_ref().filter(|_| !kept) {
                    self.hand_over(link, &mut frames, &how, &mut pressed);
                }
            }
        });
    }
}

/// How a subscriber gets a message [MQTT-3.3.1-12], [MQTT-3.3.1-13], [MQTT-3.8.4-8].
fn how(found: &RouteMatch<SessionRef>, message: &Message) -> DeliveryOptions {
    DeliveryOptions {
        qos: found.qos.min(message.qos),
        retain: message.retain && found.retain_as_published,
        ids: found.ids.clone(),
        share: found.share.clone(),
    }
}
