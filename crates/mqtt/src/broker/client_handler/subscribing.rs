//! SUBSCRIBE and UNSUBSCRIBE, and the retained messages that a new subscription gets.

use std::sync::Arc;

use bytestring::ByteString;

use super::super::publish::DeliveryPlan;
use super::after_commit::FollowUp;
use super::{ClientHandler, ConnectionEnd};
use crate::codec::{Qos, Reason, RetainHandling, Suback, Subscribe, Unsuback, Unsubscribe, UserProperties, topic};
use crate::limits::SUBSCRIPTIONS_MAX;
use crate::message::{Message, UnixMs};
use crate::router::GrantedSubscription;
use crate::session::encode_cache::{MessageEncoder, with_encode_cache};
use crate::store::{DeliveryOptions, StoreOp};

impl ClientHandler {
    pub(super) fn subscribe(&mut self, subscribe: Subscribe) -> Result<(), ConnectionEnd> {
        let mut reasons = Vec::with_capacity(subscribe.subscriptions.len());
        let mut count = self.session.lock().filters.len();
        for subscription in subscribe.subscriptions {
            let filter = subscription.filter;
            count += 1;
            let plain = topic::shared(&filter).map_or(&*filter, |(_, rest)| rest);
            let objection = if topic::check_filter(&filter).is_err() {
                Some(Reason::TopicFilterInvalid)
            } else if !self.principal.may_subscribe(&self.session.0.client, plain) {
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
            let granted = GrantedSubscription { options: subscription.options, id: subscribe.subscription_id };
            let filter = ByteString::from(&*filter);
            reasons.push(Reason::granted(subscription.options.qos));
            self.ops.push(StoreOp::Subscribe { holder: self.holder(), filter: filter.clone(), granted });
            self.steps.push(FollowUp::Subscribed { filter, granted });
        }
        let (reason_string, user) = (None, UserProperties::default());
        let suback = Suback { packet_id: subscribe.packet_id, reasons, reason_string, user };
        self.steps.push(FollowUp::Suback(suback));
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, unsubscribe: Unsubscribe) {
        let mut reasons = Vec::with_capacity(unsubscribe.filters.len());
        for filter in unsubscribe.filters {
            let filter = ByteString::from(&*filter);
            let at = reasons.len();
            reasons.push(Reason::NoSubscriptionExisted);
            self.ops.push(StoreOp::Unsubscribe { holder: self.holder(), filter: filter.clone() });
            self.steps.push(FollowUp::Unsubscribed { filter, at });
        }
        let (reason_string, user) = (None, UserProperties::default());
        let unsuback = Unsuback { packet_id: unsubscribe.packet_id, reasons, reason_string, user };
        self.steps.push(FollowUp::Unsuback(unsuback));
    }

    /// Enters a subscription into the routes; returns the retained messages that it gets [MQTT-3.3.1-9] to
    /// [MQTT-3.3.1-11]. A shared one gets none.
    pub(super) fn enter(
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

    /// Retained messages of a new subscription [MQTT-3.3.1-8].
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

    /// To a lasting session retained messages come through its queue, like all others.
    fn queue_retained(&mut self, message: Arc<Message>, options: DeliveryOptions) {
        let message = Arc::new(Message { retain: false, ..(*message).clone() });
        let plan = DeliveryPlan::to_one(self.session.clone(), options);
        self.ops.push(plan.publish_op(Arc::clone(&message), None));
        self.steps.push(FollowUp::Published { answer: None, message, plan });
    }
}
