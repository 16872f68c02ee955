//! The codec held against two others: whatever one of them and ours both read is the same packet, and where their
//! verdicts differ, the difference is known and listed here with its reason.

use bytes::BytesMut;
use mqtt::codec::{ByteString, DecodeError, MessageProperties, Packet, PacketKind, TextFault, TopicFault, Version};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use tokio_util::codec::{Decoder as _, Encoder as _};

use super::arbitrary::said;
use super::notation::{Connection, cases, decode, encode};

/// What another codec makes of bytes.
#[derive(Debug)]
enum Verdict {
    /// Read, and written again.
    Read(Vec<u8>),
    /// Read; it cannot write it again.
    Unwritable,
    Incomplete,
    Refused,
}

/// Another codec.
struct Oracle {
    name: &'static str,
    read: fn(Version, &[u8]) -> Verdict,
    /// What it lets through and we refuse.
    lets_through: fn(&DecodeError) -> bool,
    /// What it refuses and we read.
    refuses: fn(&Packet) -> bool,
    /// What it does not write as it read it.
    changes: fn(Version, &Packet) -> bool,
}

const ORACLES: [Oracle; 2] = [
    Oracle {
        name: "mqtt-proto",
        read: mqtt_proto_read,
        lets_through: mqtt_proto_lets_through,
        refuses: mqtt_proto_refuses,
        changes: mqtt_proto_changes,
    },
    Oracle {
        name: "rmqtt-codec",
        read: rmqtt_read,
        lets_through: rmqtt_lets_through,
        refuses: rmqtt_refuses,
        changes: rmqtt_changes,
    },
];

fn mqtt_proto_read(version: Version, bytes: &[u8]) -> Verdict {
    macro_rules! read {
        ($packet:path) => {
            match <$packet>::decode(bytes) {
                Ok(None) => Verdict::Incomplete,
                Ok(Some(packet)) => match packet.encode() {
                    Ok(again) => Verdict::Read(again.as_ref().to_vec()),
                    Err(_) => Verdict::Unwritable,
                },
                Err(_) => Verdict::Refused,
            }
        };
    }
    match version {
        Version::V3 => read!(mqtt_proto::v3::Packet),
        Version::V5 => read!(mqtt_proto::v5::Packet),
    }
}

fn rmqtt_read(version: Version, bytes: &[u8]) -> Verdict {
    macro_rules! read {
        ($codec:expr) => {{
            let mut codec = $codec;
            match codec.decode(&mut BytesMut::from(bytes)) {
                Ok(None) => Verdict::Incomplete,
                Ok(Some((packet, _))) => {
                    let mut again = BytesMut::new();
                    match codec.encode(packet, &mut again) {
                        Ok(()) => Verdict::Read(again.to_vec()),
                        Err(_) => Verdict::Unwritable,
                    }
                }
                Err(_) => Verdict::Refused,
            }
        }};
    }
    match version {
        Version::V3 => read!(rmqtt_codec::v3::Codec::new(0)),
        Version::V5 => read!(rmqtt_codec::v5::Codec::new(0, 0)),
    }
}

/// Both read packets without knowing which side they are on; both let control characters through (the standard leaves
/// it open), and much else.
fn both_let_through(error: &DecodeError) -> bool {
    matches!(
        error,
        DecodeError::WrongDirection(_)
            | DecodeError::NotConnect(_)
            | DecodeError::PropertyNotAllowed { kind: PacketKind::Publish | PacketKind::Disconnect, .. }
            | DecodeError::Reason { kind: PacketKind::Disconnect, .. }
            | DecodeError::Text { fault: TextFault::Control | TextFault::NonCharacter | TextFault::Null, .. }
            | DecodeError::ClientId
            | DecodeError::Topic(TopicFault::Empty | TopicFault::TooManyLevels)
            | DecodeError::NoTopic
            | DecodeError::DupAtMostOnce
            | DecodeError::WillFlags
            | DecodeError::PasswordWithoutUserName
            | DecodeError::AuthenticationDataAlone
            | DecodeError::NoAuthenticationMethod
            | DecodeError::RefusalWithSession
            | DecodeError::SharedNoLocal
            | DecodeError::Nothing(PacketKind::Suback)
            | DecodeError::TrailingBytes(
                PacketKind::Connect | PacketKind::Pingreq | PacketKind::Pingresp | PacketKind::Disconnect
            )
    )
}

