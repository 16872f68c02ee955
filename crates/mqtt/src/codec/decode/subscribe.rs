//! SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK (3.8 to 3.11).

use bytestring::ByteString;

use super::super::property::{self, Allowed, PropertyValue};
use super::super::property_id;
use super::super::reader::PacketReader;
use super::super::{
    DecodeError, PacketId, PacketKind, Qos, Reason, RetainHandling, Suback, Subscribe, Subscription,
    SubscriptionOptions, Unsuback, Unsubscribe, UserProperties, Version, topic,
};
use super::REASON_ONLY;

const SUBSCRIBE_ALLOWED: Allowed = Allowed::new(&[property_id::SUBSCRIPTION_ID]);
const USER_ONLY: Allowed = Allowed::new(&[]);

pub(super) fn subscribe(reader: &mut PacketReader<'_>, version: Version) -> Result<Subscribe, DecodeError> {
    let packet_id = reader.packet_id(PacketKind::Subscribe)?;
    let mut subscription_id = None;
    let user = match version {
        Version::V3 => UserProperties::default(),
        Version::V5 => {
            property::read(reader, PacketKind::Subscribe, SUBSCRIBE_ALLOWED, |property| match property.value {
                PropertyValue::Variable(0) => Err(DecodeError::SubscriptionIdZero),
                PropertyValue::Variable(id) => {
                    subscription_id = Some(id);
                    Ok(())
                }
                _ => Err(property.refused()),
            })?
        }
    };
    let mut subscriptions = vec![];
    while reader.remaining() > 0 {
        subscriptions.push(subscription(reader, version)?);
    }
    if subscriptions.is_empty() {
        return Err(DecodeError::Nothing(PacketKind::Subscribe));
    }
    Ok(Subscribe { packet_id, subscription_id, user, subscriptions })
}

fn subscription(reader: &mut PacketReader<'_>, version: Version) -> Result<Subscription, DecodeError> {
    let filter = filter(reader)?;
    let options = options(reader.byte("subscription options")?, version)?;
    if options.no_local && topic::shared(&filter).is_some() {
        return Err(DecodeError::SharedNoLocal);
    }
    Ok(Subscription { filter, options })
}

fn filter(reader: &mut PacketReader<'_>) -> Result<ByteString, DecodeError> {
    let filter = reader.text("topic filter")?;
    topic::check_filter_form(&filter).map_err(DecodeError::Topic)?;
    Ok(filter)
}

fn options(byte: u8, version: Version) -> Result<SubscriptionOptions, DecodeError> {
    let reserved = match version {
        Version::V3 => 0b1111_1100,
        Version::V5 => 0b1100_0000,
    };
    if byte & reserved != 0 {
        return Err(DecodeError::SubscriptionOptions);
    }
    let retain_handling = match byte >> 4 & 3 {
        0 => RetainHandling::Send,
        1 => RetainHandling::SendIfNew,
        2 => RetainHandling::DoNotSend,
        _ => return Err(DecodeError::RetainHandling),
    };
    Ok(SubscriptionOptions {
        qos: Qos::new(byte & 3).ok_or(DecodeError::Qos)?,
        no_local: byte >> 2 & 1 == 1,
        retain_as_published: byte >> 3 & 1 == 1,
        retain_handling,
    })
}

pub(super) fn unsubscribe(reader: &mut PacketReader<'_>, version: Version) -> Result<Unsubscribe, DecodeError> {
    let packet_id = reader.packet_id(PacketKind::Unsubscribe)?;
    let user = match version {
        Version::V3 => UserProperties::default(),
        Version::V5 => property::read(reader, PacketKind::Unsubscribe, USER_ONLY, |property| Err(property.refused()))?,
    };
    let mut filters = vec![];
    while reader.remaining() > 0 {
        filters.push(filter(reader)?);
    }
    if filters.is_empty() {
        return Err(DecodeError::Nothing(PacketKind::Unsubscribe));
    }
    Ok(Unsubscribe { packet_id, user, filters })
}

/// What SUBACK and UNSUBACK have in common.
struct AcknowledgementBody {
    packet_id: PacketId,
    reasons: Vec<Reason>,
    reason_string: Option<ByteString>,
    user: UserProperties,
}

fn answer(
    reader: &mut PacketReader<'_>,
    kind: PacketKind,
    version: Version,
) -> Result<AcknowledgementBody, DecodeError> {
    let mut answer = AcknowledgementBody {
        packet_id: reader.packet_id(kind)?,
        reasons: vec![],
        reason_string: None,
        user: UserProperties::default(),
    };
    if version == Version::V5 {
        answer.user = property::read(reader, kind, REASON_ONLY, |property| match property.value {
            PropertyValue::Text(text) => {
                answer.reason_string = Some(text);
                Ok(())
            }
            _ => Err(property.refused()),
        })?;
    }
    Ok(answer)
}

pub(super) fn suback(reader: &mut PacketReader<'_>, version: Version) -> Result<Suback, DecodeError> {
    let mut answer = answer(reader, PacketKind::Suback, version)?;
    while reader.remaining() > 0 {
        let code = reader.byte("reason code")?;
        // 3.1.1 has one word for every refusal [MQTT-3.9.3-2].
        if version == Version::V3 && code > 2 && code != 0x80 {
            return Err(DecodeError::Reason { kind: PacketKind::Suback, code });
        }
        answer.reasons.push(super::reason(PacketKind::Suback, code)?);
    }
    if answer.reasons.is_empty() {
        return Err(DecodeError::Nothing(PacketKind::Suback));
    }
    let AcknowledgementBody { packet_id, reasons, reason_string, user } = answer;
    Ok(Suback { packet_id, reasons, reason_string, user })
}

pub(super) fn unsuback(reader: &mut PacketReader<'_>, version: Version) -> Result<Unsuback, DecodeError> {
    let mut answer = answer(reader, PacketKind::Unsuback, version)?;
    if version == Version::V5 {
        while reader.remaining() > 0 {
            answer.reasons.push(super::reason(PacketKind::Unsuback, reader.byte("reason code")?)?);
        }
        if answer.reasons.is_empty() {
            return Err(DecodeError::Nothing(PacketKind::Unsuback));
        }
    }
    let AcknowledgementBody { packet_id, reasons, reason_string, user } = answer;
    Ok(Unsuback { packet_id, reasons, reason_string, user })
}
