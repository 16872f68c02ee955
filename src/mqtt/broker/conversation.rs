//! One client's packets, carried out: what needs the store goes into a batch, and what answers it waits for the batch.
//!
//! What must stay true: acknowledgements leave in the order of what they acknowledge [MQTT-4.6.0-2] to [MQTT-4.6.0-4],
//! none before the store has what it stands for; nothing here waits.

use std::sync::Arc;

use bytestring::ByteString;

use super::hub::{Hub, Remembered};
use super::peer::{Party, Wire};
use super::publish::{Deliver, Plan};
use crate::mqtt::auth::Visitor;
use crate::mqtt::codec::{
    Delivery, Disconnect, Kind, Packet, PacketId, Publish, Reason, RetainHandling, Suback, Subscribe, Unsuback,
    Unsubscribe, UserProperties, Version, topic,
};
use crate::mqtt::limits::{SESSION_EXPIRY_MAX_S, SUBSCRIPTIONS_MAX};
use crate::mqtt::message::{Message, UnixMs};
use crate::mqtt::router::Granted;
use crate::mqtt::session::frames::{Frames, with_encoded};
use crate::mqtt::session::{Accepted, Inbound};
use crate::mqtt::store::{Guard, Holder, How, Op, Outcome};

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client said goodbye; its will goes unless it asked for it.
    Goodbye { will: bool },
    /// It is gone without a word.
    Lost,
    /// It is told to go.
    Told(Reason),
}

/// One client's side of the broker.
pub(crate) struct Conversation {
    pub(crate) hub: Arc<Hub>,
    pub(crate) wire: Arc<Wire>,
    pub(crate) party: Party,
    pub(crate) expiry_s: u32,
    pub(crate) guest: Visitor,
    version: Version,
    lasting: bool,
    inbound: Inbound,
    remembered: Remembered,
    /// What the store is to do next.
    ops: Vec<Op>,
    /// What follows from it, in order.
    steps: Vec<Step>,
    /// Publications of QoS 1 among the steps.
    unanswered: usize,
    /// Clients that make this one pause.
    pub(crate) pressed: Vec<Arc<Wire>>,
}

/// What follows.
enum Step {
    /// An acknowledgement that waits for its turn.
    Say(Kind, PacketId, Reason),
    /// The next outcome belongs to an operation after which nothing is said.
    Quiet,
    /// The next outcome belongs to an operation after which this is said.
    Then(Kind, PacketId),
    Published {
        answer: Option<(Kind, PacketId)>,
        message: Arc<Message>,
        plan: Plan,
    },
    Subscribed {
        filter: ByteString,
        granted: Granted,
    },
    Suback(Suback),
    Unsubscribed {
        filter: ByteString,
        at: usize,
    },
    Unsuback(Unsuback),
}

/// What goes to the store, and what is done with the answer.
pub(crate) struct Batch {
    pub(crate) ops: Vec<Op>,
    steps: Vec<Step>,
}

impl Conversation {
    pub(crate) fn new(
        hub: Arc<Hub>,
        wire: Arc<Wire>,
        party: Party,
        guest: Visitor,
        expiry_s: u32,
        inbound: &[u16],
    ) -> Self {
        let (version, lasting) = {
            let mailbox = wire.lock();
            (mailbox.outbox.terms.version, mailbox.outbox.terms.lasting)
        };
        Self {
            hub,
            wire,
            party,
            expiry_s,
            guest,
            version,
            lasting,
            inbound: Inbound::new(version, inbound),
            remembered: Remembered::default(),
            ops: Vec::new(),
            steps: Vec::new(),
            unanswered: 0,
            pressed: Vec::new(),
        }
    }

    fn holder(&self) -> Holder {
        self.wire.holder.clone()
    }

    /// Carries out a packet as far as it goes without the store.
    ///
    /// # Errors
    /// The connection ends.
    pub(crate) fn hear(&mut self, packet: Packet, now_ms: UnixMs) -> Result<(), End> {
        match packet {
            Packet::Publish(publish) => self.publish(publish, now_ms),
            Packet::Puback(ack) => {
                let found = self.wire.lock().outbox.puback(ack.packet_id);
                self.note_acked(found, |holder, seq, sent| Op::Ack { holder, seq, sent });
                Ok(())
            }
            Packet::Pubrec(ack) => self.pubrec(ack.packet_id, ack.reason),
            Packet::Pubrel(ack) => {
                self.pubrel(ack.packet_id);
                Ok(())
            }
            Packet::Pubcomp(ack) => {
                let found = self.wire.lock().outbox.pubcomp(ack.packet_id);
                self.note_acked(found, |holder, seq, _| Op::Complete { holder, seq });
                Ok(())
            }
            Packet::Subscribe(subscribe) => self.subscribe(subscribe),
            Packet::Unsubscribe(unsubscribe) => {
                self.unsubscribe(unsubscribe);
                Ok(())
            }
            Packet::Pingreq => {
                self.wire.lock().outbox.say(&Packet::Pingresp);
                Ok(())
            }
            Packet::Disconnect(disconnect) => Err(self.disconnect(&disconnect)),
            // A second CONNECT [MQTT-3.1.0-2]; AUTH without a method in CONNECT [MQTT-4.12.0-6]; what only servers say.
            _ => Err(End::Told(Reason::ProtocolError)),
        }
    }

