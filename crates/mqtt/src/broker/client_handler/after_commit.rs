//! What follows a batch that the store has carried out, in order.

use std::sync::Arc;

use bytestring::ByteString;

use super::super::publish::DeliveryPlan;
use super::{ClientHandler, ConnectionEnd};
use crate::codec::{Packet, PacketId, PacketKind, Reason, Suback, Unsuback};
use crate::message::{Message, UnixMs};
use crate::router::GrantedSubscription;
use crate::store::{DeliveryOptions, StoreOp, StoreOutcome};

/// What follows.
pub(super) enum FollowUp {
    /// An acknowledgement that waits for its turn.
    Say(PacketKind, PacketId, Reason),
    /// The next outcome belongs to an operation after which nothing is said.
    Quiet,
    /// The next outcome belongs to an operation after which this is said.
    Then(PacketKind, PacketId),
    Published {
        answer: Option<(PacketKind, PacketId)>,
        message: Arc<Message>,
        plan: DeliveryPlan,
    },
    Subscribed {
        filter: ByteString,
        granted: GrantedSubscription,
    },
    Suback(Suback),
    Unsubscribed {
        filter: ByteString,
        at: usize,
    },
    Unsuback(Unsuback),
}

/// What goes to the store, and what is done with the answer.
pub(crate) struct StoreBatch {
    pub(crate) ops: Vec<StoreOp>,
    steps: Vec<FollowUp>,
}

/// What follows a batch.
pub(crate) struct Steps(Vec<FollowUp>);

impl StoreBatch {
    pub(crate) fn parts(self) -> (Vec<StoreOp>, Steps) {
        (self.ops, Steps(self.steps))
    }
}

impl ClientHandler {
    /// What the store is to do now. Steps that wait for nothing are carried out here.
    pub(crate) fn take_batch(&mut self, now_ms: UnixMs) -> Option<StoreBatch> {
        if self.ops.is_empty() {
            let steps = std::mem::take(&mut self.steps);
            // Without operations there is nothing that could be refused.
            let _ = self.follow(steps, Vec::new(), now_ms);
            return None;
        }
        Some(StoreBatch { ops: std::mem::take(&mut self.ops), steps: std::mem::take(&mut self.steps) })
    }

    /// The store has answered.
    ///
    /// # Errors
    /// The session is another's.
    pub(crate) fn follow_up(
        &mut self,
        batch: Vec<StoreOutcome>,
        steps: Steps,
        now_ms: UnixMs,
    ) -> Result<(), ConnectionEnd> {
        self.unanswered = 0;
        self.follow(steps.0, batch, now_ms)
    }

    fn follow(
        &mut self,
        steps: Vec<FollowUp>,
        outcomes: Vec<StoreOutcome>,
        now_ms: UnixMs,
    ) -> Result<(), ConnectionEnd> {
        let followed = self.take_steps(steps, outcomes, now_ms);
        followed.and(self.flush_acks())
    }

    fn take_steps(
        &mut self,
        steps: Vec<FollowUp>,
        outcomes: Vec<StoreOutcome>,
        now_ms: UnixMs,
    ) -> Result<(), ConnectionEnd> {
        let mut outcomes = outcomes.into_iter();
        let mut news: Vec<(usize, bool)> = Vec::new();
        let mut retained: Vec<(DeliveryOptions, Vec<Arc<Message>>)> = Vec::new();
        for step in steps {
            match step {
                FollowUp::Say(kind, id, reason) => self.acks.answers.push((kind, id, reason)),
                FollowUp::Quiet => {
                    succeeded(outcomes.next())?;
                }
                FollowUp::Then(kind, id) => {
                    succeeded(outcomes.next())?;
                    self.acks.answers.push((kind, id, Reason::Success));
                }
                FollowUp::Published { answer, message, mut plan } => {
                    let Some(StoreOutcome::Published(done)) = succeeded(outcomes.next())? else {
                        return Err(ConnectionEnd::Lost);
                    };
                    self.replica.apply_published(&mut plan, &message, &done, now_ms);
                    self.delivered |= plan.delivered;
                    self.congested.append(&mut plan.congested);
                    if let Some((kind, id)) = answer {
                        self.acks.answers.push((kind, id, plan.ack_reason(kind)));
                    }
                }
                FollowUp::Subscribed { filter, granted } => {
                    let outcome = succeeded(outcomes.next())?;
                    let Some(StoreOutcome::Changed { existed, version }) = outcome else {
                        return Err(ConnectionEnd::Lost);
                    };
                    retained.push(self.enter(&filter, granted, existed, version, now_ms));
                }
                FollowUp::Suback(suback) => {
                    self.connection.post(|outbox| outbox.send(&Packet::Suback(suback)));
                    self.send_retained(std::mem::take(&mut retained), now_ms);
                }
                FollowUp::Unsubscribed { filter, at } => {
                    let outcome = succeeded(outcomes.next())?;
                    let Some(StoreOutcome::Changed { existed, version }) = outcome else {
                        return Err(ConnectionEnd::Lost);
                    };
                    self.replica.unsubscribe(&self.session, &filter, version);
                    news.push((at, existed));
                }
                FollowUp::Unsuback(mut unsuback) => {
                    for (at, existed) in std::mem::take(&mut news) {
                        if existed && let Some(reason) = unsuback.reasons.get_mut(at) {
                            *reason = Reason::Success;
                        }
                    }
                    self.connection.post(|outbox| outbox.send(&Packet::Unsuback(unsuback)));
                }
            }
        }
        Ok(())
    }
}

/// Nothing more is said for a session that another holds.
fn succeeded(outcome: Option<StoreOutcome>) -> Result<Option<StoreOutcome>, ConnectionEnd> {
    match outcome {
        Some(StoreOutcome::Fenced) => Err(ConnectionEnd::Closed(Reason::SessionTakenOver)),
        other => Ok(other),
    }
}
