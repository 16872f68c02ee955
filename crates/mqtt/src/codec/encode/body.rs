//! What follows the fixed header, for every packet but PUBLISH.

use bytes::Bytes;
use bytestring::ByteString;

use super::super::byte_sink::{ByteSink, properties};
use super::super::property_id as id;
use super::super::{
    Ack, Auth, Connack, Connect, ConnectProperties, Disconnect, Packet, Qos, Reason, Suback, Subscribe,
    SubscriptionOptions, Unsuback, Unsubscribe, UserProperties, Version, Will,
};
use super::publish::message_properties;

/// Whether reason strings and user properties of answers are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    Full,
    Terse,
}

pub(super) fn write(packet: &Packet, version: Version, detail: Detail, out: &mut dyn ByteSink) {
    match packet {
        Packet::Connect(connect) => self::connect(connect, out),
        Packet::Connack(connack) => self::connack(connack, version, detail, out),
        Packet::Subscribe(subscribe) => self::subscribe(subscribe, version, out),
        Packet::Suback(suback) => self::suback(suback, version, detail, out),
        Packet::Unsubscribe(unsubscribe) => self::unsubscribe(unsubscribe, version, out),
        Packet::Unsuback(unsuback) => self::unsuback(unsuback, version, detail, out),
        Packet::Disconnect(disconnect) => self::disconnect(disconnect, version, detail, out),
        Packet::Auth(auth) => self::auth(auth, detail, out),
        Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
            self::ack(ack, version, detail, out);
        }
        Packet::Publish(_) | Packet::Pingreq | Packet::Pingresp => {}
    }
}

pub(super) fn ack(ack: &Ack, version: Version, detail: Detail, out: &mut dyn ByteSink) {
    out.two(ack.packet_id.get());
    if version == Version::V3 {
        return;
    }
    let is_plain = detail == Detail::Terse || (ack.reason_string.is_none() && ack.user.is_empty());
    if is_plain && ack.reason == Reason::Success {
        return;
    }
    out.byte(ack.reason.code());
    if !is_plain {
        properties(out, &|out| reason_details(ack.reason_string.as_ref(), &ack.user, detail, out));
    }
}

/// Reason string and user properties, where there is room for them.
fn reason_details(reason: Option<&ByteString>, user: &UserProperties, detail: Detail, out: &mut dyn ByteSink) {
    if detail == Detail::Full {
        text(id::REASON_STRING, reason, out);
        out.bytes(user.wire());
    }
}

fn text(id: u8, value: Option<&ByteString>, out: &mut dyn ByteSink) {
    if let Some(value) = value {
        out.byte(id);
        out.field(value.as_bytes());
    }
}

fn binary(id: u8, value: Option<&Bytes>, out: &mut dyn ByteSink) {
    if let Some(value) = value {
        out.byte(id);
        out.field(value);
    }
}

fn flag(id: u8, value: Option<bool>, out: &mut dyn ByteSink) {
    if let Some(value) = value {
        out.byte(id);
        out.byte(u8::from(value));
    }
}

fn two(id: u8, value: Option<u16>, out: &mut dyn ByteSink) {
    if let Some(value) = value {
        out.byte(id);
        out.two(value);
    }
}

fn four(id: u8, value: Option<u32>, out: &mut dyn ByteSink) {
    if let Some(value) = value {
        out.byte(id);
        out.four(value);
    }
}

fn connect(connect: &Connect, out: &mut dyn ByteSink) {
    out.field(b"MQTT");
    out.byte(match connect.version {
        Version::V3 => 4,
        Version::V5 => 5,
    });
    let will = connect.will.as_ref();
    let will_bits = will.map_or(0, |will| 1 << 2 | (will.qos as u8) << 3 | u8::from(will.retain) << 5);
    out.byte(
        u8::from(connect.clean_start) << 1
            | will_bits
            | u8::from(connect.password.is_some()) << 6
            | u8::from(connect.username.is_some()) << 7,
    );
    out.two(connect.keep_alive_s);
    if connect.version == Version::V5 {
        properties(out, &|out| connect_properties(&connect.properties, out));
    }
    out.field(connect.client_id.as_bytes());
    if let Some(will) = will {
        self::will(will, connect.version, out);
    }
    if let Some(username) = &connect.username {
        out.field(username.as_bytes());
    }
    if let Some(password) = &connect.password {
        out.field(password);
    }
}

fn connect_properties(from: &ConnectProperties, out: &mut dyn ByteSink) {
    four(id::SESSION_EXPIRY, from.session_expiry_s, out);
    two(id::RECEIVE_MAX, from.receive_max.map(Into::into), out);
    four(id::PACKET_MAX, from.packet_max_bytes.map(Into::into), out);
    two(id::TOPIC_ALIAS_MAX, from.topic_alias_max, out);
    flag(id::REQUEST_RESPONSE_INFORMATION, from.request_response_information, out);
    flag(id::REQUEST_PROBLEM_INFORMATION, from.request_problem_information, out);
    out.bytes(from.user.wire());
    text(id::AUTHENTICATION_METHOD, from.authentication_method.as_ref(), out);
    binary(id::AUTHENTICATION_DATA, from.authentication_data.as_ref(), out);
}

fn will(will: &Will, version: Version, out: &mut dyn ByteSink) {
    if version == Version::V5 {
        properties(out, &|out| {
            four(id::WILL_DELAY, will.delay_s, out);
            message_properties(&will.properties, out);
        });
    }
    out.field(will.topic.as_bytes());
    out.field(&will.payload);
}

