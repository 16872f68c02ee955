//! What can be wrong with a packet, and the reason that a server must answer.

use super::{PacketKind, Reason};

/// The fault of a text (1.5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextFault {
    /// Not UTF-8, or a surrogate [MQTT-1.5.4-1].
    #[error("not UTF-8")]
    NotUtf8,
    /// U+0000 [MQTT-1.5.4-2].
    #[error("holds U+0000")]
    Null,
    /// A control character; the standard lets a receiver refuse them, and this one does.
    #[error("holds a control character")]
    Control,
    /// A code point that is no character; the standard lets a receiver refuse them, and this one does.
    #[error("holds a code point that is no character")]
    NonCharacter,
    /// More than 65,535 bytes.
    #[error("longer than 65,535 bytes")]
    TooLong,
}

/// What is wrong with a topic name or filter (4.7, 4.8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicFault {
    /// Without a character [MQTT-4.7.3-1].
    #[error("empty")]
    Empty,
    /// A name with a wildcard [MQTT-3.3.2-2].
    #[error("a topic name holds a wildcard")]
    WildcardInName,
    /// `#` beside other characters or not last [MQTT-4.7.1-1].
    #[error("# is not alone at the end")]
    MultiLevel,
    /// `+` beside other characters [MQTT-4.7.1-2].
    #[error("+ is not alone in its level")]
    SingleLevel,
    /// A shared subscription without a name, or with a wildcard in it [MQTT-4.8.2-1].
    #[error("the name of the share is empty or holds a wildcard")]
    ShareName,
    /// A shared subscription without a filter [MQTT-4.8.2-2].
    #[error("the share has no filter")]
    ShareFilter,
    /// More levels than are held ([`super::topic::LEVELS_MAX`]).
    #[error("too many levels")]
    TooManyLevels,
}

/// The fault of received bytes. None can be recovered from: the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A number of variable length has more than four bytes or more than it needs [MQTT-1.5.5-1].
    #[error("a variable byte integer has more bytes than it may")]
    VariableInteger,
    /// The packet is larger than this side accepts.
    #[error("the packet has {size_bytes} bytes, more than {max_bytes}")]
    PacketTooLarge {
        /// The size in its fixed header.
        size_bytes: u32,
        /// What is allowed.
        max_bytes: u32,
    },
    /// A type that the version does not have: 0, and in 3.1.1 also 15.
    #[error("packet type {0} is reserved")]
    ReservedKind(u8),
    /// The flags of the fixed header are not those of the packet [MQTT-2.1.3-1].
    #[error("the flags of {kind:?} are {flags:#x}")]
    FixedHeaderFlags {
        /// The packet.
        kind: PacketKind,
        /// Its flags.
        flags: u8,
    },
    /// A packet that this side never receives.
    #[error("{0:?} is sent by the other side only")]
    WrongDirection(PacketKind),
    /// The first packet is not CONNECT [MQTT-3.1.0-1].
    #[error("the first packet is {0:?}")]
    NotConnect(PacketKind),
    /// The packet ends before its last field.
    #[error("the packet ends before its {0}")]
    Truncated(&'static str),
    /// Bytes follow the last field.
    #[error("{0:?} has bytes after its end")]
    TrailingBytes(PacketKind),
    /// The protocol's name is not MQTT [MQTT-3.1.2-1].
    #[error("the protocol's name is not MQTT")]
    ProtocolName,
    /// A protocol level that is not spoken here [MQTT-3.1.2-2].
    #[error("protocol level {0} is not supported")]
    UnsupportedVersion(u8),
    /// The reserved flag of CONNECT or CONNACK is set [MQTT-3.1.2-3].
    #[error("a reserved flag of {0:?} is set")]
    ReservedFlag(PacketKind),
    /// QoS 3 [MQTT-3.3.1-4].
    #[error("QoS 3 does not exist")]
    Qos,
    /// DUP with QoS 0 [MQTT-3.3.1-2].
    #[error("DUP is set with QoS 0")]
    DupAtMostOnce,
    /// Will QoS or Will Retain without a will [MQTT-3.1.2-11].
    #[error("flags of a will are set without a will")]
    WillFlags,
    /// 3.1.1: a password without a user name [MQTT-3.1.2-22].
    #[error("a password is set without a user name")]
    PasswordWithoutUserName,
    /// A packet id of zero [MQTT-2.2.1-3].
    #[error("the packet id of {0:?} is zero")]
    PacketIdZero(PacketKind),
    /// A client identifier that is no text, or none at all where the version demands one (3.1).
    #[error("the client identifier is not valid")]
    ClientId,
    /// SUBSCRIBE or UNSUBSCRIBE without a filter, SUBACK without a reason [MQTT-3.8.3-2].
    #[error("{0:?} is empty")]
    Nothing(PacketKind),
    /// Reserved bits of subscription options [MQTT-3.8.3-5].
    #[error("reserved bits of subscription options are set")]
    SubscriptionOptions,
    /// Retain Handling 3.
    #[error("retain handling 3 does not exist")]
    RetainHandling,
    /// No Local on a shared subscription [MQTT-3.8.3-4].
    #[error("No Local is set on a shared subscription")]
    SharedNoLocal,
    /// A reason code that the packet may not have.
    #[error("{kind:?} may not have reason code {code:#04x}")]
    Reason {
        /// The packet.
        kind: PacketKind,
        /// Its reason code.
        code: u8,
    },
    /// A field that is not a valid text.
    #[error("{what}: {fault}")]
    Text {
        /// The name of the field.
        what: &'static str,
        /// What is wrong.
        fault: TextFault,
    },
    /// An invalid topic name or filter.
    #[error("invalid topic: {0}")]
    Topic(TopicFault),
    /// A property that does not exist.
    #[error("property {0:#x} does not exist")]
    PropertyUnknown(u32),
    /// A property that the packet may not have.
    #[error("{kind:?} may not have property {id:#x}")]
    PropertyNotAllowed {
        /// The packet.
        kind: PacketKind,
        /// The property's identifier.
        id: u8,
    },
    /// A property that is there twice.
    #[error("property {0:#x} is there twice")]
    PropertyTwice(u8),
    /// A property with a value that it may not have.
    #[error("invalid value of property {0:#x}")]
    PropertyValue(u8),
    /// Topic Alias 0 [MQTT-3.3.2-8].
    #[error("the topic alias is zero")]
    TopicAliasZero,
    /// A PUBLISH with neither topic nor alias.
    #[error("the message has neither topic nor alias")]
    NoTopic,
    /// Authentication data without a method.
    #[error("authentication data is set without a method")]
    AuthenticationDataAlone,
    /// Subscription Identifier 0 (3.8.2.1.2).
    #[error("the subscription identifier is zero")]
    SubscriptionIdZero,
    /// AUTH without a method.
    #[error("the authentication method is missing")]
    NoAuthenticationMethod,
    /// CONNACK refuses and says that a session is present [MQTT-3.2.2-6].
    #[error("CONNACK refuses and has Session Present")]
    RefusalWithSession,
}

