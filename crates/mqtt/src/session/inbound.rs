//! From one client to the broker: topic aliases, packet ids of QoS 2, and the Receive Maximum of CONNACK.

use std::collections::HashSet;

use bytestring::ByteString;

use crate::codec::{Delivery, PacketId, Publish, Reason, Version};
use crate::limits::INBOUND_ALIASES_MAX;

/// The incoming half of a session.
#[derive(Debug)]
pub(crate) struct Inbound {
    version: Version,
    /// Publications of QoS 1 and 2 that may be unacknowledged.
    receive_max: u16,
    aliases: Vec<Option<ByteString>>,
    /// Packet ids of QoS 2 that were published and not released [MQTT-4.3.3-10].
    open: HashSet<u16>,
}

/// Whether a PUBLISH is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InboundPublish {
    New,
    /// QoS 2, and published already: only the acknowledgement is wanted.
    Repeated,
}

impl Inbound {
    /// `open`: the packet ids that the session has from earlier connections.
    pub(crate) fn new(version: Version, receive_max: u16, open: &[u16]) -> Self {
        Self { version, receive_max, aliases: Vec::new(), open: open.iter().copied().collect() }
    }

    /// Looks at a PUBLISH and puts its topic in place of an alias.
    ///
    /// `unanswered`: how many QoS 1 publications before it are not acknowledged yet.
    ///
    /// # Errors
    /// The reason to disconnect with.
    pub(crate) fn accept(&mut self, publish: &mut Publish, unanswered: usize) -> Result<InboundPublish, Reason> {
        self.resolve(publish)?;
        let Delivery::ExactlyOnce(id) = publish.delivery else {
            return self.check_quota(unanswered).map(|()| InboundPublish::New);
        };
        if self.open.contains(&id.get()) {
            return Ok(InboundPublish::Repeated);
        }
        self.check_quota(unanswered)?;
        self.open.insert(id.get());
        Ok(InboundPublish::New)
    }

    /// PUBREL came, or the publication was refused. Says whether the id was in use.
    pub(crate) fn release(&mut self, id: PacketId) -> bool {
        self.open.remove(&id.get())
    }

    fn check_quota(&self, unanswered: usize) -> Result<(), Reason> {
        let is_over = self.open.len() + unanswered >= usize::from(self.receive_max);
        // 3.1.1 has no Receive Maximum; its packet ids are the bound.
        if is_over && self.version == Version::V5 { Err(Reason::ReceiveMaximumExceeded) } else { Ok(()) }
    }

    /// [MQTT-3.3.2-8] to [MQTT-3.3.2-12].
    fn resolve(&mut self, publish: &mut Publish) -> Result<(), Reason> {
        let Some(alias) = publish.topic_alias.take() else { return Ok(()) };
        if alias.get() > INBOUND_ALIASES_MAX {
            return Err(Reason::TopicAliasInvalid);
        }
        let at = usize::from(alias.get() - 1);
        if self.aliases.len() <= at {
            self.aliases.resize(at + 1, None);
        }
        let slot = &mut self.aliases[at];
        if publish.topic.is_empty() {
            publish.topic = slot.clone().ok_or(Reason::ProtocolError)?;
        } else {
            *slot = Some(ByteString::from(&*publish.topic));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;
    use crate::codec::{Bytes, MessageProperties};
    use crate::limits::INBOUND_INFLIGHT_MAX;

    fn publish(topic: &str, alias: Option<u16>, delivery: Delivery) -> Publish {
        Publish {
            dup: false,
            retain: false,
            delivery,
            topic: topic.into(),
            topic_alias: alias.and_then(NonZeroU16::new),
            subscription_ids: vec![],
            properties: MessageProperties::default(),
            payload: Bytes::new(),
        }
    }

    #[test]
    fn mqtt_3_3_2_aliases_stand_for_topics() {
        let mut inbound = Inbound::new(Version::V5, INBOUND_INFLIGHT_MAX, &[]);
        let mut unknown = publish("", Some(3), Delivery::AtMostOnce);
        assert_eq!(inbound.accept(&mut unknown, 0), Err(Reason::ProtocolError));
        inbound.accept(&mut publish("a", Some(3), Delivery::AtMostOnce), 0).unwrap();
        let mut short = publish("", Some(3), Delivery::AtMostOnce);
        inbound.accept(&mut short, 0).unwrap();
        assert_eq!(short.topic, "a");
        let mut high = publish("a", Some(INBOUND_ALIASES_MAX + 1), Delivery::AtMostOnce);
        assert_eq!(inbound.accept(&mut high, 0), Err(Reason::TopicAliasInvalid));
    }

    #[test]
    fn mqtt_4_3_3_a_packet_id_of_qos_2_is_published_once_until_released() {
        let id = NonZeroU16::new(7).unwrap();
        let mut inbound = Inbound::new(Version::V3, INBOUND_INFLIGHT_MAX, &[7]);
        assert_eq!(inbound.accept(&mut publish("a", None, Delivery::ExactlyOnce(id)), 0), Ok(InboundPublish::Repeated));
        assert!(inbound.release(id) && !inbound.release(id));
        assert_eq!(inbound.accept(&mut publish("a", None, Delivery::ExactlyOnce(id)), 0), Ok(InboundPublish::New));
    }

    #[test]
    fn mqtt_3_3_4_the_receive_maximum_is_held() {
        let mut inbound = Inbound::new(Version::V5, INBOUND_INFLIGHT_MAX, &[]);
        for id in 1..=INBOUND_INFLIGHT_MAX {
            let delivery = Delivery::ExactlyOnce(NonZeroU16::new(id).unwrap());
            assert_eq!(inbound.accept(&mut publish("a", None, delivery), 0), Ok(InboundPublish::New));
        }
        let over = Delivery::ExactlyOnce(NonZeroU16::new(60_000).unwrap());
        assert_eq!(inbound.accept(&mut publish("a", None, over), 0), Err(Reason::ReceiveMaximumExceeded));
    }
}
