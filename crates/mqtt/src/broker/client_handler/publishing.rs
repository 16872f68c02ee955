//! PUBLISH from a client: who may, who gets it, and what the store has to have before it is acknowledged.

use bytestring::ByteString;

use super::super::publish::Deliver;
use super::after_commit::FollowUp;
use super::{Conversation, End};
use crate::codec::{Delivery, PacketId, PacketKind, Publish, Reason, Version};
use crate::limits::MATCHES_REMEMBERED;
use crate::message::{Message, UnixMs};
use crate::session::Accepted;
use crate::store::DedupKey;

impl Conversation {
    pub(super) fn publish(&mut self, mut publish: Publish, now_ms: UnixMs) -> Result<(), End> {
        let delivery = publish.delivery;
        let accepted = self.inbound.accept(&mut publish, self.unanswered).map_err(End::Told)?;
        self.heard.publications[delivery.qos() as usize] += 1;
        let answer = match delivery {
            Delivery::AtMostOnce => None,
            Delivery::AtLeastOnce(id) => Some((PacketKind::Puback, id)),
            Delivery::ExactlyOnce(id) => Some((PacketKind::Pubrec, id)),
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
                Some(DedupKey::Inbound { holder: self.holder(), packet_id: id.get() })
            }
            _ => None,
        };
        let when = if guard.is_some() { Deliver::Later } else { Deliver::Now };
        let matches = self.hub.matches(&mut self.remembered, &message.topic, Some(&self.party));
        let mut plan = self.hub.plan(&matches, &message, when, now_ms);
        self.stirred |= std::mem::take(&mut plan.stirred);
        self.pressed.append(&mut plan.pressed);
        if let Some((op, message)) = plan.op(&message, guard) {
            self.unanswered += usize::from(matches!(delivery, Delivery::AtLeastOnce(_)));
            self.ops.push(op);
            self.steps.push(FollowUp::Published { answer, message, plan });
        } else if let Some((kind, id)) = answer {
            self.say(kind, id, plan.verdict(kind));
        }
        Ok(())
    }

    /// Why a publication is not carried out.
    fn objection(&mut self, publish: &Publish) -> Option<Reason> {
        if !self.may_publish(&publish.topic) {
            return Some(Reason::NotAuthorized);
        }
        let is_text = publish.properties.payload_is_text == Some(true);
        (is_text && std::str::from_utf8(&publish.payload).is_err()).then_some(Reason::PayloadFormatInvalid)
    }

    fn may_publish(&mut self, topic: &ByteString) -> bool {
        if self.permitted.last == *topic {
            return true;
        }
        if let Some(known) = self.permitted.topics.get(topic) {
            self.permitted.last = known.clone();
            return true;
        }
        let is_ours = topic.starts_with("$SYS/") || topic.starts_with("$share/");
        if is_ours || !self.guest.may_publish(&self.party.0.client, topic) {
            return false;
        }
        if self.permitted.topics.len() >= MATCHES_REMEMBERED {
            self.permitted.topics.clear();
        }
        self.permitted.last = ByteString::from(&**topic);
        self.permitted.topics.insert(self.permitted.last.clone());
        true
    }

    /// 3.1.1 cannot say no: it acknowledges, and the message goes nowhere (3.3.5).
    fn refuse(&mut self, answer: Option<(PacketKind, PacketId)>, reason: Reason) -> Result<(), End> {
        let Some((kind, id)) = answer else { return Ok(()) };
        if kind == PacketKind::Pubrec && self.version == Version::V5 {
            // PUBREC with an error ends the exchange [MQTT-4.3.3-9].
            self.inbound.release(id);
        }
        self.say(kind, id, if self.version == Version::V5 { reason } else { Reason::Success });
        Ok(())
    }
}
