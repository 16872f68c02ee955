//! What follows a batch that the store has carried out, in order.

use std::sync::Arc;

use bytestring::ByteString;

use super::super::publish::DeliveryPlan;
use super::{Conversation, End};
use crate::codec::{Packet, PacketId, PacketKind, Reason, Suback, Unsuback};
use crate::message::{Message, UnixMs};
use crate::router::Granted;
use crate::store::{DeliveryOptions, Op, StoreOutcome};

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
pub(crate) struct StoreBatch {
    pub(crate) ops: Vec<Op>,
    steps: Vec<FollowUp>,
}

/// What follows a batch.
pub(crate) struct Steps(Vec<FollowUp>);

impl StoreBatch {
    pub(crate) fn parts(self) -> (Vec<Op>, Steps) {
        (self.ops, Steps(self.steps))
    }
}

impl Conversation {
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
    pub(crate) fn follow_up(&mut self, batch: Vec<StoreOutcome>, steps: Steps, now_ms: UnixMs) -> Result<(), End> {
        self.unanswered = 0;
        self.follow(steps.0, batch, now_ms)
    }

    fn follow(&mut self, steps: Vec<FollowUp>, outcomes: Vec<StoreOutcome>, now_ms: UnixMs) -> Result<(), End> {
        let followed = self.take_steps(steps, outcomes, now_ms);
        followed.and(self.answer())
    }

    fn take_steps(&mut self, steps: Vec<FollowUp>, outcomes: Vec<StoreOutcome>, now_ms: UnixMs) -> Result<(), End> {
        let mut outcomes = outcomes.into_iter();
        let mut news: Vec<(usize, bool)> = Vec::new();
        let mut retained: Vec<(DeliveryOptions, Vec<Arc<Message>>)> = Vec::new();
        for step in steps {
            match step {
                FollowUp::Say(kind, id, reason) => self.heard.answers.push((kind, id, reason)),
                FollowUp::Quiet => {
                    succeeded(outcomes.next())?;
                }
                FollowUp::Then(kind, id) => {
                    succeeded(outcomes.next())?;
                    self.heard.answers.push((kind, id, Reason::Success));
                }
                FollowUp::Published { answer, message, mut plan } => {
                    let Some(StoreOutcome::Published(done)) = succeeded(outcomes.next())? else {
                        return Err(End::Lost);
                    };
                    self.hub.finish(&mut plan, &message, &done, now_ms);
                    self.stirred |= plan.stirred;
                    self.pressed.append(&mut plan.pressed);
                    if let Some((kind, id)) = answer {
                        self.heard.answers.push((kind, id, plan.verdict(kind)));
                    }
                }
                FollowUp::Subscribed { filter, granted } => {
                    let outcome = succeeded(outcomes.next())?;
                    let Some(StoreOutcome::Changed { existed, version }) = outcome else { return Err(End::Lost) };
                    retained.push(self.enter(&filter, granted, existed, version, now_ms));
                }
                FollowUp::Suback(suback) => {
                    self.wire.post(|outbox| outbox.say(&Packet::Suback(suback)));
                    self.send_retained(std::mem::take(&mut retained), now_ms);
                }
                FollowUp::Unsubscribed { filter, at } => {
                    let outcome = succeeded(outcomes.next())?;
                    let Some(StoreOutcome::Changed { existed, version }) = outcome else { return Err(End::Lost) };
                    self.hub.unsubscribe(&self.party, &filter, version);
                    news.push((at, existed));
                }
                FollowUp::Unsuback(mut unsuback) => {
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
}

/// Nothing more is said for a session that another holds.
fn succeeded(outcome: Option<StoreOutcome>) -> Result<Option<StoreOutcome>, End> {
    match outcome {
        Some(StoreOutcome::Fenced) => Err(End::Told(Reason::SessionTakenOver)),
        other => Ok(other),
    }
}