impl DecodeError {
    /// The reason that DISCONNECT of version 5 must give; for a CONNECT that cannot be accepted, CONNACK. (3.1.1 has codes
    /// for an unsupported version and a bad client identifier in CONNACK, see [`Reason::return_code`]; everything else
    /// ends the connection without an answer.)
    ///
    /// The standard calls a fault either malformed or a protocol error, and not always consistently: where it leaves
    /// room, this follows what brokers in use answer and what the public suites expect of them.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            DecodeError::PacketTooLarge { .. } => Reason::PacketTooLarge,
            DecodeError::UnsupportedVersion(_) => Reason::UnsupportedVersion,
            DecodeError::ClientId => Reason::ClientIdNotValid,
            DecodeError::TopicAliasZero => Reason::TopicAliasInvalid,
            // In SUBSCRIBE and UNSUBSCRIBE what may not be there is malformed (2.2.2.2), elsewhere a protocol error.
            DecodeError::PacketIdZero(PacketKind::Subscribe | PacketKind::Unsubscribe)
            | DecodeError::PropertyNotAllowed { kind: PacketKind::Subscribe | PacketKind::Unsubscribe, .. } => {
                Reason::MalformedPacket
            }
            DecodeError::ReservedKind(_)
            | DecodeError::FixedHeaderFlags { kind: PacketKind::Auth, .. }
            | DecodeError::WrongDirection(_)
            | DecodeError::NotConnect(_)
            | DecodeError::PacketIdZero(_)
            | DecodeError::SharedNoLocal
            | DecodeError::Topic(TopicFault::ShareName | TopicFault::ShareFilter)
            | DecodeError::Reason { .. }
            | DecodeError::PropertyTwice(_)
            | DecodeError::PropertyValue(_)
            | DecodeError::PropertyNotAllowed { .. }
            | DecodeError::AuthenticationDataAlone
            | DecodeError::NoAuthenticationMethod
            | DecodeError::RefusalWithSession => Reason::ProtocolError,
            _ => Reason::MalformedPacket,
        }
    }
}

/// The fault of a packet that cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A text, a topic or binary data has more than 65,535 bytes.
    #[error("a field is longer than 65,535 bytes")]
    FieldTooLong,
    /// The packet is larger than the receiver accepts, even without its reason string and user properties.
    #[error("the packet has {size_bytes} bytes, more than {max_bytes}")]
    PacketTooLarge {
        /// Its size.
        size_bytes: u64,
        /// What the receiver accepts.
        max_bytes: u32,
    },
    /// AUTH does not exist in 3.1.1.
    #[error("{0:?} does not exist in 3.1.1")]
    NotInVersion(PacketKind),
}
