//! PUBLISH from a client: permission, delivery, and what the store must have before the acknowledgement.

use bytestring::ByteString;

use super::super::publish::{DeliveryTiming, refuse_topic};
use super::after_commit::{ClientReply, NextStep};
use super::{ClientHandler, ConnectionEnd};
use crate::codec::{Ack, Delivery, PacketId, PacketKind, Publish, Reason, Version};
use crate::limits::{CACHED_MATCHES_MAX, REASON_STRING_MAX_CHARS};
use crate::message::{Message, UnixMs};
use crate::session::InboundPublish;
use crate::store::DedupKey;

impl ClientHandler {
    pub(super) fn publish(&mut self, mut publish: Publish, now_ms: UnixMs) -> Result<(), ConnectionEnd> {
        let delivery = publish.delivery;
        let accepted = self.inbound.accept(&mut publish, self.unanswered()).map_err(ConnectionEnd::Closed)?;
        self.acks.publications[delivery.qos() as usize] += 1;
        let ack = match delivery {
            Delivery::AtMostOnce => None,
            Delivery::AtLeastOnce(id) => Some((PacketKind::Puback, id)),
            Delivery::ExactlyOnce(id) => Some((PacketKind::Pubrec, id)),
        };
        if accepted == InboundPublish::Repeated {
            if let Some((kind, id)) = ack {
                self.reply_ack(kind, id, Reason::Success);
            }
            return Ok(());
        }
        if let Some((reason, detail)) = self.refusal_reason(&publish) {
            let metrics = &self.replica.metrics;
            let is_format = reason == Reason::PayloadFormatInvalid;
            (if is_format { &metrics.dropped_format } else { &metrics.dropped_denied }).add(1);
            return self.refuse(ack, reason, detail, now_ms);
        }
        let message = Message::published(publish, &self.session.0.client, now_ms);
        let dedup_key = match delivery {
            Delivery::ExactlyOnce(id) if self.lasting => {
                Some(DedupKey::Inbound { holder: self.holder(), packet_id: id.get() })
            }
            _ => None,
        };
        let when = if dedup_key.is_some() { DeliveryTiming::AfterCommit } else { DeliveryTiming::Immediate };
        let matches = self.replica.matches(&mut self.match_cache, &message.topic, Some(&self.session));
        self.visited += self.match_cache.take_visited();
        if !matches.is_complete {
            self.replica.metrics.dropped_costly.add(1);
            return self.refuse(ack, Reason::QuotaExceeded, None, now_ms);
        }
        let mut plan = self.replica.plan_delivery(&matches, &message, when, now_ms);
        self.delivered |= std::mem::take(&mut plan.delivered);
        self.congested.append(&mut plan.congested);
        if let Some((op, message)) = plan.store_op(&message, dedup_key) {
            self.unanswered += usize::from(matches!(delivery, Delivery::AtLeastOnce(_)));
            self.enqueue(op, NextStep::Publish { ack, message, plan });
        } else if let (Some((kind, id)), true) = (ack, plan.awaits_intake) {
            self.unanswered += usize::from(matches!(delivery, Delivery::AtLeastOnce(_)));
            self.enqueue_ack(kind, id, plan.ack_reason(kind));
        } else if let Some((kind, id)) = ack {
            self.reply_ack(kind, id, plan.ack_reason(kind));
        }
        Ok(())
    }

    /// The reason to refuse a publication, and what there is to say of it.
    fn refusal_reason(&mut self, publish: &Publish) -> Option<(Reason, Option<String>)> {
        if let Some(reason) = self.refuse_topic(&publish.topic) {
            return Some((reason, None));
        }
        let is_text = publish.properties.payload_is_text == Some(true);
        if is_text && std::str::from_utf8(&publish.payload).is_err() {
            return Some((Reason::PayloadFormatInvalid, None));
        }
        let fault = self.principal.check_payload(&publish.topic, &publish.payload).err()?;
        Some((Reason::PayloadFormatInvalid, Some(fault)))
    }

    fn refuse_topic(&mut self, topic: &ByteString) -> Option<Reason> {
        if self.acl_cache.last == *topic {
            return None;
        }
        if let Some(known) = self.acl_cache.topics.get(topic) {
            self.acl_cache.last = known.clone();
            return None;
        }
        let refusal = refuse_topic(&self.principal, &self.session.0.client, topic);
        if refusal.is_some() {
            return refusal;
        }
        if self.acl_cache.topics.len() >= CACHED_MATCHES_MAX {
            self.acl_cache.topics.clear();
        }
        self.acl_cache.last = ByteString::from(&**topic);
        self.acl_cache.topics.insert(self.acl_cache.last.clone());
        None
    }

    /// 3.1.1 has no refusal: PUBACK or PUBREC is sent, and the message is dropped (3.3.5).
    fn refuse(
        &mut self,
        ack: Option<(PacketKind, PacketId)>,
        reason: Reason,
        detail: Option<String>,
        now_ms: UnixMs,
    ) -> Result<(), ConnectionEnd> {
        let Some((kind, id)) = ack else { return Ok(()) };
        if kind == PacketKind::Pubrec && self.version == Version::V5 {
            // PUBREC with an error ends the exchange [MQTT-4.3.3-9].
            self.inbound.release(id);
        }
        if let Some(detail) = detail.filter(|_| self.tells_reasons) {
            let said: String = detail.chars().take(REASON_STRING_MAX_CHARS).collect();
            let refusal = Ack { reason_string: Some(said.into()), ..Ack::because(id, reason) };
            return self.reply(ClientReply::Refusal(kind, Box::new(refusal)), now_ms);
        }
        self.reply_ack(kind, id, if self.version == Version::V5 { reason } else { Reason::Success });
        Ok(())
    }
}
