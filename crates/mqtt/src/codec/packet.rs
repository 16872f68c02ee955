//! The fifteen control packets, as values. One set of types serves both versions: what 3.1.1 lacks is absent when
//! decoded and left out when encoded. A value can hold only what a packet can say (a packet id is never zero, QoS 0
//! has none); texts are not checked: the builder of a packet calls [`super::check_text`] and [`super::topic`].

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;

use super::{PacketId, PacketKind, Qos, Reason, UserProperties, Version};

/// A control packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A client asks for a connection.
    Connect(Box<Connect>),
    /// The server's answer.
    Connack(Box<Connack>),
    /// An application message.
    Publish(Publish),
    /// QoS 1: received.
    Puback(Ack),
    /// QoS 2: received, first step.
    Pubrec(Ack),
    /// QoS 2: released, second step.
    Pubrel(Ack),
    /// QoS 2: complete, third step.
    Pubcomp(Ack),
    /// A client asks for topics.
    Subscribe(Subscribe),
    /// The server's answer.
    Suback(Suback),
    /// A client asks for topics no more.
    Unsubscribe(Unsubscribe),
    /// The server's answer.
    Unsuback(Unsuback),
    /// A client asks for a sign of life.
    Pingreq,
    /// The server's answer.
    Pingresp,
    /// The connection ends, with a reason.
    Disconnect(Disconnect),
    /// A step of an extended authentication (version 5).
    Auth(Auth),
}

impl Packet {
    /// Which packet this is.
    #[must_use]
    pub fn kind(&self) -> PacketKind {
        match self {
            Packet::Connect(_) => PacketKind::Connect,
            Packet::Connack(_) => PacketKind::Connack,
            Packet::Publish(_) => PacketKind::Publish,
            Packet::Puback(_) => PacketKind::Puback,
            Packet::Pubrec(_) => PacketKind::Pubrec,
            Packet::Pubrel(_) => PacketKind::Pubrel,
            Packet::Pubcomp(_) => PacketKind::Pubcomp,
            Packet::Subscribe(_) => PacketKind::Subscribe,
            Packet::Suback(_) => PacketKind::Suback,
            Packet::Unsubscribe(_) => PacketKind::Unsubscribe,
            Packet::Unsuback(_) => PacketKind::Unsuback,
            Packet::Pingreq => PacketKind::Pingreq,
            Packet::Pingresp => PacketKind::Pingresp,
            Packet::Disconnect(_) => PacketKind::Disconnect,
            Packet::Auth(_) => PacketKind::Auth,
        }
    }
}

/// CONNECT (3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// The version that the client speaks from now on.
    pub version: Version,
    /// Clean Start; in 3.1.1 Clean Session.
    pub clean_start: bool,
    /// The most seconds between two packets of the client; 0: without limit.
    pub keep_alive_s: u16,
    /// The client's name; empty when the server is to choose one (whether it may is for the session to say).
    pub client_id: ByteString,
    /// What to publish when the connection is lost.
    pub will: Option<Will>,
    /// The user's name.
    pub username: Option<ByteString>,
    /// The password: bytes, not text.
    pub password: Option<Bytes>,
    /// Version 5 only.
    pub properties: ConnectProperties,
}

/// The properties of CONNECT (3.1.2.11). What is absent has the standard's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectProperties {
    /// How long the session outlives the connection; absent: 0; `u32::MAX`: for ever.
    pub session_expiry_s: Option<u32>,
    /// How many QoS 1 and 2 messages the client takes unacknowledged; absent: 65,535.
    pub receive_max: Option<NonZeroU16>,
    /// The largest packet that the client takes; absent: any.
    pub packet_max_bytes: Option<NonZeroU32>,
    /// The highest topic alias that the client takes; absent: 0, none.
    pub topic_alias_max: Option<u16>,
    /// Whether CONNACK may hold response information; absent: false.
    pub request_response_information: Option<bool>,
    /// Whether reason strings and user properties may stand in every packet; absent: true.
    pub request_problem_information: Option<bool>,
    /// The method of an extended authentication.
    pub authentication_method: Option<ByteString>,
    /// Its data; only with a method.
    pub authentication_data: Option<Bytes>,
    /// User properties.
    pub user: UserProperties,
}

/// The last will in CONNECT (3.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Its quality of service.
    pub qos: Qos,
    /// Whether it is retained.
    pub retain: bool,
    /// Where it is published.
    pub topic: ByteString,
    /// What is published.
    pub payload: Bytes,
    /// How long after the loss; absent: at once.
    pub delay_s: Option<u32>,
    /// What travels with it.
    pub properties: MessageProperties,
}