    fn note_acked(&mut self, found: Option<u64>, op: impl FnOnce(Holder, u64, u64) -> Op) {
        if let Some(seq) = found.filter(|_| self.lasting) {
            let sent = self.wire.lock().outbox.sent();
            self.ops.push(op(self.holder(), seq, sent));
            self.steps.push(Step::Quiet);
        }
    }

    /// An acknowledgement, now or when its turn comes.
    fn say(&mut self, kind: Kind, id: PacketId, reason: Reason) {
        if self.steps.is_empty() {
            self.wire.lock().outbox.ack(kind, id, reason);
        } else {
            self.steps.push(Step::Say(kind, id, reason));
        }
    }

    fn publish(&mut self, mut publish: Publish, now_ms: UnixMs) -> Result<(), End> {
        let delivery = publish.delivery;
        let accepted = self.inbound.accept(&mut publish, self.unanswered).map_err(End::Told)?;
        self.hub.metrics.note_received(delivery.qos());
        let answer = match delivery {
            Delivery::AtMostOnce => None,
            Delivery::AtLeastOnce(id) => Some((Kind::Puback, id)),
            Delivery::ExactlyOnce(id) => Some((Kind::Pubrec, id)),
        };
        if accepted == Accepted::Repeated {
            if let Some((kind, id)) = answer {
                self.say(kind, id, Reason::Success);
            }
            return Ok(());
        }
        if let Some(reason) = self.objection(&publish) {
            self.hub.metrics.dropped_denied.add(1);
            return self.refuse(answer, reason);
        }
        let message = Message::published(publish, &self.party.0.client, now_ms);
        let guard = match delivery {
            Delivery::ExactlyOnce(id) if self.lasting => {
                Some(Guard::Inbound { holder: self.holder(), packet_id: id.get() })
            }
            _ => None,
        };
        let when = if guard.is_some() { Deliver::Later } else { Deliver::Now };
        let matches = self.hub.matches(&mut self.remembered, &message.topic, Some(&self.party));
        let mut plan = self.hub.plan(&matches, &message, when, now_ms);
        self.pressed.append(&mut plan.pressed);
        if let Some((op, message)) = plan.op(&message, guard) {
            self.unanswered += usize::from(matches!(delivery, Delivery::AtLeastOnce(_)));
            self.ops.push(op);
            self.steps.push(Step::Published { answer, message, plan });
        } else if let Some((kind, id)) = answer {
            self.say(kind, id, if plan.nobody { Reason::NoMatchingSubscribers } else { Reason::Success });
        }
        Ok(())
    }

    /// Why a publication is not carried out.
    fn objection(&self, publish: &Publish) -> Option<Reason> {
        if publish.topic.starts_with("$SYS/") || publish.topic.starts_with("$share/") {
            return Some(Reason::NotAuthorized);
        }
        if !self.guest.may_publish(&self.party.0.client, &publish.topic) {
            return Some(Reason::NotAuthorized);
        }
        let is_text = publish.properties.payload_is_text == Some(true);
        (is_text && std::str::from_utf8(&publish.payload).is_err()).then_some(Reason::PayloadFormatInvalid)
    }

    /// 3.1.1 cannot say no: it acknowledges, and the message goes nowhere (3.3.5).
    fn refuse(&mut self, answer: Option<(Kind, PacketId)>, reason: Reason) -> Result<(), End> {
        let Some((kind, id)) = answer else { return Ok(()) };
        if kind == Kind::Pubrec && self.version == Version::V5 {
            // PUBREC with an error ends the exchange [MQTT-4.3.3-9].
            self.inbound.release(id);
        }
        self.say(kind, id, if self.version == Version::V5 { reason } else { Reason::Success });
        Ok(())
    }

    fn pubrec(&mut self, id: PacketId, reason: Reason) -> Result<(), End> {
        let refused = reason.is_error();
        let found = self.wire.lock().outbox.pubrec(id, refused);
        match found {
            Some(_) if refused => self.note_acked(found, |holder, seq, sent| Op::Ack { holder, seq, sent }),
            Some(seq) if self.lasting => {
                // The store knows before the client is told to go on, so that nobody sends the message again.
                let sent = self.wire.lock().outbox.sent();
                self.ops.push(Op::Received { holder: self.holder(), seq, sent });
                self.steps.push(Step::Then(Kind::Pubrel, id));
            }
            Some(_) => self.say(Kind::Pubrel, id, Reason::Success),
            None if refused => {}
            None => self.say(Kind::Pubrel, id, Reason::PacketIdNotFound),
        }
        Ok(())
    }

