//! Any packet that can be said, for each side and version.

use std::num::{NonZeroU16, NonZeroU32};

use mqtt::codec::{
    Ack, Auth, ByteString, Bytes, Connack, ConnackProperties, Connect, ConnectProperties, Delivery, Disconnect,
    MessageProperties, Packet, PacketId, PacketKind, Publish, Qos, Reason, RetainHandling, Suback, Subscribe,
    Subscription, SubscriptionOptions, Unsuback, Unsubscribe, UserProperties, Version, Will, check_text, topic,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

use super::notation::Connection;

fn text() -> impl Strategy<Value = ByteString> {
    prop_oneof!["[a-z0-9]{0,12}", "\\PC{0,12}", Just("x".repeat(300)), Just("\u{FEFF}é\u{2A6D4}".to_owned())]
        .prop_filter("texts of MQTT", |text| check_text(text).is_ok())
        .prop_map(ByteString::from)
}

fn name() -> impl Strategy<Value = ByteString> {
    prop_oneof!["[a-z]{1,5}(/[a-z0-9]{0,5}){0,4}", "\\$SYS/[a-z]{1,5}", "\\PC{1,8}"]
        .prop_filter("names", |name| check_text(name).is_ok() && topic::check_name(name).is_ok())
        .prop_map(ByteString::from)
}

fn filter() -> impl Strategy<Value = ByteString> {
    prop_oneof!["[a-z]{1,5}(/(\\+|[a-z0-9]{0,5})){0,4}(/#)?", "#", "\\$share/[a-z]{1,4}/(\\+/)?[a-z]{1,4}(/#)?"]
        .prop_map(ByteString::from)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![vec(any::<u8>(), 0..40), Just(vec![7; 200])].prop_map(Bytes::from)
}

fn user() -> impl Strategy<Value = UserProperties> {
    vec((text(), text()), 0..3)
        .prop_map(|pairs| UserProperties::from_pairs(pairs.iter().map(|(name, value)| (&**name, &**value))).unwrap())
}

fn nonzero_two() -> impl Strategy<Value = NonZeroU16> {
    (1..=u16::MAX).prop_map(|value| NonZeroU16::new(value).unwrap())
}

fn nonzero_four() -> impl Strategy<Value = NonZeroU32> {
    (1..=u32::MAX).prop_map(|value| NonZeroU32::new(value).unwrap())
}

pub(super) fn packet_id() -> impl Strategy<Value = PacketId> {
    nonzero_two()
}

fn qos() -> impl Strategy<Value = Qos> {
    (0..3_u8).prop_map(|level| Qos::new(level).unwrap())
}

fn reason(kind: PacketKind) -> impl Strategy<Value = Reason> {
    let all: Vec<Reason> = (0..=255).filter_map(|code| Reason::new(kind, code)).collect();
    proptest::sample::select(all)
}

fn message() -> impl Strategy<Value = MessageProperties> {
    (
        option::of(any::<bool>()),
        option::of(any::<u32>()),
        option::of(text()),
        option::of(name()),
        option::of(bytes()),
        user(),
    )
        .prop_map(|(payload_is_text, expiry_s, content_type, response_topic, correlation_data, user)| {
            MessageProperties { payload_is_text, expiry_s, content_type, response_topic, correlation_data, user }
        })
}

fn will() -> impl Strategy<Value = Will> {
    (qos(), any::<bool>(), name(), bytes(), option::of(any::<u32>()), message()).prop_map(
        |(qos, retain, topic, payload, delay_s, properties)| Will { qos, retain, topic, payload, delay_s, properties },
    )
}

fn connect_properties() -> impl Strategy<Value = ConnectProperties> {
    (
        (option::of(any::<u32>()), option::of(nonzero_two()), option::of(nonzero_four()), option::of(any::<u16>())),
        (option::of(any::<bool>()), option::of(any::<bool>())),
        option::of((text(), option::of(bytes()))),
        user(),
    )
        .prop_map(
            |((session_expiry_s, receive_max, packet_max_bytes, topic_alias_max), flags, authentication, user)| {
                let (authentication_method, authentication_data) = authentication.unzip();
                ConnectProperties {
                    session_expiry_s,
                    receive_max,
                    packet_max_bytes,
                    topic_alias_max,
                    request_response_information: flags.0,
                    request_problem_information: flags.1,
                    authentication_method,
                    authentication_data: authentication_data.flatten(),
                    user,
                }
            },
        )
}

fn connect() -> impl Strategy<Value = Packet> {
    (
        prop_oneof![Just(Version::V3), Just(Version::V5)],
        any::<bool>(),
        any::<u16>(),
        text(),
        option::of(will()),
        option::of(text()),
        option::of(bytes()),
        connect_properties(),
    )
        .prop_map(|(version, clean_start, keep_alive_s, client_id, will, username, password, properties)| {
            let connect =
                Connect { version, clean_start, keep_alive_s, client_id, will, username, password, properties };
            in_version(Packet::Connect(Box::new(connect)), version)
        })
}

fn connack() -> impl Strategy<Value = Packet> {
    (
        any::<bool>(),
        reason(PacketKind::Connack),
        (option::of(any::<u32>()), option::of(nonzero_two()), option::of(nonzero_four()), option::of(any::<u16>())),
        (option::of(any::<bool>()), option::of(any::<bool>()), option::of(any::<bool>()), option::of(any::<bool>())),
        (option::of(text()), option::of(text()), option::of(text()), option::of(text())),
        (option::of(0..2_u8), option::of(any::<u16>()), option::of((text(), option::of(bytes()))), user()),
    )
        .prop_map(|(present, reason, numbers, flags, texts, rest)| {
            let (authentication_method, authentication_data) = rest.2.unzip();
            Packet::Connack(Box::new(Connack {
                session_present: present && reason == Reason::Success,
                reason,
                properties: ConnackProperties {
                    session_expiry_s: numbers.0,
                    receive_max: numbers.1,
                    qos_max: rest.0.and_then(Qos::new),
                    retain_available: flags.0,
                    packet_max_bytes: numbers.2,
                    assigned_client_id: texts.0,
                    topic_alias_max: numbers.3,
                    reason_string: texts.1,
                    wildcard_available: flags.1,
                    subscription_ids_available: flags.2,
                    shared_available: flags.3,
                    server_keep_alive_s: rest.1,
                    response_information: texts.2,
                    server_reference: texts.3,
                    authentication_method,
                    authentication_data: authentication_data.flatten(),
                    user: rest.3,
                },
            }))
        })
}

/// A PUBLISH as this side may receive it.
pub(super) fn publish(to_client: bool) -> impl Strategy<Value = Publish> {
    let ids = if to_client { 0..4_usize } else { 0..1 };
    let delivery = prop_oneof![
        Just(Delivery::AtMostOnce),
        packet_id().prop_map(Delivery::AtLeastOnce),
        packet_id().prop_map(Delivery::ExactlyOnce)
    ];
    (
        any::<bool>(),
        any::<bool>(),
        delivery,
        name(),
        option::of((nonzero_two(), any::<bool>())),
        vec(1..=268_435_455_u32, ids),
        message(),
        bytes(),
    )
        .prop_map(|(dup, retain, delivery, topic, alias, subscription_ids, properties, payload)| Publish {
            dup: dup && delivery != Delivery::AtMostOnce,
            retain,
            delivery,
            topic: if alias.is_some_and(|(_, is_alone)| is_alone) { ByteString::new() } else { topic },
            topic_alias: alias.map(|(alias, _)| alias),
            subscription_ids,
            properties,
            payload,
        })
}

fn ack(kind: PacketKind, wrap: fn(Ack) -> Packet) -> impl Strategy<Value = Packet> {
    (packet_id(), reason(kind), option::of(text()), user())
        .prop_map(move |(packet_id, reason, reason_string, user)| wrap(Ack { packet_id, reason, reason_string, user }))
}

fn subscription() -> impl Strategy<Value = Subscription> {
    let handling =
        proptest::sample::select(vec![RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend]);
    (filter(), qos(), any::<bool>(), any::<bool>(), handling).prop_map(
        |(filter, qos, no_local, retain_as_published, retain_handling)| {
            let no_local = no_local && topic::shared(&filter).is_none();
            Subscription {
                filter,
                options: SubscriptionOptions { qos, no_local, retain_as_published, retain_handling },
            }
        },
    )
}

fn subscribe() -> impl Strategy<Value = Packet> {
    (packet_id(), option::of(1..=268_435_455_u32), user(), vec(subscription(), 1..5)).prop_map(
        |(packet_id, subscription_id, user, subscriptions)| {
            Packet::Subscribe(Subscribe { packet_id, subscription_id, user, subscriptions })
        },
    )
}

fn disconnect(to_client: bool) -> impl Strategy<Value = Packet> {
    let of_servers = |reason: &Reason| {
        let by_either = [0x00, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99];
        !by_either.contains(&reason.code()) && *reason != Reason::DisconnectWithWill
    };
    (reason(PacketKind::Disconnect), option::of(any::<u32>()), option::of(text()), option::of(text()), user()).prop_map(
        move |(reason, expiry, reason_string, reference, user)| {
            let is_wrong = if to_client { reason == Reason::DisconnectWithWill } else { of_servers(&reason) };
            Packet::Disconnect(Disconnect {
                reason: if is_wrong { Reason::Success } else { reason },
                session_expiry_s: expiry.filter(|_| !to_client),
                reason_string,
                server_reference: reference.filter(|_| to_client),
                user,
            })
        },
    )
}

fn auth() -> impl Strategy<Value = Packet> {
    (reason(PacketKind::Auth), text(), option::of(bytes()), option::of(text()), user()).prop_map(
        |(reason, method, authentication_data, reason_string, user)| {
            Packet::Auth(Auth { reason, authentication_method: Some(method), authentication_data, reason_string, user })
        },
    )
}

/// Any packet that may come on this connection.
pub(super) fn packet(connection: Connection) -> proptest::strategy::BoxedStrategy<Packet> {
    let both = |to_client: bool| {
        prop_oneof![
            4 => publish(to_client).prop_map(Packet::Publish),
            1 => ack(PacketKind::Puback, Packet::Puback),
            1 => ack(PacketKind::Pubrec, Packet::Pubrec),
            1 => ack(PacketKind::Pubrel, Packet::Pubrel),
            1 => ack(PacketKind::Pubcomp, Packet::Pubcomp),
            1 => disconnect(to_client),
            1 => auth(),
        ]
    };
    match connection {
        Connection::First => connect().boxed(),
        Connection::ToServer(version) => prop_oneof![
            6 => both(false),
            2 => subscribe(),
            1 => (packet_id(), user(), vec(filter(), 1..5))
                .prop_map(|(packet_id, user, filters)| Packet::Unsubscribe(Unsubscribe { packet_id, user, filters })),
            1 => Just(Packet::Pingreq),
        ]
        .prop_filter("3.1.1 has no AUTH", move |packet| exists(packet, connection))
        .prop_map(move |packet| in_version(packet, version))
        .boxed(),
        Connection::ToClient(version) => prop_oneof![
            6 => both(true),
            2 => connack(),
            1 => (packet_id(), vec(reason(PacketKind::Suback), 1..5), option::of(text()), user()).prop_map(
                |(packet_id, reasons, reason_string, user)| Packet::Suback(Suback { packet_id, reasons, reason_string, user })
            ),
            1 => (packet_id(), vec(reason(PacketKind::Unsuback), 1..5), option::of(text()), user()).prop_map(
                |(packet_id, reasons, reason_string, user)| Packet::Unsuback(Unsuback { packet_id, reasons, reason_string, user })
            ),
            1 => Just(Packet::Pingresp),
        ]
        .prop_filter("3.1.1 has no AUTH and no farewell of servers", move |packet| exists(packet, connection))
        .prop_map(move |packet| in_version(packet, version))
        .boxed(),
    }
}

fn exists(packet: &Packet, connection: Connection) -> bool {
    match packet.kind() {
        PacketKind::Auth => {
            !matches!(connection, Connection::ToServer(Version::V3) | Connection::ToClient(Version::V3))
        }
        PacketKind::Disconnect => connection != Connection::ToClient(Version::V3),
        _ => true,
    }
}

/// What is left of a packet when 3.1.1 says it.
fn in_version(mut packet: Packet, version: Version) -> Packet {
    if version == Version::V5 {
        return packet;
    }
    match &mut packet {
        Packet::Connect(connect) => {
            connect.properties = ConnectProperties::default();
            connect.password = connect.password.take().filter(|_| connect.username.is_some());
            if let Some(will) = &mut connect.will {
                (will.delay_s, will.properties) = (None, MessageProperties::default());
            }
        }
        Packet::Connack(connack) => {
            connack.properties = ConnackProperties::default();
            connack.reason = Reason::from_return_code(connack.reason.return_code()).unwrap();
        }
        Packet::Publish(publish) => {
            if publish.topic.is_empty() {
                publish.topic = ByteString::from_static("t");
            }
            (publish.topic_alias, publish.properties) = (None, MessageProperties::default());
            publish.subscription_ids.clear();
        }
        Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
            *ack = Ack::success(ack.packet_id);
        }
        Packet::Subscribe(subscribe) => {
            (subscribe.subscription_id, subscribe.user) = (None, UserProperties::default());
            for subscription in &mut subscribe.subscriptions {
                subscription.options = SubscriptionOptions { qos: subscription.options.qos, ..Default::default() };
            }
        }
        Packet::Suback(suback) => {
            (suback.reason_string, suback.user) = (None, UserProperties::default());
            for reason in suback.reasons.iter_mut().filter(|reason| reason.is_error()) {
                *reason = Reason::Unspecified;
            }
        }
        Packet::Unsubscribe(unsubscribe) => unsubscribe.user = UserProperties::default(),
        Packet::Unsuback(unsuback) => {
            (unsuback.reason_string, unsuback.user) = (None, UserProperties::default());
            unsuback.reasons.clear();
        }
        Packet::Disconnect(disconnect) => *disconnect = Disconnect::because(Reason::Success),
        Packet::Auth(_) | Packet::Pingreq | Packet::Pingresp => {}
    }
    packet
}

/// Every connection there is.
pub(super) const CONNECTIONS: [Connection; 5] = [
    Connection::First,
    Connection::ToServer(Version::V3),
    Connection::ToServer(Version::V5),
    Connection::ToClient(Version::V3),
    Connection::ToClient(Version::V5),
];

/// A connection and a packet that may come on it.
pub(super) fn said() -> impl Strategy<Value = (Connection, Packet)> {
    proptest::sample::select(CONNECTIONS.to_vec())
        .prop_flat_map(|connection| packet(connection).prop_map(move |packet| (connection, packet)))
}