/// The properties that belong to a message and travel with it from hop to hop (3.3.2.3). Version 5 only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageProperties {
    /// Whether the payload is UTF-8 text (`true`, 1) or bytes (`false`, 0; the default).
    pub payload_is_text: Option<bool>,
    /// The message's life in seconds, less the time it has waited.
    pub expiry_s: Option<u32>,
    /// A description of the payload, often a media type.
    pub content_type: Option<ByteString>,
    /// Where an answer is expected: a topic name.
    pub response_topic: Option<ByteString>,
    /// What the answer shall repeat.
    pub correlation_data: Option<Bytes>,
    /// User properties, in their order.
    pub user: UserProperties,
}

/// CONNACK (3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connack {
    /// Whether the server has the client's session.
    pub session_present: bool,
    /// Success, or why not. For a 3.1.1 client it becomes the nearest return code ([`Reason::return_code`]).
    pub reason: Reason,
    /// Version 5 only.
    pub properties: ConnackProperties,
}

/// The properties of CONNACK (3.2.2.3). What is absent has the standard's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnackProperties {
    /// The session's life, where it differs from what was asked.
    pub session_expiry_s: Option<u32>,
    /// How many QoS 1 and 2 messages the server takes unacknowledged; absent: 65,535.
    pub receive_max: Option<NonZeroU16>,
    /// The highest QoS that the server takes; absent: 2. Only 0 and 1 can be said.
    pub qos_max: Option<Qos>,
    /// Whether the server keeps retained messages; absent: true.
    pub retain_available: Option<bool>,
    /// The largest packet that the server takes; absent: any.
    pub packet_max_bytes: Option<NonZeroU32>,
    /// The name that the server chose.
    pub assigned_client_id: Option<ByteString>,
    /// The highest topic alias that the server takes; absent: 0, none.
    pub topic_alias_max: Option<u16>,
    /// The reason in words, for people.
    pub reason_string: Option<ByteString>,
    /// Whether filters may hold wildcards; absent: true.
    pub wildcard_available: Option<bool>,
    /// Whether subscriptions may have identifiers; absent: true.
    pub subscription_ids_available: Option<bool>,
    /// Whether subscriptions may be shared; absent: true.
    pub shared_available: Option<bool>,
    /// The keep-alive that the client must use instead of its own.
    pub server_keep_alive_s: Option<u16>,
    /// The base of response topics.
    pub response_information: Option<ByteString>,
    /// Another server to use.
    pub server_reference: Option<ByteString>,
    /// The method of an extended authentication.
    pub authentication_method: Option<ByteString>,
    /// Its data.
    pub authentication_data: Option<Bytes>,
    /// User properties.
    pub user: UserProperties,
}

/// How a message is delivered on one hop: only QoS 1 and 2 have a packet id [MQTT-2.2.1-2].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// QoS 0.
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce(PacketId),
    /// QoS 2.
    ExactlyOnce(PacketId),
}

impl Delivery {
    /// The level.
    #[must_use]
    pub fn qos(self) -> Qos {
        match self {
            Delivery::AtMostOnce => Qos::AtMostOnce,
            Delivery::AtLeastOnce(_) => Qos::AtLeastOnce,
            Delivery::ExactlyOnce(_) => Qos::ExactlyOnce,
        }
    }

    /// The packet id, if there is one.
    #[must_use]
    pub fn packet_id(self) -> Option<PacketId> {
        match self {
            Delivery::AtMostOnce => None,
            Delivery::AtLeastOnce(id) | Delivery::ExactlyOnce(id) => Some(id),
        }
    }
}

/// The subscription identifiers of a PUBLISH to a client, each 1 to 268,435,455. Empty costs nothing.
pub type SubscriptionIds = Vec<u32>;

/// PUBLISH (3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Whether this may be a repetition.
    pub dup: bool,
    /// Whether to retain it; to a client: whether it was retained.
    pub retain: bool,
    /// The QoS and the packet id.
    pub delivery: Delivery,
    /// The topic name; empty only where an alias stands for it (version 5).
    pub topic: ByteString,
    /// The alias of the topic on this connection.
    pub topic_alias: Option<NonZeroU16>,
    /// The subscriptions that matched; only from server to client.
    pub subscription_ids: SubscriptionIds,
    /// What travels with the message.
    pub properties: MessageProperties,
    /// The message itself.
    pub payload: Bytes,
}