    fn pubrel(&mut self, id: PacketId) {
        let known = self.inbound.release(id);
        if known && self.lasting {
            self.ops.push(Op::Released { holder: self.holder(), packet_id: id.get() });
            self.steps.push(Step::Then(Kind::Pubcomp, id));
        } else {
            self.say(Kind::Pubcomp, id, if known { Reason::Success } else { Reason::PacketIdNotFound });
        }
    }

    fn subscribe(&mut self, subscribe: Subscribe) -> Result<(), End> {
        let mut reasons = Vec::with_capacity(subscribe.subscriptions.len());
        let mut count = self.party.lock().filters.len();
        for subscription in subscribe.subscriptions {
            let filter = subscription.filter;
            count += 1;
            let plain = topic::shared(&filter).map_or(&*filter, |(_, rest)| rest);
            let objection = if topic::check_filter(&filter).is_err() {
                Some(Reason::TopicFilterInvalid)
            } else if !self.guest.may_subscribe(&self.party.0.client, plain) {
                Some(Reason::NotAuthorized)
            } else if count > SUBSCRIPTIONS_MAX {
                Some(Reason::QuotaExceeded)
            } else {
                None
            };
            if let Some(reason) = objection {
                // 3.1.1 knows one failure, which the codec says [MQTT-3.9.3-2].
                reasons.push(reason);
                continue;
            }
            let granted = Granted { options: subscription.options, id: subscribe.subscription_id };
            let filter = ByteString::from(&*filter);
            reasons.push(Reason::granted(subscription.options.qos));
            self.ops.push(Op::Subscribe { holder: self.holder(), filter: filter.clone(), granted });
            self.steps.push(Step::Subscribed { filter, granted });
        }
        let (reason_string, user) = (None, UserProperties::default());
        let suback = Suback { packet_id: subscribe.packet_id, reasons, reason_string, user };
        self.steps.push(Step::Suback(suback));
        Ok(())
    }

    fn unsubscribe(&mut self, unsubscribe: Unsubscribe) {
        let mut reasons = Vec::with_capacity(unsubscribe.filters.len());
        for filter in unsubscribe.filters {
            let filter = ByteString::from(&*filter);
            let at = reasons.len();
            reasons.push(Reason::NoSubscriptionExisted);
            self.ops.push(Op::Unsubscribe { holder: self.holder(), filter: filter.clone() });
            self.steps.push(Step::Unsubscribed { filter, at });
        }
        let (reason_string, user) = (None, UserProperties::default());
        let unsuback = Unsuback { packet_id: unsubscribe.packet_id, reasons, reason_string, user };
        self.steps.push(Step::Unsuback(unsuback));
    }

    fn disconnect(&mut self, disconnect: &Disconnect) -> End {
        if let Some(expiry_s) = disconnect.session_expiry_s {
            if expiry_s > 0 && self.expiry_s == 0 {
                // [MQTT-3.14.2-2]: a session that was to end cannot be made to last.
                return End::Told(Reason::ProtocolError);
            }
            self.expiry_s = expiry_s.min(SESSION_EXPIRY_MAX_S);
        }
        End::Goodbye { will: disconnect.reason == Reason::DisconnectWithWill }
    }

    /// Messages that will not be sent are forgotten by the store.
    pub(crate) fn pass_over(&mut self, seq: u64, sent: u64) {
        self.ops.push(Op::Ack { holder: self.holder(), seq, sent });
        self.steps.push(Step::Quiet);
    }

    /// What the store is to do now. Steps that wait for nothing are carried out here.
    pub(crate) fn take_batch(&mut self, now_ms: UnixMs) -> Option<Batch> {
        if self.ops.is_empty() {
            let steps = std::mem::take(&mut self.steps);
            // Without operations there is nothing that could be refused.
            let _ = self.follow(steps, Vec::new(), now_ms);
            return None;
        }
        Some(Batch { ops: std::mem::take(&mut self.ops), steps: std::mem::take(&mut self.steps) })
    }

    /// The store has answered.
    ///
    /// # Errors
    /// The session is another's.
    pub(crate) fn follow_up(&mut self, batch: Vec<Outcome>, steps: Steps, now_ms: UnixMs) -> Result<(), End> {
        self.unanswered = 0;
        self.follow(steps.0, batch, now_ms)
    }

