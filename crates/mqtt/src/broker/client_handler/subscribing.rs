//! SUBSCRIBE and UNSUBSCRIBE, and the retained messages that a new subscription gets.

use std::sync::Arc;

use bytestring::ByteString;

use super::super::publish::DeliveryPlan;
use super::after_commit::{ClientReply, NextStep};
use super::{ClientHandler, ConnectionEnd};
use crate::codec::{Qos, Reason, RetainHandling, Suback, Subscribe, Unsubscribe, UserProperties, topic};
use crate::limits::{SESSION_FILTER_BYTES_MAX, SUBSCRIPTIONS_MAX};
use crate::message::{Message, UnixMs};
use crate::router::GrantedSubscription;
use crate::session::encode_cache::{MessageEncoder, with_encode_cache};
use crate::store::{DeliveryOptions, StoreOp};

impl ClientHandler {
    pub(super) fn subscribe(&mut self, subscribe: Subscribe, now_ms: UnixMs) -> Result<(), ConnectionEnd> {
        let mut reasons = Vec::with_capacity(subscribe.subscriptions.len());
        let (mut count, mut bytes) = {
            let route = self.session.lock();
            (route.filters.len(), route.filters.size_bytes())
        };
        for subscription in subscribe.subscriptions {
            let filter = subscription.filter;
            // A filter that is there already takes no more room.
            let is_new = !self.session.lock().filters.contains(&filter);
            let is_full = is_new
                && (count >= SUBSCRIPTIONS_MAX
                    || bytes + filter.len() > SESSION_FILTER_BYTES_MAX
                    || !self.replica.has_room_to_subscribe());
            let plain = topic::plain(&filter);
            let refusal = if topic::check_filter(&filter).is_err() {
                Some(Reason::TopicFilterInvalid)
            } else if !self.principal.may_subscribe(&self.session.0.client, plain) {
                Some(Reason::NotAuthorized)
            } else if is_full {
                self.replica.metrics.subscriptions_refused.add(1);
                Some(Reason::QuotaExceeded)
            } else {
                None
            };
            if let Some(reason) = refusal {
                // The codec writes every refusal as 0x80 for 3.1.1 [MQTT-3.9.3-2].
                reasons.push(reason);
                continue;
            }
            if is_new {
                (count, bytes) = (count + 1, bytes + filter.len());
            }
            let granted = GrantedSubscription { options: subscription.options, id: subscribe.subscription_id };
            let filter = ByteString::from(&*filter);
            reasons.push(Reason::granted(subscription.options.qos));
            let op = StoreOp::Subscribe { holder: self.holder(), filter: filter.clone(), granted };
            self.enqueue(op, NextStep::Subscribe { filter, granted });
        }
        let (reason_string, user) = (None, UserProperties::default());
        let suback = Suback { packet_id: subscribe.packet_id, reasons, reason_string, user };
        self.reply(ClientReply::Suback(suback), now_ms)
    }

    pub(super) fn unsubscribe(&mut self, unsubscribe: Unsubscribe, now_ms: UnixMs) -> Result<(), ConnectionEnd> {
        for filter in unsubscribe.filters {
            let filter = ByteString::from(&*filter);
            let op = StoreOp::Unsubscribe { holder: self.holder(), filter: filter.clone() };
            self.enqueue(op, NextStep::Unsubscribe { filter });
        }
        self.reply(ClientReply::Unsuback(unsubscribe.packet_id), now_ms)
    }

    /// Adds a subscription to the routes; returns the retained messages for it [MQTT-3.3.1-9] to [MQTT-3.3.1-11]. A
    /// shared one gets none.
    pub(super) fn add_route(
        &self,
        filter: &ByteString,
        granted: GrantedSubscription,
        existed: bool,
        version: u64,
        now_ms: UnixMs,
    ) -> (DeliveryOptions, Vec<Arc<Message>>) {
        let wanted = match granted.options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => !existed,
            RetainHandling::DoNotSend => false,
        };
        let wanted = wanted && topic::shared(filter).is_none();
        let found = self.replica.subscribe(&self.session, filter, granted, version, wanted.then_some(now_ms));
        let options = DeliveryOptions {
            qos: granted.options.qos,
            retain: true,
            ids: granted.id.into_iter().collect(),
            share: None,
        };
        (options, found)
    }

    /// Messages of a shared subscription that wait for members that are away go to those that are here.
    pub(crate) fn release_share(&mut self, filter: &ByteString) {
        if topic::shared(filter).is_none() {
            return;
        }
        for client in self.replica.absent_members(filter) {
            self.enqueue(StoreOp::ReleaseShare { client, share: filter.clone() }, NextStep::None);
        }
    }

    /// Sends the retained messages of new subscriptions [MQTT-3.3.1-8].
    pub(super) fn send_retained(&mut self, found: Vec<(DeliveryOptions, Vec<Arc<Message>>)>, now_ms: UnixMs) {
        for (options, messages) in found {
            for message in messages {
                let options = DeliveryOptions { qos: options.qos.min(message.qos), ..options.clone() };
                if self.lasting && options.qos > Qos::AtMostOnce {
                    self.queue_retained(message, options);
                    continue;
                }
                with_encode_cache(|cache| {
                    let mut encoder = MessageEncoder::from_shared(&message, now_ms, cache);
                    self.connection.post(|outbox| outbox.enqueue(&mut encoder, &options))
                });
            }
        }
    }

    /// A lasting session gets retained messages through its queue, like all others.
    fn queue_retained(&mut self, message: Arc<Message>, options: DeliveryOptions) {
        let message = Arc::new(Message { retain: false, ..(*message).clone() });
        let plan = DeliveryPlan::to_one(self.session.clone(), options);
        let op = plan.publish_op(Arc::clone(&message), None);
        self.enqueue(op, NextStep::Publish { ack: None, message, plan });
    }
}
