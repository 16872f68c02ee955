//! DISCONNECT (3.14) and AUTH (3.15).

use super::super::property::{self, Allowed, PropertyValue};
use super::super::property_id;
use super::super::reader::PacketReader;
use super::super::{Auth, DecodeError, Disconnect, PacketKind, Reason, UserProperties, Version};
use super::PeerRole;

const FROM_CLIENT: Allowed = Allowed::new(&[property_id::SESSION_EXPIRY, property_id::REASON_STRING]);
const FROM_SERVER: Allowed = Allowed::new(&[property_id::REASON_STRING, property_id::SERVER_REFERENCE]);
const AUTH_ALLOWED: Allowed =
    Allowed::new(&[property_id::AUTHENTICATION_METHOD, property_id::AUTHENTICATION_DATA, property_id::REASON_STRING]);

pub(super) fn disconnect(
    reader: &mut PacketReader<'_>,
    version: Version,
    side: PeerRole,
) -> Result<Disconnect, DecodeError> {
    let mut disconnect = Disconnect::because(Reason::Success);
    if version == Version::V3 || reader.remaining() == 0 {
        return Ok(disconnect);
    }
    let code = reader.byte("reason code")?;
    disconnect.reason = super::reason(PacketKind::Disconnect, code)?;
    if !may_say(side, disconnect.reason) {
        return Err(DecodeError::Reason { kind: PacketKind::Disconnect, code });
    }
    // The property length may be left out when it is zero (3.14.2.2.1).
    if reader.remaining() == 0 {
        return Ok(disconnect);
    }
    let allowed = match side {
        PeerRole::Server => FROM_CLIENT,
        PeerRole::Client => FROM_SERVER,
    };
    disconnect.user = property::read(reader, PacketKind::Disconnect, allowed, |property| {
        match (property.id, property.value) {
            (property_id::SESSION_EXPIRY, PropertyValue::Four(seconds)) => disconnect.session_expiry_s = Some(seconds),
            (property_id::REASON_STRING, PropertyValue::Text(text)) => disconnect.reason_string = Some(text),
            (property_id::SERVER_REFERENCE, PropertyValue::Text(text)) => disconnect.server_reference = Some(text),
            (id, _) => return Err(DecodeError::PropertyValue(id)),
        }
        Ok(())
    })?;
    Ok(disconnect)
}

/// Whether a side may receive a reason (3.14.2.1): the table names the sender of each.
fn may_say(reader: PeerRole, reason: Reason) -> bool {
    match reason {
        Reason::DisconnectWithWill => reader == PeerRole::Server,
        Reason::NotAuthorized
        | Reason::ServerBusy
        | Reason::ServerShuttingDown
        | Reason::KeepAliveTimeout
        | Reason::SessionTakenOver
        | Reason::TopicFilterInvalid
        | Reason::RetainNotSupported
        | Reason::QosNotSupported
        | Reason::UseAnotherServer
        | Reason::ServerMoved
        | Reason::SharedSubscriptionsNotSupported
        | Reason::ConnectionRateExceeded
        | Reason::MaximumConnectTime
        | Reason::SubscriptionIdsNotSupported
        | Reason::WildcardSubscriptionsNotSupported => reader == PeerRole::Client,
        _ => true,
    }
}

pub(super) fn auth(reader: &mut PacketReader<'_>) -> Result<Auth, DecodeError> {
    let mut auth = Auth {
        reason: Reason::Success,
        authentication_method: None,
        authentication_data: None,
        reason_string: None,
        user: UserProperties::default(),
    };
    // Reason and properties may be left out together (3.15.2.1).
    if reader.remaining() == 0 {
        return Ok(auth);
    }
    auth.reason = super::reason(PacketKind::Auth, reader.byte("reason code")?)?;
    if reader.remaining() == 0 {
        return Err(DecodeError::NoAuthenticationMethod);
    }
    auth.user = property::read(reader, PacketKind::Auth, AUTH_ALLOWED, |property| {
        match (property.id, property.value) {
            (property_id::AUTHENTICATION_METHOD, PropertyValue::Text(text)) => auth.authentication_method = Some(text),
            (property_id::AUTHENTICATION_DATA, PropertyValue::Binary(data)) => auth.authentication_data = Some(data),
            (property_id::REASON_STRING, PropertyValue::Text(text)) => auth.reason_string = Some(text),
            (id, _) => return Err(DecodeError::PropertyValue(id)),
        }
        Ok(())
    })?;
    match auth.authentication_method {
        Some(_) => Ok(auth),
        None => Err(DecodeError::NoAuthenticationMethod),
    }
}