fn mqtt_proto_lets_through(error: &DecodeError) -> bool {
    both_let_through(error)
        || matches!(
            error,
            // Zero where the standard forbids it.
            DecodeError::PropertyValue(_)
                | DecodeError::SubscriptionIdZero
                | DecodeError::VariableInteger
                | DecodeError::TopicAliasZero
                | DecodeError::TrailingBytes(_)
        )
}

fn mqtt_proto_refuses(packet: &Packet) -> bool {
    match packet {
        Packet::Publish(publish) => {
            publish.subscription_ids.len() > 1 || is_wrong_text(&publish.properties, &publish.payload)
        }
        // Its names have at most 256 bytes.
        Packet::Connect(connect) => {
            let is_long = |text: &ByteString| text.len() > 256;
            is_long(&connect.client_id)
                || connect.username.as_ref().is_some_and(is_long)
                || connect.will.as_ref().is_some_and(|will| is_wrong_text(&will.properties, &will.payload))
        }
        _ => false,
    }
}

/// A payload that says it is text and is not: to us that is for the session to answer.
fn is_wrong_text(properties: &MessageProperties, payload: &[u8]) -> bool {
    properties.payload_is_text == Some(true) && str::from_utf8(payload).is_err()
}

fn mqtt_proto_changes(version: Version, packet: &Packet) -> bool {
    // It writes the refusal of SUBACK as 3.
    version == Version::V3 && matches!(packet, Packet::Suback(_))
}

fn rmqtt_lets_through(error: &DecodeError) -> bool {
    both_let_through(error)
        || matches!(
            error,
            // Topics and filters are left to the application.
            DecodeError::Topic(_)
                | DecodeError::VariableInteger
                | DecodeError::UnsupportedVersion(_)
                | DecodeError::PropertyValue(_)
                | DecodeError::SubscriptionOptions
                | DecodeError::Reason { kind: PacketKind::Connack | PacketKind::Suback, .. }
        )
}

fn rmqtt_refuses(packet: &Packet) -> bool {
    match packet {
        Packet::Connect(connect) => {
            let expires_at_once = connect.will.as_ref().is_some_and(|will| will.properties.expiry_s == Some(0));
            (connect.client_id.is_empty() && !connect.clean_start) || expires_at_once
        }
        Packet::Publish(publish) => publish.properties.expiry_s == Some(0),
        _ => false,
    }
}

fn rmqtt_changes(_version: Version, packet: &Packet) -> bool {
    // It has no short form of AUTH.
    matches!(packet, Packet::Auth(auth) if auth.authentication_method.is_none())
}

/// A packet without the values that are said by saying nothing: the others do not keep them apart.
fn normal(mut packet: Packet) -> Packet {
    fn message(properties: &mut MessageProperties) {
        properties.payload_is_text = properties.payload_is_text.filter(|is_text| *is_text);
    }
    match &mut packet {
        Packet::Publish(publish) => message(&mut publish.properties),
        Packet::Connect(connect) => {
            let properties = &mut connect.properties;
            properties.session_expiry_s = properties.session_expiry_s.filter(|seconds| *seconds > 0);
            properties.receive_max = properties.receive_max.filter(|max| max.get() < u16::MAX);
            properties.topic_alias_max = properties.topic_alias_max.filter(|max| *max > 0);
            properties.request_response_information = properties.request_response_information.filter(|asked| *asked);
            properties.request_problem_information = properties.request_problem_information.filter(|asked| !*asked);
            if let Some(will) = &mut connect.will {
                message(&mut will.properties);
                will.delay_s = will.delay_s.filter(|seconds| *seconds > 0);
            }
        }
        Packet::Connack(connack) => {
            let properties = &mut connack.properties;
            properties.receive_max = properties.receive_max.filter(|max| max.get() < u16::MAX);
            properties.topic_alias_max = properties.topic_alias_max.filter(|max| *max > 0);
            for flag in [
                &mut properties.retain_available,
                &mut properties.wildcard_available,
                &mut properties.subscription_ids_available,
                &mut properties.shared_available,
            ] {
                *flag = flag.filter(|is_available| !*is_available);
            }
        }
        _ => {}
    }
    packet
}