    fn follow(&mut self, steps: Vec<Step>, outcomes: Vec<Outcome>, now_ms: UnixMs) -> Result<(), End> {
        let mut outcomes = outcomes.into_iter();
        let mut news: Vec<(usize, bool)> = Vec::new();
        let mut retained: Vec<(How, Vec<Arc<Message>>)> = Vec::new();
        for step in steps {
            match step {
                Step::Say(kind, id, reason) => self.wire.lock().outbox.ack(kind, id, reason),
                Step::Quiet => {
                    succeeded(outcomes.next())?;
                }
                Step::Then(kind, id) => {
                    succeeded(outcomes.next())?;
                    self.wire.lock().outbox.ack(kind, id, Reason::Success);
                }
                Step::Published { answer, message, mut plan } => {
                    let Some(Outcome::Published(done)) = succeeded(outcomes.next())? else { return Err(End::Lost) };
                    self.hub.finish(&mut plan, &message, &done, now_ms);
                    self.pressed.append(&mut plan.pressed);
                    if let Some((kind, id)) = answer {
                        let unheard = plan.nobody && !message.retain;
                        let reason = if unheard { Reason::NoMatchingSubscribers } else { Reason::Success };
                        self.wire.lock().outbox.ack(kind, id, reason);
                    }
                }
                Step::Subscribed { filter, granted } => {
                    let outcome = succeeded(outcomes.next())?;
                    let Some(Outcome::Changed { existed, version }) = outcome else { return Err(End::Lost) };
                    retained.push(self.enter(&filter, granted, existed, version, now_ms));
                }
                Step::Suback(suback) => {
                    self.wire.post(|outbox| outbox.say(&Packet::Suback(suback)));
                    self.send_retained(std::mem::take(&mut retained), now_ms);
                }
                Step::Unsubscribed { filter, at } => {
                    let outcome = succeeded(outcomes.next())?;
                    let Some(Outcome::Changed { existed, version }) = outcome else { return Err(End::Lost) };
                    self.hub.unsubscribe(&self.party, &filter, version);
                    news.push((at, existed));
                }
                Step::Unsuback(mut unsuback) => {
                    for (at, existed) in std::mem::take(&mut news) {
                        if existed && let Some(reason) = unsuback.reasons.get_mut(at) {
                            *reason = Reason::Success;
                        }
                    }
                    self.wire.post(|outbox| outbox.say(&Packet::Unsuback(unsuback)));
                }
            }
        }
        Ok(())
    }

    /// Enters a subscription into the routes; returns the retained messages that it gets [MQTT-3.3.1-9] to
    /// [MQTT-3.3.1-11]. A shared one gets none.
    fn enter(
        &self,
        filter: &ByteString,
        granted: Granted,
        existed: bool,
        version: u64,
        now_ms: UnixMs,
    ) -> (How, Vec<Arc<Message>>) {
        let wanted = match granted.options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => !existed,
            RetainHandling::DoNotSend => false,
        };
        let wanted = wanted && topic::shared(filter).is_none();
        let found = self.hub.subscribe(&self.party, filter, granted, version, wanted.then_some(now_ms));
        let how = How { qos: granted.options.qos, retain: true, ids: granted.id.into_iter().collect(), share: None };
        (how, found)
    }

    /// Retained messages of a new subscription [MQTT-3.3.1-8].
    fn send_retained(&mut self, found: Vec<(How, Vec<Arc<Message>>)>, now_ms: UnixMs) {
        for (how, messages) in found {
            for message in messages {
                let how = How { qos: how.qos.min(message.qos), ..how.clone() };
                if self.lasting && how.qos > crate::mqtt::codec::Qos::AtMostOnce {
                    self.queue_retained(message, how);
                    continue;
                }
                with_encoded(|encoded| {
                    let mut frames = Frames::kept(&message, now_ms, encoded);
                    self.wire.post(|outbox| outbox.deliver(&mut frames, &how))
                });
            }
        }
    }

    /// To a lasting session retained messages come through its queue, like all others.
    fn queue_retained(&mut self, message: Arc<Message>, how: How) {
        let message = Arc::new(Message { retain: false, ..(*message).clone() });
        let plan = Plan::to_one(self.party.clone(), how);
        self.ops.push(plan.publication(Arc::clone(&message), None));
        self.steps.push(Step::Published { answer: None, message, plan });
    }
}

/// What follows a batch.
pub(crate) struct Steps(Vec<Step>);

impl Batch {
    pub(crate) fn parts(self) -> (Vec<Op>, Steps) {
        (self.ops, Steps(self.steps))
    }
}

/// Nothing more is said for a session that another holds.
fn succeeded(outcome: Option<Outcome>) -> Result<Option<Outcome>, End> {
    match outcome {
        Some(Outcome::Fenced) => Err(End::Told(Reason::SessionTakenOver)),
        other => Ok(other),
    }
}
