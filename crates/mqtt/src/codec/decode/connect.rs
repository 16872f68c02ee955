//! CONNECT (3.1) and CONNACK (3.2).

use std::num::{NonZeroU16, NonZeroU32};

use super::super::property::{self, Allowed, Property, PropertyValue};
use super::super::property_id;
use super::super::reader::PacketReader;
use super::super::{
    Connack, ConnackProperties, Connect, ConnectProperties, DecodeError, MessageProperties, PacketKind, Qos, Reason,
    Version, Will, topic,
};
use super::publish;

const CONNECT_ALLOWED: Allowed = Allowed::new(&[
    property_id::SESSION_EXPIRY,
    property_id::RECEIVE_MAX,
    property_id::PACKET_MAX,
    property_id::TOPIC_ALIAS_MAX,
    property_id::REQUEST_RESPONSE_INFORMATION,
    property_id::REQUEST_PROBLEM_INFORMATION,
    property_id::AUTHENTICATION_METHOD,
    property_id::AUTHENTICATION_DATA,
]);

const WILL_ALLOWED: Allowed = Allowed::new(&[
    property_id::WILL_DELAY,
    property_id::PAYLOAD_FORMAT,
    property_id::MESSAGE_EXPIRY,
    property_id::CONTENT_TYPE,
    property_id::RESPONSE_TOPIC,
    property_id::CORRELATION_DATA,
]);

const CONNACK_ALLOWED: Allowed = Allowed::new(&[
    property_id::SESSION_EXPIRY,
    property_id::RECEIVE_MAX,
    property_id::QOS_MAX,
    property_id::RETAIN_AVAILABLE,
    property_id::PACKET_MAX,
    property_id::ASSIGNED_CLIENT_ID,
    property_id::TOPIC_ALIAS_MAX,
    property_id::REASON_STRING,
    property_id::WILDCARD_AVAILABLE,
    property_id::SUBSCRIPTION_IDS_AVAILABLE,
    property_id::SHARED_AVAILABLE,
    property_id::SERVER_KEEP_ALIVE,
    property_id::RESPONSE_INFORMATION,
    property_id::SERVER_REFERENCE,
    property_id::AUTHENTICATION_METHOD,
    property_id::AUTHENTICATION_DATA,
]);

/// The protocol level that a CONNECT names. 3.1 is read as the ancestor of 3.1.1 that it is: it had no reserved flags
/// and no empty client identifiers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ProtocolLevel {
    Three,
    Four,
    Five,
}

impl ProtocolLevel {
    pub(super) fn version(self) -> Version {
        match self {
            ProtocolLevel::Three | ProtocolLevel::Four => Version::V3,
            ProtocolLevel::Five => Version::V5,
        }
    }
}

/// The protocol's name and level (3.1.2.1, 3.1.2.2).
pub(super) fn level(reader: &mut PacketReader<'_>) -> Result<ProtocolLevel, DecodeError> {
    let name = reader.binary("protocol name")?;
    let is_old = &*name == b"MQIsdp";
    if !is_old && &*name != b"MQTT" {
        return Err(DecodeError::ProtocolName);
    }
    match reader.byte("protocol level")? {
        3 if is_old => Ok(ProtocolLevel::Three),
        4 if !is_old => Ok(ProtocolLevel::Four),
        5 if !is_old => Ok(ProtocolLevel::Five),
        other => Err(DecodeError::UnsupportedVersion(other)),
    }
}

/// The flags of CONNECT (3.1.2.3).
struct Flags {
    clean_start: bool,
    will: Option<(Qos, bool)>,
    has_password: bool,
    has_username: bool,
}