/// 3.1 is another protocol to both: one does not know its flags, the other writes it wrongly.
fn is_old(bytes: &[u8]) -> bool {
    bytes.windows(6).any(|window| window == b"MQIsdp")
}

/// The version that another codec must be told: for a first packet, the one that it names.
fn spoken(connection: Connection, bytes: &[u8]) -> Version {
    match connection {
        Connection::ToServer(version) | Connection::ToClient(version) => version,
        Connection::First => match bytes.windows(5).find(|window| window.starts_with(b"MQTT")) {
            Some([.., 5]) => Version::V5,
            _ => Version::V3,
        },
    }
}

/// What one of them says differently, if that is not known.
fn difference(oracle: &Oracle, connection: Connection, bytes: &[u8]) -> Option<String> {
    if is_old(bytes) {
        return None;
    }
    let version = spoken(connection, bytes);
    let ours = decode(connection, bytes);
    let theirs = (oracle.read)(version, bytes);
    let is_known = match (&ours, &theirs) {
        (Ok(Some(packet)), Verdict::Read(again)) => match decode(connection, again) {
            Ok(Some(same)) if normal(same.clone()) == normal(packet.clone()) => true,
            _ if (oracle.changes)(version, packet) => true,
            other => return Some(format!("{}: {packet:?} became {other:?}", oracle.name)),
        },
        (Ok(Some(packet)), _) => (oracle.refuses)(packet),
        (Err(error), Verdict::Read(_) | Verdict::Unwritable) => (oracle.lets_through)(error),
        (Err(_) | Ok(None), _) => true,
    };
    (!is_known).then(|| format!("{} says {theirs:?} and we {ours:?} of {bytes:02X?}", oracle.name))
}

#[test]
fn others_agree_about_the_table() {
    let mut different = vec![];
    for case in cases() {
        for oracle in &ORACLES {
            if let Some(difference) = difference(oracle, case.connection, &case.bytes) {
                different.push(format!("{}: {difference}", case.name));
            }
        }
    }
    assert!(different.is_empty(), "{different:#?}");
}

proptest! {
    #[test]
    fn others_read_what_we_write((connection, packet) in said()) {
        let bytes = encode(&packet, super::notation::version(connection, &packet));
        for oracle in &ORACLES {
            let difference = difference(oracle, connection, &bytes);
            prop_assert_eq!(difference, None);
        }
    }

    /// One byte is changed. Neither of the others is strict, so only this is asked: nothing that both refuse is read, and
    /// what both read as the same packet is no other packet to us.
    #[test]
    fn others_agree_about_changed_packets((connection, packet) in said(), at in any::<usize>(), to in any::<u8>()) {
        let mut bytes = encode(&packet, super::notation::version(connection, &packet)).to_vec();
        let at = at % bytes.len();
        bytes[at] = to;
        if let Ok(Some(ours)) = decode_first(connection, &bytes) && !is_old(&bytes) {
            let version = spoken(connection, &bytes);
            let theirs = ORACLES.map(|oracle| {
                let is_excused = (oracle.refuses)(&ours) || (oracle.changes)(version, &ours);
                match (oracle.read)(version, &bytes) {
                    Verdict::Read(again) if !is_excused => decode_first(connection, &again).ok().flatten().map(normal),
                    Verdict::Refused if !is_excused => None,
                    _ => Some(normal(ours.clone())),
                }
            });
            prop_assert!(theirs.contains(&Some(normal(ours.clone()))), "{:?} was read as {:?}", ours, theirs);
        }
    }
}

/// The first packet of bytes that may hold more.
fn decode_first(connection: Connection, bytes: &[u8]) -> Result<Option<Packet>, DecodeError> {
    super::notation::decoder(connection).decode(&mut BytesMut::from(bytes))
}
