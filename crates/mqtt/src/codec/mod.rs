//! MQTT 3.1.1 and 5 packets ↔ bytes: pure, strict, and without copies.
//!
//! [`Decoder::decode`] takes a packet from the front of a buffer; texts and payloads are slices of that buffer.
//! [`Packet::encode`] appends one to a buffer, and [`Prepared`] does so for many subscribers. What must stay true:
//!
//! * Every normative statement of both standards about the form of a packet is enforced here; what depends on what
//!   came before (packet ids in use, aliases, limits agreed in CONNECT) belongs to the session.
//! * No input panics, and nothing is buffered or allocated for a packet that is larger than allowed.
//! * PUBLISH of QoS 0 and 1 and its acknowledgement are decoded and encoded without an allocation.
//! * A decoded packet shares the memory of the buffer it was read from: a message is copied that is
//!   kept for long.

mod protocol;
pub use protocol::{PacketId, PacketKind, Qos, Version};
mod packet;
pub use packet::{
    Ack, Auth, Connack, ConnackProperties, Connect, ConnectProperties, Delivery, Disconnect, MessageProperties, Packet,
    Publish, RetainHandling, Suback, Subscribe, Subscription, SubscriptionIds, SubscriptionOptions, Unsuback,
    Unsubscribe, Will,
};
mod reason;
pub use reason::Reason;
mod user_properties;
pub use user_properties::{UserProperties, UserPropertiesIter};
mod error;
pub use error::{DecodeError, EncodeError, TextFault, TopicFault};
pub mod topic;

mod decode;
pub use decode::Decoder;
mod encode;
pub use encode::Prepared;

mod property;
mod property_id;
mod reader;
mod byte_sink;
mod text;
pub use text::{TEXT_MAX_BYTES, check_text};

pub use bytes::{Bytes, BytesMut};
pub use bytestring::ByteString;

/// The largest Remaining Length that its four bytes can say.
pub const REMAINING_LENGTH_MAX: u32 = 268_435_455;
/// The largest packet that the standards allow: the fixed header and the largest Remaining Length.
pub const PACKET_MAX_BYTES: u32 = REMAINING_LENGTH_MAX + 5;