fn flags(byte: u8, level: ProtocolLevel) -> Result<Flags, DecodeError> {
    if byte & 1 != 0 && level != ProtocolLevel::Three {
        return Err(DecodeError::ReservedFlag(PacketKind::Connect));
    }
    let qos = Qos::new(byte >> 3 & 3).ok_or(DecodeError::Qos)?;
    let retain = byte >> 5 & 1 == 1;
    let has_will = byte >> 2 & 1 == 1;
    if !has_will && (retain || qos != Qos::AtMostOnce) {
        return Err(DecodeError::WillFlags);
    }
    let flags = Flags {
        clean_start: byte >> 1 & 1 == 1,
        will: has_will.then_some((qos, retain)),
        has_password: byte >> 6 & 1 == 1,
        has_username: byte >> 7 == 1,
    };
    if flags.has_password && !flags.has_username && level != ProtocolLevel::Five {
        return Err(DecodeError::PasswordWithoutUserName);
    }
    Ok(flags)
}

/// What follows the version.
pub(super) fn connect(reader: &mut PacketReader<'_>, level: ProtocolLevel) -> Result<Connect, DecodeError> {
    let version = level.version();
    let flags = flags(reader.byte("connect flags")?, level)?;
    let keep_alive_s = reader.two("keep alive")?;
    let properties = match version {
        Version::V3 => ConnectProperties::default(),
        Version::V5 => connect_properties(reader)?,
    };
    let client_id = reader.text("client identifier").map_err(|error| match error {
        DecodeError::Text { .. } => DecodeError::ClientId,
        other => other,
    })?;
    if client_id.is_empty() && level == ProtocolLevel::Three {
        return Err(DecodeError::ClientId);
    }
    let will = flags.will.map(|(qos, retain)| will(reader, version, qos, retain)).transpose()?;
    let username = flags.has_username.then(|| reader.text("user name")).transpose()?;
    let password = flags.has_password.then(|| reader.binary("password")).transpose()?;
    Ok(Connect {
        version,
        clean_start: flags.clean_start,
        keep_alive_s,
        client_id,
        will,
        username,
        password,
        properties,
    })
}

fn connect_properties(reader: &mut PacketReader<'_>) -> Result<ConnectProperties, DecodeError> {
    let mut into = ConnectProperties::default();
    into.user = property::read(reader, PacketKind::Connect, CONNECT_ALLOWED, |property| {
        match (property.id, property.value) {
            (property_id::SESSION_EXPIRY, PropertyValue::Four(value)) => into.session_expiry_s = Some(value),
            (property_id::RECEIVE_MAX, PropertyValue::Two(value)) => {
                into.receive_max = Some(at_least_one(property.id, value)?)
            }
            (property_id::PACKET_MAX, PropertyValue::Four(value)) => into.packet_max_bytes = Some(some_bytes(value)?),
            (property_id::TOPIC_ALIAS_MAX, PropertyValue::Two(value)) => into.topic_alias_max = Some(value),
            (property_id::AUTHENTICATION_METHOD, PropertyValue::Text(text)) => into.authentication_method = Some(text),
            (property_id::AUTHENTICATION_DATA, PropertyValue::Binary(data)) => into.authentication_data = Some(data),
            (id, value) => {
                let flag = Property { id, value }.flag()?;
                match id {
                    property_id::REQUEST_RESPONSE_INFORMATION => into.request_response_information = flag,
                    property_id::REQUEST_PROBLEM_INFORMATION => into.request_problem_information = flag,
                    _ => return Err(DecodeError::PropertyValue(id)),
                }
            }
        }
        Ok(())
    })?;
    if into.authentication_data.is_some() && into.authentication_method.is_none() {
        return Err(DecodeError::AuthenticationDataAlone);
    }
    Ok(into)
}

fn at_least_one(id: u8, value: u16) -> Result<NonZeroU16, DecodeError> {
    NonZeroU16::new(value).ok_or(DecodeError::PropertyValue(id))
}

fn some_bytes(value: u32) -> Result<NonZeroU32, DecodeError> {
    NonZeroU32::new(value).ok_or(DecodeError::PropertyValue(property_id::PACKET_MAX))
}

