//! CONNECT → the terms of the connection, and CONNACK.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;

use super::ConnectionTerms;
use crate::codec::{BytesMut, Connack, ConnackProperties, Connect, Packet, Reason, Version};
use crate::limits::{CLIENT_ID_BYTES_MAX, INBOUND_ALIASES_MAX, OUTBOUND_ALIASES_MAX, OUTBOUND_INFLIGHT_MAX};
use crate::message::{ClientId, Message, UnixMs, random};
use crate::store::{LastWill, SessionClaim};

/// Limits of the broker that CONNACK announces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerLimits {
    pub(crate) packet_max_bytes: u32,
    /// The longest keep-alive that is allowed; `None`: any, and none at all.
    pub(crate) keep_alive_max_s: Option<u16>,
    pub(crate) receive_max: NonZeroU16,
    pub(crate) session_expiry_max_s: u32,
}

/// The negotiated terms of a connection.
#[derive(Clone, Debug)]
pub(crate) struct NegotiatedConnect {
    pub(crate) client: ClientId,
    pub(crate) terms: ConnectionTerms,
    /// The connection is closed after so long without a packet [MQTT-3.1.2-22].
    pub(crate) keep_alive_timeout: Option<Duration>,
    pub(crate) clean_start: bool,
    pub(crate) expiry_s: u32,
    pub(crate) will: Option<LastWill>,
    properties: ConnackProperties,
}

/// Negotiates the terms of a connection.
///
/// # Errors
/// The reason to refuse with.
pub(crate) fn negotiate(connect: &Connect, limits: &ServerLimits) -> Result<NegotiatedConnect, Reason> {
    let asked = &connect.properties;
    if asked.authentication_method.is_some() {
        return Err(Reason::BadAuthenticationMethod);
    }
    let version = connect.version;
    // Operators find sessions by paths, where `.` and `..` are no names; only ids of letters and digits have to be taken
    // [MQTT-3.1.3-5].
    if connect.client_id.len() > CLIENT_ID_BYTES_MAX || matches!(&*connect.client_id, "." | "..") {
        return Err(Reason::ClientIdNotValid);
    }
    let assigned = connect.client_id.is_empty().then(|| format!("auto-{:016x}", random()));
    if assigned.is_some() && version == Version::V3 && !connect.clean_start {
        // [MQTT-3.1.3-8] of 3.1.1.
        return Err(Reason::ClientIdNotValid);
    }
    let client: ClientId = assigned.as_deref().unwrap_or(&connect.client_id).into();
    let wanted_s = match version {
        Version::V3 if connect.clean_start => 0,
        Version::V3 => limits.session_expiry_max_s,
        Version::V5 => asked.session_expiry_s.unwrap_or(0),
    };
    let expiry_s = wanted_s.min(limits.session_expiry_max_s);
    let keep_alive_s = match limits.keep_alive_max_s {
        // Only version 5 has Server Keep Alive (3.2.2.3.14).
        Some(most) if version == Version::V5 && (connect.keep_alive_s == 0 || connect.keep_alive_s > most) => most,
        _ => connect.keep_alive_s,
    };
    let terms = ConnectionTerms {
        version,
        receive_max: asked.receive_max.map_or(OUTBOUND_INFLIGHT_MAX, NonZeroU16::get).min(OUTBOUND_INFLIGHT_MAX),
        packet_max_bytes: asked.packet_max_bytes.map_or(u32::MAX, NonZeroU32::get),
        alias_max: asked.topic_alias_max.unwrap_or(0).min(OUTBOUND_ALIASES_MAX),
        lasting: expiry_s > 0,
        // A client that says nothing is told (3.1.2.11.7).
        tells_reasons: version == Version::V5 && asked.request_problem_information != Some(false),
    };
    let properties = ConnackProperties {
        session_expiry_s: (version == Version::V5 && wanted_s != expiry_s).then_some(expiry_s),
        receive_max: Some(limits.receive_max),
        packet_max_bytes: NonZeroU32::new(limits.packet_max_bytes),
        assigned_client_id: assigned.map(ByteString::from),
        topic_alias_max: Some(INBOUND_ALIASES_MAX),
        server_keep_alive_s: (keep_alive_s != connect.keep_alive_s).then_some(keep_alive_s),
        ..ConnackProperties::default()
    };
    let will = connect.will.as_ref().map(|will| LastWill {
        message: Arc::new(Message::from_will(will, &client).compact()),
        delay_s: will.delay_s.unwrap_or(0),
    });
    let keep_alive_timeout = (keep_alive_s > 0).then(|| Duration::from_millis(u64::from(keep_alive_s) * 1500));
    Ok(NegotiatedConnect {
        client,
        terms,
        keep_alive_timeout,
        clean_start: connect.clean_start,
        expiry_s,
        will,
        properties,
    })
}

impl NegotiatedConnect {
    /// The claim of the session.
    pub(crate) fn claim(&self, user: Option<&str>, now_ms: UnixMs) -> SessionClaim {
        SessionClaim {
            now_ms,
            client: Arc::clone(&self.client),
            user: user.map(Arc::from),
            // In 3.1.1 a clean session also ends with its connection, which its expiry of 0 says.
            clean_start: self.clean_start,
            expiry_s: self.expiry_s,
            will: self.will.clone(),
            takes_over: false,
        }
    }

    /// Whether the client takes a packet as large as the answer.
    pub(crate) fn fits_client(&self) -> bool {
        if self.terms.packet_max_bytes == u32::MAX {
            return true;
        }
        let connack = Packet::Connack(Box::new(self.connack(true)));
        connack.encode(self.terms.version, self.terms.packet_max_bytes, &mut BytesMut::new()).is_ok()
    }

    /// The answer.
    pub(crate) fn connack(&self, session_present: bool) -> Connack {
        Connack { session_present, reason: Reason::Success, properties: self.properties.clone() }
    }
}

/// The answer that refuses.
pub(crate) fn refusal_connack(reason: Reason) -> Connack {
    Connack { session_present: false, reason, properties: ConnackProperties::default() }
}
