//! Properties (2.2.2): their identifiers, their types, and the one loop that reads them. A property is first read as
//! what its identifier says, then asked whether it may stand in this packet, then whether it stands alone.

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use super::reader::PacketReader;
use super::{DecodeError, PacketKind, UserProperties};

pub(super) const PAYLOAD_FORMAT: u8 = 0x01;
pub(super) const MESSAGE_EXPIRY: u8 = 0x02;
pub(super) const CONTENT_TYPE: u8 = 0x03;
pub(super) const RESPONSE_TOPIC: u8 = 0x08;
pub(super) const CORRELATION_DATA: u8 = 0x09;
pub(super) const SUBSCRIPTION_ID: u8 = 0x0B;
pub(super) const SESSION_EXPIRY: u8 = 0x11;
pub(super) const ASSIGNED_CLIENT_ID: u8 = 0x12;
pub(super) const SERVER_KEEP_ALIVE: u8 = 0x13;
pub(super) const AUTHENTICATION_METHOD: u8 = 0x15;
pub(super) const AUTHENTICATION_DATA: u8 = 0x16;
pub(super) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
pub(super) const WILL_DELAY: u8 = 0x18;
pub(super) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
pub(super) const RESPONSE_INFORMATION: u8 = 0x1A;
pub(super) const SERVER_REFERENCE: u8 = 0x1C;
pub(super) const REASON_STRING: u8 = 0x1F;
pub(super) const RECEIVE_MAX: u8 = 0x21;
pub(super) const TOPIC_ALIAS_MAX: u8 = 0x22;
pub(super) const TOPIC_ALIAS: u8 = 0x23;
pub(super) const QOS_MAX: u8 = 0x24;
pub(super) const RETAIN_AVAILABLE: u8 = 0x25;
pub(super) const USER_PROPERTY: u8 = 0x26;
pub(super) const PACKET_MAX: u8 = 0x27;
pub(super) const WILDCARD_AVAILABLE: u8 = 0x28;
pub(super) const SUBSCRIPTION_IDS_AVAILABLE: u8 = 0x29;
pub(super) const SHARED_AVAILABLE: u8 = 0x2A;

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

/// Reads the properties of a packet: length, then each; user properties are gathered, the others given to `take`.
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
