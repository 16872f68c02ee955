//! Operations for the store, each with what follows its outcome. The list keeps the order of the client's packets, so
//! that replies leave in that order.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use tokio::time::Instant;

use super::super::publish::DeliveryPlan;
use super::super::replica::Replica;
use super::{ClientHandler, CommitUnderWay, ConnectionEnd};
use crate::codec::{Ack, Packet, PacketId, PacketKind, Reason, Suback, Unsuback, UserProperties};
use crate::limits::BACKPRESSURE_WAIT;
use crate::message::{Message, UnixMs};
use crate::router::GrantedSubscription;
use crate::store::{DeliveryOptions, Published, StoreError, StoreOp, StoreOutcome, commit_with};

/// What follows an operation once the store has committed it.
pub(crate) struct AfterCommit {
    action: NextStep,
    /// Replies behind the action, those of later packets that need no store included.
    replies: Vec<ClientReply>,
}

pub(super) enum NextStep {
    None,
    /// The intake has what is acknowledged.
    Acknowledge(PacketKind, PacketId, Reason),
    Publish {
        ack: Option<(PacketKind, PacketId)>,
        message: Arc<Message>,
        plan: DeliveryPlan,
    },
    Subscribe {
        filter: ByteString,
        granted: GrantedSubscription,
    },
    Unsubscribe {
        filter: ByteString,
    },
    /// As an unsubscription that the client did not ask for.
    Revoke {
        filter: ByteString,
    },
}

/// A packet for the client that waits for the operations before it.
pub(super) enum ClientReply {
    Ack(PacketKind, PacketId, Reason),
    /// With the reason in words.
    Refusal(PacketKind, Box<Ack>),
    Suback(Suback),
    /// Its reasons are those of the [`NextStep::Unsubscribe`]s before it.
    Unsuback(PacketId),
}

/// Between two tries to give a message to a full queue.
const FULL_PAUSE: Duration = Duration::from_millis(100);

/// Each continuation of a batch with the outcome of its operation.
pub(crate) type Committed = Vec<(AfterCommit, StoreOutcome)>;

/// Commits a batch, and waits for the intake if an acknowledgement does.
///
/// # Errors
/// As [`Store::commit`](crate::store::Store::commit); or the intake does not keep what it received.
pub(crate) async fn commit_batch(
    replica: &Replica,
    batch: Vec<(Option<StoreOp>, AfterCommit)>,
    is_told_refusals: bool,
) -> Result<Committed, StoreError> {
    let awaits_intake = batch.iter().any(|(_, after)| after.awaits_intake());
    let committed = match is_told_refusals {
        true => commit_with(&*replica.store, batch).await?,
        false => commit_held_back(replica, batch).await?,
    };
    if let Some(intake) = replica.intake.get().filter(|_| awaits_intake) {
        intake.kept().await?;
    }
    Ok(committed)
}

/// Commits a batch of a client that cannot be told what is refused: it is held back until full queues have taken its
/// messages, or for [`BACKPRESSURE_WAIT`].
async fn commit_held_back(
    replica: &Replica,
    batch: Vec<(Option<StoreOp>, AfterCommit)>,
) -> Result<Committed, StoreError> {
    let mut committed = commit_with(&*replica.store, batch).await?;
    let deadline = Instant::now() + BACKPRESSURE_WAIT;
    loop {
        let refused = committed.iter_mut().filter_map(|(after, outcome)| after.retry_refused(outcome));
        let retries: Vec<_> = refused.map(|(op, rest)| (Some(op), rest)).collect();
        if retries.is_empty() || Instant::now() >= deadline {
            return Ok(committed);
        }
        replica.metrics.held_back.add(1);
        tokio::time::sleep(FULL_PAUSE).await;
        for ((published, receivers), outcome) in commit_with(&*replica.store, retries).await? {
            let StoreOutcome::Published(again) = outcome else { continue };
            published.refused = again.refused.iter().filter_map(|at| receivers.get(*at).copied()).collect();
            for (at, number) in receivers.into_iter().zip(again.numbers) {
                if let Some(place) = published.numbers.get_mut(at) {
                    *place = number;
                }
            }
        }
    }
}

impl AfterCommit {
    fn awaits_intake(&self) -> bool {
        match &self.action {
            NextStep::Acknowledge(..) => true,
            NextStep::Publish { plan, .. } => plan.awaits_intake,
            _ => false,
        }
    }