fn will(reader: &mut PacketReader<'_>, version: Version, qos: Qos, retain: bool) -> Result<Will, DecodeError> {
    let mut properties = MessageProperties::default();
    let mut delay_s = None;
    if version == Version::V5 {
        properties.user = property::read(reader, PacketKind::Connect, WILL_ALLOWED, |property| {
            match (property.id, property.value) {
                (property_id::WILL_DELAY, PropertyValue::Four(value)) => {
                    delay_s = Some(value);
                    Ok(())
                }
                (id, value) => publish::message_property(&mut properties, Property { id, value }),
            }
        })?;
    }
    let topic = reader.text("will topic")?;
    topic::check_name_form(&topic).map_err(DecodeError::Topic)?;
    let payload = reader.binary("will payload")?;
    Ok(Will { qos, retain, topic, payload, delay_s, properties })
}

/// CONNACK, as a client reads it.
pub(super) fn connack(reader: &mut PacketReader<'_>, version: Version) -> Result<Connack, DecodeError> {
    let session_present = match reader.byte("acknowledge flags")? {
        0 => false,
        1 => true,
        _ => return Err(DecodeError::ReservedFlag(PacketKind::Connack)),
    };
    let code = reader.byte("reason code")?;
    let (reason, properties) = match version {
        Version::V3 => {
            let reason =
                Reason::from_return_code(code).ok_or(DecodeError::Reason { kind: PacketKind::Connack, code })?;
            (reason, ConnackProperties::default())
        }
        Version::V5 => (super::reason(PacketKind::Connack, code)?, connack_properties(reader)?),
    };
    if session_present && reason != Reason::Success {
        return Err(DecodeError::RefusalWithSession);
    }
    Ok(Connack { session_present, reason, properties })
}

fn connack_properties(reader: &mut PacketReader<'_>) -> Result<ConnackProperties, DecodeError> {
    let mut into = ConnackProperties::default();
    into.user = property::read(reader, PacketKind::Connack, CONNACK_ALLOWED, |property| {
        match (property.id, property.value) {
            (property_id::SESSION_EXPIRY, PropertyValue::Four(value)) => into.session_expiry_s = Some(value),
            (property_id::RECEIVE_MAX, PropertyValue::Two(value)) => {
                into.receive_max = Some(at_least_one(property.id, value)?)
            }
            (property_id::PACKET_MAX, PropertyValue::Four(value)) => into.packet_max_bytes = Some(some_bytes(value)?),
            (property_id::TOPIC_ALIAS_MAX, PropertyValue::Two(value)) => into.topic_alias_max = Some(value),
            (property_id::SERVER_KEEP_ALIVE, PropertyValue::Two(value)) => into.server_keep_alive_s = Some(value),
            (property_id::ASSIGNED_CLIENT_ID, PropertyValue::Text(text)) => into.assigned_client_id = Some(text),
            (property_id::REASON_STRING, PropertyValue::Text(text)) => into.reason_string = Some(text),
            (property_id::RESPONSE_INFORMATION, PropertyValue::Text(text)) => into.response_information = Some(text),
            (property_id::SERVER_REFERENCE, PropertyValue::Text(text)) => into.server_reference = Some(text),
            (property_id::AUTHENTICATION_METHOD, PropertyValue::Text(text)) => into.authentication_method = Some(text),
            (property_id::AUTHENTICATION_DATA, PropertyValue::Binary(data)) => into.authentication_data = Some(data),
            (id, value) => connack_flag(&mut into, Property { id, value })?,
        }
        Ok(())
    })?;
    Ok(into)
}

fn connack_flag(into: &mut ConnackProperties, property: Property) -> Result<(), DecodeError> {
    let flag = property.flag()?;
    match property.id {
        property_id::QOS_MAX => {
            into.qos_max = flag.map(|is_one| if is_one { Qos::AtLeastOnce } else { Qos::AtMostOnce })
        }
        property_id::RETAIN_AVAILABLE => into.retain_available = flag,
        property_id::WILDCARD_AVAILABLE => into.wildcard_available = flag,
        property_id::SUBSCRIPTION_IDS_AVAILABLE => into.subscription_ids_available = flag,
        property_id::SHARED_AVAILABLE => into.shared_available = flag,
        id => return Err(DecodeError::PropertyValue(id)),
    }
    Ok(())
}
