//! PUBLISH (3.3), and how a message is made to stand alone.

use bytes::BytesMut;
use bytestring::ByteString;

use super::super::byte_sink::{ByteCounter, ByteSink};
use super::super::property_id as id;
use super::super::{EncodeError, MessageProperties, PacketKind, Publish, Version};
use super::remaining_length;

/// The lengths that stand in front of the parts of a PUBLISH.
pub(super) struct Lengths {
    pub(super) remaining: u32,
    properties: u32,
}

impl Publish {
    /// Appends the packet, unless it is larger than `max_bytes`.
    pub fn encode(&self, version: Version, max_bytes: u32, out: &mut BytesMut) -> Result<(), EncodeError> {
        let lengths = self.lengths(version, max_bytes)?;
        out.reserve(5 + usize::try_from(lengths.remaining).unwrap_or(0));
        self.write(version, &lengths, out);
        Ok(())
    }

    pub(super) fn lengths(&self, version: Version, max_bytes: u32) -> Result<Lengths, EncodeError> {
        let mut count = ByteCounter::default();
        let properties = match version {
            Version::V3 => 0,
            Version::V5 => {
                if !self.has_no_properties() {
                    self.properties(&mut count);
                }
                let properties = u32::try_from(count.bytes).unwrap_or(u32::MAX);
                count.variable(properties);
                properties
            }
        };
        count.field(self.topic.as_bytes());
        if count.is_field_too_long {
            return Err(EncodeError::FieldTooLong);
        }
        let packet_id = if self.delivery.packet_id().is_some() { 2 } else { 0 };
        let body_bytes = count.bytes + packet_id + self.payload.len() as u64;
        Ok(Lengths { remaining: remaining_length(body_bytes, max_bytes)?, properties })
    }

    /// Writes the whole packet; gives back where its packet id stands, counted from its first byte.
    pub(super) fn write(&self, version: Version, lengths: &Lengths, out: &mut BytesMut) -> Option<usize> {
        let from = out.len();
        out.byte(self.first_byte());
        out.variable(lengths.remaining);
        out.field(self.topic.as_bytes());
        let packet_id_at = self.delivery.packet_id().map(|packet_id| {
            let at = out.len() - from;
            out.two(packet_id.get());
            at
        });
        if version == Version::V5 {
            out.variable(lengths.properties);
            if lengths.properties > 0 {
                self.properties(out);
            }
        }
        out.bytes(&self.payload);
        packet_id_at
    }

    fn first_byte(&self) -> u8 {
        (PacketKind::Publish as u8) << 4
            | u8::from(self.dup) << 3
            | (self.delivery.qos() as u8) << 1
            | u8::from(self.retain)
    }

    fn has_no_properties(&self) -> bool {
        self.topic_alias.is_none() && self.subscription_ids.is_empty() && self.properties.is_empty()
    }

    fn properties(&self, out: &mut dyn ByteSink) {
        if let Some(alias) = self.topic_alias {
            out.byte(id::TOPIC_ALIAS);
            out.two(alias.get());
        }
        for number in &self.subscription_ids {
            out.byte(id::SUBSCRIPTION_ID);
            out.variable(*number);
        }
        message_properties(&self.properties, out);
    }
}

impl MessageProperties {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.payload_is_text.is_none()
            && self.expiry_s.is_none()
            && self.content_type.is_none()
            && self.response_topic.is_none()
            && self.correlation_data.is_none()
            && self.user.is_empty()
    }
}

/// The properties that travel with a message, in PUBLISH or in a will.
pub(super) fn message_properties(from: &MessageProperties, out: &mut dyn ByteSink) {
    if let Some(is_text) = from.payload_is_text {
        out.byte(id::PAYLOAD_FORMAT);
        out.byte(u8::from(is_text));
    }
    if let Some(seconds) = from.expiry_s {
        out.byte(id::MESSAGE_EXPIRY);
        out.four(seconds);
    }
    for (id, field) in [
        (id::CONTENT_TYPE, from.content_type.as_ref().map(ByteString::as_bytes)),
        (id::RESPONSE_TOPIC, from.response_topic.as_ref().map(ByteString::as_bytes)),
        (id::CORRELATION_DATA, from.correlation_data.as_ref()),
    ] {
        if let Some(field) = field {
            out.byte(id);
            out.field(field);
        }
    }
    out.bytes(from.user.wire());
}
