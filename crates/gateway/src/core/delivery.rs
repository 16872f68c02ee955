//! Deliveries: which batch goes next, what its end means, and what time alone brings about.

use std::time::Duration;

use api::qos_level::{Level, PerLevel};

use super::super::buffer::{BufferedMessage, DeliveryEnd, LaneTarget, SubscriptionId};
use super::super::clock::SinceStart;
use super::super::limits::{BATCH_MAX_BYTES, BATCH_MAX_MESSAGES, DEMAND_PATIENCE_US, RETRY_AFTER_MAX, SILENCE_MAX_US};
use super::super::wire_cost::{self, BatchCost, SentBody};
use super::GatewayCore;

/// The messages of one delivery.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeliveryBatch {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// Its QoS level.
    pub level: Level,
    /// In the order of their numbers.
    pub items: Vec<BufferedMessage>,
    /// What it is planned to take of the rates; `None`: it goes to the gateway's own node.
    pub charge: Option<BatchCharge>,
}

/// What a batch was charged with until it is known what it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchCharge {
    /// Its QoS level.
    level: Level,
    /// The level whose credit was spent.
    from: Level,
    cost: BatchCost,
}

/// The consumer's answer to a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeliveryOutcome {
    /// It has the batch.
    Delivered,
    /// The batch was written to a stream.
    Written,
    /// It does not accept this batch.
    Rejected,
    /// The batch is too large for it.
    TooLarge,
    /// None, or an error: the batch is sent again later.
    Failed,
    /// The same, and it says how long it wants to be left alone.
    Postponed(Duration),
    /// It is gone for good, or leads back to this gateway: the subscription ends.
    Gone,
}

impl GatewayCore {
    /// From now on nothing reaches a consumer, until [`Self::end_silence`].
    pub(super) fn start_silence(&mut self, now: SinceStart, id: SubscriptionId) {
        if let Some(subscription) = self.subscriptions.get_mut(&id)
            && subscription.silent_since.is_none()
        {
            subscription.silent_since = Some(now);
            self.silence_deadlines.insert((now.after(DEMAND_PATIENCE_US), id));
        }
    }