/// PUBACK, PUBREC, PUBREL, PUBCOMP (3.4 to 3.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Which PUBLISH is meant.
    pub packet_id: PacketId,
    /// Success, or why not (version 5).
    pub reason: Reason,
    /// The reason in words, for people (version 5).
    pub reason_string: Option<ByteString>,
    /// User properties (version 5).
    pub user: UserProperties,
}

impl Ack {
    /// An acknowledgement that says nothing else.
    #[must_use]
    pub fn success(packet_id: PacketId) -> Ack {
        Ack::because(packet_id, Reason::Success)
    }

    /// An acknowledgement with a reason.
    #[must_use]
    pub fn because(packet_id: PacketId, reason: Reason) -> Ack {
        Ack { packet_id, reason, reason_string: None, user: UserProperties::default() }
    }
}

/// What happens with retained messages at subscription (3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// They are sent.
    #[default]
    Send = 0,
    /// They are sent if the subscription is new.
    SendIfNew = 1,
    /// They are not sent.
    DoNotSend = 2,
}

/// The options of a subscription (3.8.3.1); in 3.1.1 only the QoS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubscriptionOptions {
    /// The highest QoS to send with.
    pub qos: Qos,
    /// Whether the client's own messages stay away.
    pub no_local: bool,
    /// Whether the retain flag is passed on as it was published.
    pub retain_as_published: bool,
    /// What happens with retained messages now.
    pub retain_handling: RetainHandling,
}

/// One filter of a SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The filter as it was sent; `$share/{group}/{filter}` is taken apart by [`super::topic::shared`].
    pub filter: ByteString,
    /// Its options.
    pub options: SubscriptionOptions,
}

/// SUBSCRIBE (3.8): at least one filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// Repeated by the acknowledgement.
    pub packet_id: PacketId,
    /// The identifier of all these subscriptions, 1 to 268,435,455 (version 5).
    pub subscription_id: Option<u32>,
    /// User properties (version 5).
    pub user: UserProperties,
    /// The filters with their options.
    pub subscriptions: Vec<Subscription>,
}

/// SUBACK (3.9): one reason for each filter, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suback {
    /// The SUBSCRIBE that is answered.
    pub packet_id: PacketId,
    /// The granted QoS or the refusal, for each filter. For a 3.1.1 client every refusal becomes 0x80.
    pub reasons: Vec<Reason>,
    /// The reason in words, for people (version 5).
    pub reason_string: Option<ByteString>,
    /// User properties (version 5).
    pub user: UserProperties,
}

/// UNSUBSCRIBE (3.10): at least one filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Repeated by the acknowledgement.
    pub packet_id: PacketId,
    /// User properties (version 5).
    pub user: UserProperties,
    /// The filters to remove.
    pub filters: Vec<ByteString>,
}

/// UNSUBACK (3.11): one reason for each filter (version 5); none in 3.1.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsuback {
    /// The UNSUBSCRIBE that is answered.
    pub packet_id: PacketId,
    /// For each filter (version 5).
    pub reasons: Vec<Reason>,
    /// The reason in words, for people (version 5).
    pub reason_string: Option<ByteString>,
    /// User properties (version 5).
    pub user: UserProperties,
}

/// DISCONNECT (3.14). In 3.1.1 it has neither reason nor properties and only clients send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// The reason of the disconnection.
    pub reason: Reason,
    /// A new life for the session; only from client to server.
    pub session_expiry_s: Option<u32>,
    /// The reason in words, for people.
    pub reason_string: Option<ByteString>,
    /// Another server to use; only from server to client.
    pub server_reference: Option<ByteString>,
    /// User properties.
    pub user: UserProperties,
}

impl Disconnect {
    /// A farewell that says only why.
    #[must_use]
    pub fn because(reason: Reason) -> Disconnect {
        Disconnect {
            reason,
            session_expiry_s: None,
            reason_string: None,
            server_reference: None,
            user: UserProperties::default(),
        }
    }
}

/// AUTH (3.15), version 5 only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Success, continue or re-authenticate.
    pub reason: Reason,
    /// The method: the one that CONNECT named. Absent only in the short form of success.
    pub authentication_method: Option<ByteString>,
    /// Its data.
    pub authentication_data: Option<Bytes>,
    /// The reason in words, for people.
    pub reason_string: Option<ByteString>,
    /// User properties.
    pub user: UserProperties,
}