fn connack(connack: &Connack, version: Version, detail: Detail, out: &mut dyn ByteSink) {
    out.byte(u8::from(connack.session_present));
    if version == Version::V3 {
        out.byte(connack.reason.return_code());
        return;
    }
    out.byte(connack.reason.code());
    let from = &connack.properties;
    properties(out, &|out| {
        four(id::SESSION_EXPIRY, from.session_expiry_s, out);
        text(id::ASSIGNED_CLIENT_ID, from.assigned_client_id.as_ref(), out);
        two(id::SERVER_KEEP_ALIVE, from.server_keep_alive_s, out);
        text(id::AUTHENTICATION_METHOD, from.authentication_method.as_ref(), out);
        binary(id::AUTHENTICATION_DATA, from.authentication_data.as_ref(), out);
        text(id::RESPONSE_INFORMATION, from.response_information.as_ref(), out);
        text(id::SERVER_REFERENCE, from.server_reference.as_ref(), out);
        two(id::TOPIC_ALIAS_MAX, from.topic_alias_max, out);
        flag(id::RETAIN_AVAILABLE, from.retain_available, out);
        four(id::PACKET_MAX, from.packet_max_bytes.map(Into::into), out);
        two(id::RECEIVE_MAX, from.receive_max.map(Into::into), out);
        // 2 is said by saying nothing (3.2.2.3.4).
        flag(id::QOS_MAX, from.qos_max.filter(|qos| *qos < Qos::ExactlyOnce).map(|qos| qos == Qos::AtLeastOnce), out);
        flag(id::WILDCARD_AVAILABLE, from.wildcard_available, out);
        flag(id::SUBSCRIPTION_IDS_AVAILABLE, from.subscription_ids_available, out);
        flag(id::SHARED_AVAILABLE, from.shared_available, out);
        reason_details(from.reason_string.as_ref(), &from.user, detail, out);
    });
}

fn subscribe(subscribe: &Subscribe, version: Version, out: &mut dyn ByteSink) {
    out.two(subscribe.packet_id.get());
    if version == Version::V5 {
        properties(out, &|out| {
            if let Some(number) = subscribe.subscription_id {
                out.byte(id::SUBSCRIPTION_ID);
                out.variable(number);
            }
            out.bytes(subscribe.user.wire());
        });
    }
    for subscription in &subscribe.subscriptions {
        out.field(subscription.filter.as_bytes());
        out.byte(options(subscription.options, version));
    }
}

fn options(options: SubscriptionOptions, version: Version) -> u8 {
    let qos = options.qos as u8;
    match version {
        Version::V3 => qos,
        Version::V5 => {
            qos | u8::from(options.no_local) << 2
                | u8::from(options.retain_as_published) << 3
                | (options.retain_handling as u8) << 4
        }
    }
}

fn suback(suback: &Suback, version: Version, detail: Detail, out: &mut dyn ByteSink) {
    out.two(suback.packet_id.get());
    if version == Version::V5 {
        properties(out, &|out| reason_details(suback.reason_string.as_ref(), &suback.user, detail, out));
    }
    for reason in &suback.reasons {
        let code = match version {
            // 3.1.1 has one word for every refusal [MQTT-3.9.3-2].
            Version::V3 if reason.is_error() => Reason::Unspecified.code(),
            _ => reason.code(),
        };
        out.byte(code);
    }
}

fn unsubscribe(unsubscribe: &Unsubscribe, version: Version, out: &mut dyn ByteSink) {
    out.two(unsubscribe.packet_id.get());
    if version == Version::V5 {
        properties(out, &|out| out.bytes(unsubscribe.user.wire()));
    }
    for filter in &unsubscribe.filters {
        out.field(filter.as_bytes());
    }
}

fn unsuback(unsuback: &Unsuback, version: Version, detail: Detail, out: &mut dyn ByteSink) {
    out.two(unsuback.packet_id.get());
    if version == Version::V3 {
        return;
    }
    properties(out, &|out| reason_details(unsuback.reason_string.as_ref(), &unsuback.user, detail, out));
    for reason in &unsuback.reasons {
        out.byte(reason.code());
    }
}

fn disconnect(disconnect: &Disconnect, version: Version, detail: Detail, out: &mut dyn ByteSink) {
    if version == Version::V3 {
        return;
    }
    let is_plain = disconnect.session_expiry_s.is_none()
        && disconnect.server_reference.is_none()
        && (detail == Detail::Terse || (disconnect.reason_string.is_none() && disconnect.user.is_empty()));
    if is_plain && disconnect.reason == Reason::Success {
        return;
    }
    out.byte(disconnect.reason.code());
    if is_plain {
        return;
    }
    properties(out, &|out| {
        four(id::SESSION_EXPIRY, disconnect.session_expiry_s, out);
        reason_details(disconnect.reason_string.as_ref(), &disconnect.user, detail, out);
        text(id::SERVER_REFERENCE, disconnect.server_reference.as_ref(), out);
    });
}

fn auth(auth: &Auth, detail: Detail, out: &mut dyn ByteSink) {
    let is_plain = auth.authentication_method.is_none()
        && auth.authentication_data.is_none()
        && (detail == Detail::Terse || (auth.reason_string.is_none() && auth.user.is_empty()));
    if is_plain && auth.reason == Reason::Success {
        return;
    }
    out.byte(auth.reason.code());
    properties(out, &|out| {
        text(id::AUTHENTICATION_METHOD, auth.authentication_method.as_ref(), out);
        binary(id::AUTHENTICATION_DATA, auth.authentication_data.as_ref(), out);
        reason_details(auth.reason_string.as_ref(), &auth.user, detail, out);
    });
}
