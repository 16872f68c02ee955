//! Operations for the store, each with what follows its outcome. The list keeps the order of the client's packets, so
//! that replies leave in that order.

use std::sync::Arc;

use bytestring::ByteString;

use super::super::publish::DeliveryPlan;
use super::{ClientHandler, ConnectionEnd};
use crate::codec::{Packet, PacketId, PacketKind, Reason, Suback, Unsuback, UserProperties};
use crate::message::{Message, UnixMs};
use crate::router::GrantedSubscription;
use crate::store::{DeliveryOptions, StoreOp, StoreOutcome};

/// What follows an operation once the store has committed it.
pub(crate) struct AfterCommit {
    action: NextStep,
    /// Replies behind the action, those of later packets that need no store included.
    replies: Vec<ClientReply>,
}

pub(super) enum NextStep {
    None,
    Publish { ack: Option<(PacketKind, PacketId)>, message: Arc<Message>, plan: DeliveryPlan },
    Subscribe { filter: ByteString, granted: GrantedSubscription },
    Unsubscribe { filter: ByteString },
}

/// A packet for the client that waits for the operations before it.
pub(super) enum ClientReply {
    Ack(PacketKind, PacketId, Reason),
    Suback(Suback),
    /// Its reasons are those of the [`NextStep::Unsubscribe`]s before it.
    Unsuback(PacketId),
}

/// What the operations of one SUBSCRIBE or UNSUBSCRIBE found, until its reply is sent.
#[derive(Default)]
pub(super) struct Gathered {
    retained: Vec<(DeliveryOptions, Vec<Arc<Message>>)>,
    unsubscribed: Vec<Reason>,
}

impl ClientHandler {
    /// Adds an operation to the next batch.
    pub(super) fn enqueue(&mut self, op: StoreOp, action: NextStep) {
        self.batch.push((op, AfterCommit { action, replies: Vec::new() }));
    }

    /// Adds an operation after which an acknowledgement is sent.
    pub(super) fn enqueue_with_ack(&mut self, op: StoreOp, kind: PacketKind, id: PacketId) {
        let replies = vec![ClientReply::Ack(kind, id, Reason::Success)];
        self.batch.push((op, AfterCommit { action: NextStep::None, replies }));
    }

    /// Sends a reply behind those of the operations that are not committed yet.
    pub(super) fn reply(&mut self, reply: ClientReply, now_ms: UnixMs) -> Result<(), ConnectionEnd> {
        match self.batch.last_mut() {
            Some((_, after)) => {
                after.replies.push(reply);
                Ok(())
            }
            None => self.send_reply(reply, &mut Gathered::default(), now_ms),
        }
    }

    /// An acknowledgement behind those of the operations that are not committed yet.
    pub(super) fn reply_ack(&mut self, kind: PacketKind, id: PacketId, reason: Reason) {
        match self.batch.last_mut() {
            Some((_, after)) => after.replies.push(ClientReply::Ack(kind, id, reason)),
            None => self.acks.unsent.push((kind, id, reason)),
        }
    }

    /// The operations for the store; empty: there are none.
    pub(crate) fn take_batch(&mut self) -> Vec<(StoreOp, AfterCommit)> {
        std::mem::take(&mut self.batch)
    }

    /// Carries on after a batch that the store has committed.
    ///
    /// # Errors
    /// Another connection has claimed the session.
    pub(crate) fn apply_outcomes(
        &mut self,
        outcomes: Vec<(AfterCommit, StoreOutcome)>,
        now_ms: UnixMs,
    ) -> Result<(), ConnectionEnd> {
        self.unanswered = 0;
        let mut gathered = Gathered::default();
        let applied = outcomes
            .into_iter()
            .try_for_each(|(after, outcome)| self.apply_outcome(after, outcome, &mut gathered, now_ms));
        applied.and(self.flush_acks())
    }

    fn apply_outcome(
        &mut self,
        AfterCommit { action, replies }: AfterCommit,
        outcome: StoreOutcome,
        gathered: &mut Gathered,
        now_ms: UnixMs,
    ) -> Result<(), ConnectionEnd> {
        match (action, outcome) {
            (_, StoreOutcome::Fenced) => return Err(ConnectionEnd::Closed(Reason::SessionTakenOver)),
            (NextStep::None, _) => {}
            (NextStep::Publish { ack, message, mut plan }, StoreOutcome::Published(published)) => {
                self.replica.apply_published(&mut plan, &message, &published, now_ms);
                self.delivered |= plan.delivered;
                self.congested.append(&mut plan.congested);
                if let Some((kind, id)) = ack {
                    self.acks.unsent.push((kind, id, plan.ack_reason(kind)));
                }
            }
            (NextStep::Subscribe { filter, granted }, StoreOutcome::Changed { existed, version }) => {
                gathered.retained.push(self.add_route(&filter, granted, existed, version, now_ms));
            }
            (NextStep::Unsubscribe { filter }, StoreOutcome::Changed { existed, version }) => {
                self.replica.unsubscribe(&self.session, &filter, version);
                gathered.unsubscribed.push(if existed { Reason::Success } else { Reason::NoSubscriptionExisted });
            }
            _ => return Err(ConnectionEnd::Lost),
        }
        replies.into_iter().try_for_each(|reply| self.send_reply(reply, gathered, now_ms))
    }

    /// Acknowledgements are gathered and sent together; SUBACK and UNSUBACK go behind those gathered so far.
    fn send_reply(&mut self, reply: ClientReply, gathered: &mut Gathered, now_ms: UnixMs) -> Result<(), ConnectionEnd> {
        match reply {
            ClientReply::Ack(kind, id, reason) => self.acks.unsent.push((kind, id, reason)),
            ClientReply::Suback(suback) => {
                self.flush_acks()?;
                self.connection.post(|outbox| outbox.send(&Packet::Suback(suback)));
                self.send_retained(std::mem::take(&mut gathered.retained), now_ms);
            }
            ClientReply::Unsuback(packet_id) => {
                self.flush_acks()?;
                let reasons = std::mem::take(&mut gathered.unsubscribed);
                let (reason_string, user) = (None, UserProperties::default());
                let unsuback = Unsuback { packet_id, reasons, reason_string, user };
                self.connection.post(|outbox| outbox.send(&Packet::Unsuback(unsuback)));
            }
        }
        Ok(())
    }
}
