//! PUBLISH (3.3): no allocation but for subscription identifiers, which only clients receive.

use std::num::NonZeroU16;

use bytestring::ByteString;

use super::super::property::{self, Allowed, Property, PropertyValue};
use super::super::property_id;
use super::super::reader::PacketReader;
use super::super::{DecodeError, Delivery, MessageProperties, PacketKind, Publish, TopicFault, Version, topic};
use super::PeerRole;

const FROM_CLIENT: Allowed = Allowed::new(&[
    property_id::PAYLOAD_FORMAT,
    property_id::MESSAGE_EXPIRY,
    property_id::TOPIC_ALIAS,
    property_id::RESPONSE_TOPIC,
    property_id::CORRELATION_DATA,
    property_id::CONTENT_TYPE,
]);

/// A client may not send subscription identifiers [MQTT-3.3.4-6].
const FROM_SERVER: Allowed = Allowed::new(&[
    property_id::PAYLOAD_FORMAT,
    property_id::MESSAGE_EXPIRY,
    property_id::TOPIC_ALIAS,
    property_id::RESPONSE_TOPIC,
    property_id::CORRELATION_DATA,
    property_id::CONTENT_TYPE,
    property_id::SUBSCRIPTION_ID,
]);

pub(super) fn publish(
    reader: &mut PacketReader<'_>,
    flags: u8,
    version: Version,
    side: PeerRole,
) -> Result<Publish, DecodeError> {
    let topic = reader.text("topic")?;
    let delivery = match flags >> 1 & 3 {
        0 => Delivery::AtMostOnce,
        1 => Delivery::AtLeastOnce(reader.packet_id(PacketKind::Publish)?),
        2 => Delivery::ExactlyOnce(reader.packet_id(PacketKind::Publish)?),
        _ => return Err(DecodeError::Qos),
    };
    let mut publish = Publish {
        dup: flags & 0b1000 != 0,
        retain: flags & 1 != 0,
        delivery,
        topic: ByteString::new(),
        topic_alias: None,
        subscription_ids: vec![],
        properties: MessageProperties::default(),
        payload: bytes::Bytes::new(),
    };
    if version == Version::V5 {
        properties(reader, &mut publish, side)?;
    }
    match topic.is_empty() {
        false => topic::check_name_form(&topic).map_err(DecodeError::Topic)?,
        true if version == Version::V3 => return Err(DecodeError::Topic(TopicFault::Empty)),
        true if publish.topic_alias.is_none() => return Err(DecodeError::NoTopic),
        true => {}
    }
    publish.topic = topic;
    publish.payload = reader.rest();
    Ok(publish)
}

fn properties(reader: &mut PacketReader<'_>, publish: &mut Publish, side: PeerRole) -> Result<(), DecodeError> {
    let allowed = match side {
        PeerRole::Server => FROM_CLIENT,
        PeerRole::Client => FROM_SERVER,
    };
    let user = property::read(reader, PacketKind::Publish, allowed, |property| {
        match (property.id, property.value) {
            (property_id::TOPIC_ALIAS, PropertyValue::Two(alias)) => {
                publish.topic_alias = Some(NonZeroU16::new(alias).ok_or(DecodeError::TopicAliasZero)?);
            }
            (property_id::SUBSCRIPTION_ID, PropertyValue::Variable(0)) => {
                return Err(DecodeError::PropertyValue(property.id));
            }
            (property_id::SUBSCRIPTION_ID, PropertyValue::Variable(id)) => publish.subscription_ids.push(id),
            (id, value) => message_property(&mut publish.properties, Property { id, value })?,
        }
        Ok(())
    })?;
    publish.properties.user = user;
    Ok(())
}

/// A property that travels with a message, in PUBLISH or in a will.
pub(super) fn message_property(into: &mut MessageProperties, property: Property) -> Result<(), DecodeError> {
    match (property.id, property.value) {
        (property_id::MESSAGE_EXPIRY, PropertyValue::Four(seconds)) => into.expiry_s = Some(seconds),
        (property_id::CONTENT_TYPE, PropertyValue::Text(text)) => into.content_type = Some(text),
        (property_id::RESPONSE_TOPIC, PropertyValue::Text(text)) => {
            topic::check_name_form(&text).map_err(DecodeError::Topic)?;
            into.response_topic = Some(text);
        }
        (property_id::CORRELATION_DATA, PropertyValue::Binary(data)) => into.correlation_data = Some(data),
        (property_id::PAYLOAD_FORMAT, value) => {
            into.payload_is_text = Property { id: property_id::PAYLOAD_FORMAT, value }.flag()?;
        }
        (id, _) => return Err(DecodeError::PropertyValue(id)),
    }
    Ok(())
}
