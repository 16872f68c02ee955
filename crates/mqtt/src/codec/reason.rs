//! Reason codes (MQTT 5, 2.4) with the packets that may say them, and their nearest words in 3.1.1.

use super::PacketKind;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $words:literal, $kinds:expr;)*) => {
        /// Why: a reason code of version 5.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reason {
            $(#[doc = $words] $name = $code,)*
        }

        impl Reason {
            /// The reason that a byte says in a packet of this kind; `None` if it may not be said there.
            #[must_use]
            pub fn new(kind: PacketKind, code: u8) -> Option<Reason> {
                match code {
                    $($code => ($kinds & bit(kind) != 0).then_some(Reason::$name),)*
                    _ => None,
                }
            }

            /// The reason in words.
            #[must_use]
            pub fn words(self) -> &'static str {
                match self {
                    $(Reason::$name => $words,)*
                }
            }

            /// Whether a packet of this kind may say it.
            #[must_use]
            pub fn fits(self, kind: PacketKind) -> bool {
                match self {
                    $(Reason::$name => $kinds & bit(kind) != 0,)*
                }
            }
        }
    };
}

const fn bit(kind: PacketKind) -> u16 {
    1 << (kind as u8)
}

const CONNACK: u16 = bit(PacketKind::Connack);
const PUBACK: u16 = bit(PacketKind::Puback) | bit(PacketKind::Pubrec);
const PUBREL: u16 = bit(PacketKind::Pubrel) | bit(PacketKind::Pubcomp);
const SUBACK: u16 = bit(PacketKind::Suback);
const UNSUBACK: u16 = bit(PacketKind::Unsuback);
const DISCONNECT: u16 = bit(PacketKind::Disconnect);
const AUTH: u16 = bit(PacketKind::Auth);

// MQTT 5, table 2-6.
reasons! {
    Success = 0x00, "success", CONNACK | PUBACK | PUBREL | SUBACK | UNSUBACK | DISCONNECT | AUTH;
    GrantedQos1 = 0x01, "granted QoS 1", SUBACK;
    GrantedQos2 = 0x02, "granted QoS 2", SUBACK;
    DisconnectWithWill = 0x04, "disconnect with will message", DISCONNECT;
    NoMatchingSubscribers = 0x10, "no matching subscribers", PUBACK;
    NoSubscriptionExisted = 0x11, "no subscription existed", UNSUBACK;
    ContinueAuthentication = 0x18, "continue authentication", AUTH;
    Reauthenticate = 0x19, "re-authenticate", AUTH;
    Unspecified = 0x80, "unspecified error", CONNACK | PUBACK | SUBACK | UNSUBACK | DISCONNECT;
    MalformedPacket = 0x81, "malformed packet", CONNACK | DISCONNECT;
    ProtocolError = 0x82, "protocol error", CONNACK | DISCONNECT;
    ImplementationSpecific = 0x83, "implementation specific error", CONNACK | PUBACK | SUBACK | UNSUBACK | DISCONNECT;
    UnsupportedVersion = 0x84, "unsupported protocol version", CONNACK;
    ClientIdNotValid = 0x85, "client identifier not valid", CONNACK;
    BadUserNameOrPassword = 0x86, "bad user name or password", CONNACK;
    NotAuthorized = 0x87, "not authorized", CONNACK | PUBACK | SUBACK | UNSUBACK | DISCONNECT;
    ServerUnavailable = 0x88, "server unavailable", CONNACK;
    ServerBusy = 0x89, "server busy", CONNACK | DISCONNECT;
    Banned = 0x8A, "banned", CONNACK;
    ServerShuttingDown = 0x8B, "server shutting down", DISCONNECT;
    BadAuthenticationMethod = 0x8C, "bad authentication method", CONNACK;
    KeepAliveTimeout = 0x8D, "keep alive timeout", DISCONNECT;
    SessionTakenOver = 0x8E, "session taken over", DISCONNECT;
    TopicFilterInvalid = 0x8F, "topic filter invalid", SUBACK | UNSUBACK | DISCONNECT;
    TopicNameInvalid = 0x90, "topic name invalid", CONNACK | PUBACK | DISCONNECT;
    PacketIdInUse = 0x91, "packet identifier in use", PUBACK | SUBACK | UNSUBACK;
    PacketIdNotFound = 0x92, "packet identifier not found", PUBREL;
    ReceiveMaximumExceeded = 0x93, "receive maximum exceeded", DISCONNECT;
    TopicAliasInvalid = 0x94, "topic alias invalid", DISCONNECT;
    PacketTooLarge = 0x95, "packet too large", CONNACK | DISCONNECT;
    MessageRateTooHigh = 0x96, "message rate too high", DISCONNECT;
    QuotaExceeded = 0x97, "quota exceeded", CONNACK | PUBACK | SUBACK | DISCONNECT;
    AdministrativeAction = 0x98, "administrative action", DISCONNECT;
    PayloadFormatInvalid = 0x99, "payload format invalid", CONNACK | PUBACK | DISCONNECT;
    RetainNotSupported = 0x9A, "retain not supported", CONNACK | DISCONNECT;
    QosNotSupported = 0x9B, "QoS not supported", CONNACK | DISCONNECT;
    UseAnotherServer = 0x9C, "use another server", CONNACK | DISCONNECT;
    ServerMoved = 0x9D, "server moved", CONNACK | DISCONNECT;
    SharedSubscriptionsNotSupported = 0x9E, "shared subscriptions not supported", SUBACK | DISCONNECT;
    ConnectionRateExceeded = 0x9F, "connection rate exceeded", CONNACK | DISCONNECT;
    MaximumConnectTime = 0xA0, "maximum connect time", DISCONNECT;
    SubscriptionIdsNotSupported = 0xA1, "subscription identifiers not supported", SUBACK | DISCONNECT;
    WildcardSubscriptionsNotSupported = 0xA2, "wildcard subscriptions not supported", SUBACK | DISCONNECT;
}

impl Reason {
    /// The byte.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Whether it says that something failed.
    #[must_use]
    pub fn is_error(self) -> bool {
        self.code() >= 0x80
    }

    /// The Connect Return code of 3.1.1 that comes nearest (3.1.1, table 3.1).
    #[must_use]
    pub fn return_code(self) -> u8 {
        match self {
            Reason::Success => 0,
            Reason::UnsupportedVersion => 1,
            Reason::ClientIdNotValid => 2,
            Reason::BadUserNameOrPassword | Reason::BadAuthenticationMethod => 4,
            Reason::NotAuthorized | Reason::Banned => 5,
            _ => 3,
        }
    }

    /// The reason that a Connect Return code of 3.1.1 means.
    #[must_use]
    pub fn from_return_code(code: u8) -> Option<Reason> {
        match code {
            0 => Some(Reason::Success),
            1 => Some(Reason::UnsupportedVersion),
            2 => Some(Reason::ClientIdNotValid),
            3 => Some(Reason::ServerUnavailable),
            4 => Some(Reason::BadUserNameOrPassword),
            5 => Some(Reason::NotAuthorized),
            _ => None,
        }
    }

    /// The reason of SUBACK that grants this QoS.
    #[must_use]
    pub fn granted(qos: super::Qos) -> Reason {
        match qos {
            super::Qos::AtMostOnce => Reason::Success,
            super::Qos::AtLeastOnce => Reason::GrantedQos1,
            super::Qos::ExactlyOnce => Reason::GrantedQos2,
        }
    }
}
