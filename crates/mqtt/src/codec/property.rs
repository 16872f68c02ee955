//! Properties (2.2.2): their types, and the one loop that reads them. A property is first read as
//! what its identifier says, then asked whether it may stand in this packet, then whether it stands alone.

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use super::property_id::{
    ASSIGNED_CLIENT_ID, AUTHENTICATION_DATA, AUTHENTICATION_METHOD, CONTENT_TYPE, CORRELATION_DATA, MESSAGE_EXPIRY,
    PACKET_MAX, PAYLOAD_FORMAT, QOS_MAX, REASON_STRING, RECEIVE_MAX, REQUEST_PROBLEM_INFORMATION,
    REQUEST_RESPONSE_INFORMATION, RESPONSE_INFORMATION, RESPONSE_TOPIC, RETAIN_AVAILABLE, SERVER_KEEP_ALIVE,
    SERVER_REFERENCE, SESSION_EXPIRY, SHARED_AVAILABLE, SUBSCRIPTION_ID, SUBSCRIPTION_IDS_AVAILABLE, TOPIC_ALIAS,
    TOPIC_ALIAS_MAX, USER_PROPERTY, WILDCARD_AVAILABLE, WILL_DELAY,
};
use super::reader::PacketReader;
use super::{DecodeError, PacketKind, UserProperties};

/// A set of identifiers.
#[derive(Clone, Copy)]
pub(super) struct Allowed(u64);

impl Allowed {
    /// These, and user properties, which may stand in every packet that has properties.
    pub(super) const fn new(ids: &[u8]) -> Allowed {
        let mut set = 1 << USER_PROPERTY;
        let mut i = 0;
        while i < ids.len() {
            set |= 1 << ids[i];
            i += 1;
        }
        Allowed(set)
    }

    fn has(self, id: u8) -> bool {
        self.0 >> id & 1 == 1
    }
}

/// A property's value, in the type that its identifier has.
pub(super) enum PropertyValue {
    Byte(u8),
    Two(u16),
    Four(u32),
    Variable(u32),
    Text(ByteString),
    Binary(Bytes),
    Pair,
}

/// A property that was read, allowed and alone.
pub(super) struct Property {
    pub(super) id: u8,
    pub(super) value: PropertyValue,
}

impl Property {
    /// The error that its value is one that it may not have.
    pub(super) fn refused(&self) -> DecodeError {
        DecodeError::PropertyValue(self.id)
    }

    /// A byte that says yes or no.
    pub(super) fn flag(&self) -> Result<Option<bool>, DecodeError> {
        match self.value {
            PropertyValue::Byte(0) => Ok(Some(false)),
            PropertyValue::Byte(1) => Ok(Some(true)),
            _ => Err(self.refused()),
        }
    }
}

/// Reads the properties of a packet: length, then each; user properties are gathered, all other properties given to `take`.
/// An absent length is for the caller to see.
pub(super) fn read(
    reader: &mut PacketReader<'_>,
    kind: PacketKind,
    allowed: Allowed,
    mut take: impl FnMut(Property) -> Result<(), DecodeError>,
) -> Result<UserProperties, DecodeError> {
    let length = reader.variable("property length")?;
    if length == 0 {
        return Ok(UserProperties::default());
    }
    let mut part = reader.part(usize::try_from(length).unwrap_or(usize::MAX), "properties")?;
    let mut seen = 0_u64;
    let mut user = UserRuns::default();
    while part.remaining() > 0 {
        let from = part.at();
        let (id, value) = one(&mut part)?;
        if !allowed.has(id) {
            return Err(DecodeError::PropertyNotAllowed { kind, id });
        }
        if matches!(value, PropertyValue::Pair) {
            user.add(&part, from);
            continue;
        }
        // To a client several subscriptions may have matched (3.3.2.3.8).
        let may_repeat = id == SUBSCRIPTION_ID && kind == PacketKind::Publish;
        if seen >> id & 1 == 1 && !may_repeat {
            return Err(DecodeError::PropertyTwice(id));
        }
        seen |= 1 << id;
        take(Property { id, value })?;
    }
    Ok(user.finish(&part))
}

/// One property as its identifier says.
fn one(part: &mut PacketReader<'_>) -> Result<(u8, PropertyValue), DecodeError> {
    const WHAT: &str = "property";
    let number = part.variable(WHAT)?;
    let id = u8::try_from(number).map_err(|_| DecodeError::PropertyUnknown(number))?;
    let value = match id {
        PAYLOAD_FORMAT
        | REQUEST_PROBLEM_INFORMATION
        | REQUEST_RESPONSE_INFORMATION
        | QOS_MAX
        | RETAIN_AVAILABLE
        | WILDCARD_AVAILABLE
        | SUBSCRIPTION_IDS_AVAILABLE
        | SHARED_AVAILABLE => PropertyValue::Byte(part.byte(WHAT)?),
        SERVER_KEEP_ALIVE | RECEIVE_MAX | TOPIC_ALIAS_MAX | TOPIC_ALIAS => PropertyValue::Two(part.two(WHAT)?),
        MESSAGE_EXPIRY | SESSION_EXPIRY | WILL_DELAY | PACKET_MAX => PropertyValue::Four(part.four(WHAT)?),
        SUBSCRIPTION_ID => PropertyValue::Variable(part.variable(WHAT)?),
        CONTENT_TYPE
        | RESPONSE_TOPIC
        | ASSIGNED_CLIENT_ID
        | AUTHENTICATION_METHOD
        | RESPONSE_INFORMATION
        | SERVER_REFERENCE
        | REASON_STRING => PropertyValue::Text(part.text(WHAT)?),
        CORRELATION_DATA | AUTHENTICATION_DATA => PropertyValue::Binary(part.binary(WHAT)?),
        USER_PROPERTY => {
            part.skip_text("user property")?;
            part.skip_text("user property")?;
            PropertyValue::Pair
        }
        _ => return Err(DecodeError::PropertyUnknown(number)),
    };
    Ok((id, value))
}

/// User properties as they are found: mostly they stand together and are one slice.
#[derive(Default)]
struct UserRuns {
    from: usize,
    to: usize,
    gathered: BytesMut,
}

impl UserRuns {
    fn add(&mut self, part: &PacketReader<'_>, from: usize) {
        if self.to == from && self.to > 0 {
            self.to = part.at();
            return;
        }
        if self.to > 0 {
            self.gathered.extend_from_slice(&part.between(self.from, self.to));
        }
        (self.from, self.to) = (from, part.at());
    }

    fn finish(mut self, part: &PacketReader<'_>) -> UserProperties {
        if self.to == 0 {
            return UserProperties::default();
        }
        let last = part.between(self.from, self.to);
        if self.gathered.is_empty() {
            return UserProperties::from_wire(last);
        }
        self.gathered.extend_from_slice(&last);
        UserProperties::from_wire(self.gathered.freeze())
    }
}