    /// The operation that gives a message of QoS above 0 to the queues that had no room, with those and the outcome that
    /// it completes.
    fn retry_refused<'a>(&self, outcome: &'a mut StoreOutcome) -> Option<(StoreOp, (&'a mut Published, Vec<usize>))> {
        let (NextStep::Publish { ack: Some(_), message, plan }, StoreOutcome::Published(published)) =
            (&self.action, outcome)
        else {
            return None;
        };
        let receivers = published.refused.clone();
        (!receivers.is_empty()).then(|| (plan.append_op(message, &receivers), (published, receivers)))
    }
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
        self.has_store_op = true;
        self.batch.push((Some(op), AfterCommit { action, replies: Vec::new() }));
    }

    /// Acknowledges what only the intake has, with the next batch.
    pub(super) fn enqueue_ack(&mut self, kind: PacketKind, id: PacketId, reason: Reason) {
        let action = NextStep::Acknowledge(kind, id, reason);
        self.batch.push((None, AfterCommit { action, replies: Vec::new() }));
    }

    /// Adds an operation after which an acknowledgement is sent.
    pub(super) fn enqueue_with_ack(&mut self, op: StoreOp, kind: PacketKind, id: PacketId) {
        let replies = vec![ClientReply::Ack(kind, id, Reason::Success)];
        self.has_store_op = true;
        self.batch.push((Some(op), AfterCommit { action: NextStep::None, replies }));
    }

    /// Sends a reply behind those of the operations that are not committed yet.
    pub(super) fn reply(&mut self, reply: ClientReply, now_ms: UnixMs) -> Result<(), ConnectionEnd> {
        match self.last_uncommitted() {
            Some(after) => {
                after.replies.push(reply);
                Ok(())
            }
            None => self.send_reply(reply, &mut Gathered::default(), now_ms),
        }
    }

    /// What the next reply has to wait for.
    fn last_uncommitted(&mut self) -> Option<&mut AfterCommit> {
        if self.batch.is_empty() && self.committing.is_some() {
            self.batch.push((None, AfterCommit { action: NextStep::None, replies: Vec::new() }));
        }
        self.batch.last_mut().map(|(_, after)| after)
    }

    /// An acknowledgement behind those of the operations that are not committed yet.
    pub(super) fn reply_ack(&mut self, kind: PacketKind, id: PacketId, reason: Reason) {
        match self.last_uncommitted() {
            Some(after) => after.replies.push(ClientReply::Ack(kind, id, reason)),
            None => self.acks.unsent.push((kind, id, reason)),
        }
    }

    /// The operations for the store, to be committed now; empty: there are none.
    pub(crate) fn take_batch(&mut self) -> Vec<(Option<StoreOp>, AfterCommit)> {
        let batch = std::mem::take(&mut self.batch);
        if !batch.is_empty() {
            let unanswered = std::mem::take(&mut self.unanswered);
            let is_intake_only = !std::mem::take(&mut self.has_store_op);
            self.committing = Some(CommitUnderWay { unanswered, is_intake_only });
        }
        batch
    }

    /// Publications of QoS 1 that are not acknowledged.
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered + self.committing.map_or(0, |commit| commit.unanswered)
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
        (self.committing, self.gathered) = (None, 0);
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
            (NextStep::Acknowledge(kind, id, reason), _) => self.acks.unsent.push((kind, id, reason)),
            (NextStep::Publish { ack, message, mut plan }, StoreOutcome::Published(published)) => {
                self.replica.apply_published(&mut plan, &message, &published, now_ms);
                self.delivered |= plan.delivered;
                self.congested.append(&mut plan.congested);
                match ack {
                    Some((kind, id)) if !published.refused.is_empty() => self.refuse_full(kind, id)?,
                    Some((kind, id)) => self.acks.unsent.push((kind, id, plan.ack_reason(kind))),
                    None => {}
                }
            }
            (NextStep::Subscribe { filter, granted }, StoreOutcome::Changed { existed, version, .. }) => {
                gathered.retained.push(self.add_route(&filter, granted, existed, version, now_ms));
                self.release_share(&filter);
            }
            (NextStep::Unsubscribe { filter }, StoreOutcome::Changed { existed, version, .. }) => {
                self.replica.unsubscribe(&self.session, &filter, version);
                gathered.unsubscribed.push(if existed { Reason::Success } else { Reason::NoSubscriptionExisted });
            }
            (NextStep::Revoke { filter }, StoreOutcome::Changed { version, .. }) => {
                self.replica.unsubscribe(&self.session, &filter, version);
            }
            _ => return Err(ConnectionEnd::Lost),
        }
        replies.into_iter().try_for_each(|reply| self.send_reply(reply, gathered, now_ms))
    }

    /// A queue was full. The exchange of a QoS 2 message ends here, so that its packet id is free.
    fn refuse_full(&mut self, kind: PacketKind, id: PacketId) -> Result<(), ConnectionEnd> {
        if kind == PacketKind::Pubrec && self.inbound.release(id) && self.lasting {
            let op = StoreOp::Released { holder: self.holder(), packet_id: id.get() };
            self.enqueue(op, NextStep::None);
        }
        if !self.is_told_refusals() {
            return Err(ConnectionEnd::Closed(Reason::QuotaExceeded));
        }
        self.acks.unsent.push((kind, id, Reason::QuotaExceeded));
        Ok(())
    }

    /// Acknowledgements are gathered and sent together; SUBACK and UNSUBACK go behind those gathered so far.
    fn send_reply(&mut self, reply: ClientReply, gathered: &mut Gathered, now_ms: UnixMs) -> Result<(), ConnectionEnd> {
        match reply {
            ClientReply::Ack(kind, id, reason) => self.acks.unsent.push((kind, id, reason)),
            ClientReply::Refusal(kind, refusal) => {
                self.flush_acks()?;
                self.connection.post(|outbox| outbox.refuse(kind, &refusal));
            }
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