    /// A delivery was answered, or a stream is read.
    pub(super) fn end_silence(&mut self, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return };
        subscription.delivery_answered();
        let Some(since) = subscription.silent_since.take() else { return };
        for limit_us in [DEMAND_PATIENCE_US, SILENCE_MAX_US] {
            self.silence_deadlines.remove(&(since.after(limit_us), id));
        }
        let level = subscription.terms.level;
        if self.is_failing(level, id) {
            self.buffers[level.at()].set_failing(id, false);
            self.revision += 1;
        }
    }

    fn is_failing(&self, level: Level, id: SubscriptionId) -> bool {
        self.buffers[level.at()].lane_demand(id).is_some_and(|(_, is_failing)| is_failing)
    }

    /// A delivery ended; whether the subscription is still there.
    pub fn finish_delivery(&mut self, now: SinceStart, id: SubscriptionId, outcome: DeliveryOutcome) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return false };
        let level = subscription.terms.level;
        let buffer = &mut self.buffers[level.at()];
        let end = match outcome {
            DeliveryOutcome::Delivered => {
                // The silence began with the batch, unless an earlier one failed.
                let sent_at = subscription.silent_since.filter(|_| subscription.failures == 0);
                self.buckets.set_answer_time(level, buffer.observe_answer(id, sent_at.map_or(0, |at| now.since(at))));
                DeliveryEnd::Delivered
            }
            DeliveryOutcome::Written => DeliveryEnd::Written,
            DeliveryOutcome::Rejected => DeliveryEnd::Rejected,
            DeliveryOutcome::TooLarge if buffer.shrink_batches(id) => DeliveryEnd::Failed,
            DeliveryOutcome::TooLarge => DeliveryEnd::Rejected,
            DeliveryOutcome::Failed | DeliveryOutcome::Postponed(_) => {
                let wanted = match outcome {
                    DeliveryOutcome::Postponed(wanted) => wanted.min(RETRY_AFTER_MAX),
                    _ => Duration::ZERO,
                };
                let pause = subscription.delivery_failed().max(wanted);
                let pause_us = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
                buffer.finish_delivery(id, DeliveryEnd::Failed);
                buffer.close(id);
                self.retries.insert((now.after(pause_us), id));
                self.start_silence(now, id);
                return true;
            }
            DeliveryOutcome::Gone => {
                self.unsubscribe(id);
                return false;
            }
        };
        buffer.finish_delivery(id, end);
        self.changes.record_lane(id);
        self.end_silence(id);
        true
    }

    /// What time alone brings about: the end of a lease, of a pause, of the demand of a consumer that fails, of a
    /// subscription that was silent for too long. Returns the subscriptions that ended.
    pub fn tick(&mut self, now: SinceStart) -> Vec<SubscriptionId> {
        self.refresh_buckets(now);
        while let Some((until, id)) = self.retries.first().copied().filter(|(until, _)| *until <= now) {
            self.retries.remove(&(until, id));
            if let Some(subscription) = self.subscriptions.get(&id) {
                let buffer = &mut self.buffers[subscription.terms.level.at()];
                buffer.open(id);
                buffer.probe(id);
            }
        }
        let mut ended = vec![];
        while let Some((until, id)) = self.silence_deadlines.first().copied().filter(|(until, _)| *until <= now) {
            self.silence_deadlines.remove(&(until, id));
            let Some(subscription) = self.subscriptions.get(&id) else { continue };
            let (level, since) = (subscription.terms.level, subscription.silent_since.unwrap_or(now));
            if now.since(since) < SILENCE_MAX_US {
                self.buffers[level.at()].set_failing(id, true);
                self.buffers[level.at()].probe(id);
                self.revision += 1;
                self.silence_deadlines.insert((since.after(SILENCE_MAX_US), id));
            } else if self.unsubscribe(id) {
                ended.push(id);
            }
        }
        ended
    }

    /// The next batch that may be sent now, the best level first.
    pub fn dispatch(&mut self, now: SinceStart) -> Option<DeliveryBatch> {
        let batch = Level::BEST_FIRST
            .into_iter()
            .find_map(|level| self.dispatch_here(now, level))
            .or_else(|| self.dispatch_away(now))
            .or_else(|| self.dispatch_probe(now))?;
        self.start_silence(now, batch.subscription);
        Some(batch)
    }

    fn dispatch_here(&mut self, now: SinceStart, level: Level) -> Option<DeliveryBatch> {
        let wanted = wire_cost::batch_bytes(self.buffers[level.at()].ready_bytes(LaneTarget::Here));
        if wanted == 0 {
            return None;
        }
        let budget = self.local.budget_bytes(now, wanted)?;
        let max_bytes = wire_cost::messages_bytes(budget).min(BATCH_MAX_BYTES);
        let taken = self.buffers[level.at()].next_batch(LaneTarget::Here, max_bytes, BATCH_MAX_MESSAGES)?;
        Some(self.count_sent_here(now, level, taken))
    }

    fn count_sent_here(
        &mut self,
        now: SinceStart,
        level: Level,
        (subscription, items): (SubscriptionId, Vec<BufferedMessage>),
    ) -> DeliveryBatch {
        let bytes = wire_cost::batch_bytes(messages_bytes(&items));
        self.local.spend(bytes);
        self.sent_here[level.at()].add(now, bytes);
        DeliveryBatch { subscription, level, items, charge: None }
    }

    fn dispatch_away(&mut self, now: SinceStart) -> Option<DeliveryBatch> {
        let wanted_bytes = self.wanted_bytes(LaneTarget::Away);
        Level::BEST_FIRST.into_iter().filter(|level| wanted_bytes[level.at()] > 0).find_map(|level| {
            let permit = self.buckets.permit(now, level, &wanted_bytes)?;
            let max_bytes = wire_cost::messages_bytes(permit.bytes).min(self.batch_max_bytes(level));
            let taken = self.buffers[level.at()].next_batch(LaneTarget::Away, max_bytes, BATCH_MAX_MESSAGES)?;
            Some(self.count_sent(now, level, permit.from, taken))
        })
    }

    /// One message to a consumer that fails: it is no demand, and so there may be no rate for it. What it takes is a debt.
    fn dispatch_probe(&mut self, now: SinceStart) -> Option<DeliveryBatch> {
        Level::BEST_FIRST.into_iter().find_map(|level| {
            let (subscription, items) = self.buffers[level.at()].next_probe()?;
            if self.buffers[level.at()].lane_demand(subscription).is_some_and(|(side, _)| side == LaneTarget::Here) {
                return Some(self.count_sent_here(now, level, (subscription, items)));
            }
            Some(self.count_sent(now, level, level, (subscription, items)))
        })
    }

    fn count_sent(
        &mut self,
        now: SinceStart,
        level: Level,
        from: Level,
        (subscription, items): (SubscriptionId, Vec<BufferedMessage>),
    ) -> DeliveryBatch {
        let ppm = self.buffers[level.at()].coded_ppm(subscription);
        let cost = BatchCost::planned(messages_bytes(&items), ppm);
        self.buckets.spend(from, cost.wire_bytes);
        self.sent[level.at()].add(now, cost.wire_bytes);
        self.overheads[level.at()].add(now, cost);
        DeliveryBatch { subscription, level, items, charge: Some(BatchCharge { level, from, cost }) }
    }

    /// A batch is sent in this body or event: the rates are charged with what it takes.
    pub fn settle(&mut self, now: SinceStart, id: SubscriptionId, charge: BatchCharge, body: SentBody) {
        let BatchCharge { level, from, cost: planned } = charge;
        let cost = planned.of_sent(body);
        self.buckets.correct(from, planned.wire_bytes, cost.wire_bytes);
        self.sent[level.at()].correct(now, planned.wire_bytes, cost.wire_bytes);
        self.overheads[level.at()].correct(now, planned, cost);
        self.buffers[level.at()].observe_coding(id, cost.coded_ppm);
    }

    /// What may be in one batch: as much as the level sends until it is answered, for the next one waits for that.
    fn batch_max_bytes(&self, level: Level) -> u64 {
        self.buckets.depth_bytes(level).clamp(BATCH_MAX_BYTES / 16, BATCH_MAX_BYTES)
    }

    /// What could be sent with unlimited credit.
    fn wanted_bytes(&self, side: LaneTarget) -> PerLevel<u64> {
        std::array::from_fn(|at| wire_cost::batch_bytes(self.buffers[at].ready_bytes(side)))
    }

    /// When [`Self::tick`] or [`Self::dispatch`] will have something to do, if nothing happens until then.
    pub fn next_deadline(&self, now: SinceStart) -> Option<SinceStart> {
        let firsts = [self.retries.first(), self.silence_deadlines.first()];
        let firsts = firsts.into_iter().flatten().map(|(until, _)| *until);
        let here: u64 = self.wanted_bytes(LaneTarget::Here).iter().sum();
        let local = if here > 0 { self.local.ready_at(here) } else { None };
        let others =
            [self.buckets.ready_at(&self.wanted_bytes(LaneTarget::Away)), self.lease.next_deadline(now), local];
        firsts.chain(others.into_iter().flatten()).min()
    }
}

fn messages_bytes(items: &[BufferedMessage]) -> u64 {
    items.iter().map(|item| item.message.bytes()).sum()
}
