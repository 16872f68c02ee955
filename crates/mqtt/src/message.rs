//! A message on its way through the broker, and the identifiers of clients and replicas.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use bytestring::ByteString;

use super::codec::{MessageProperties, Publish, Qos, Will};

/// A client identifier: names a session, whichever replica holds it.
pub type ClientId = Arc<str>;

/// Milliseconds since 1970: the replicas' clocks are taken to agree within a second.
pub type UnixMs = u64;

/// The wall clock, read at the edges only.
#[must_use]
pub fn unix_ms() -> UnixMs {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

/// An application message. It never holds a wildcard in its topic: the codec or [`Message::new`] saw to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The topic name, never empty.
    pub topic: ByteString,
    /// The application's data.
    pub payload: Bytes,
    /// The QoS it was published with.
    pub qos: Qos,
    /// Whether it is to be retained, or was.
    pub retain: bool,
    /// What travels with it; its `expiry_s` is replaced by [`Message::expires_at_ms`].
    pub properties: MessageProperties,
    /// When it expires.
    pub expires_at_ms: Option<UnixMs>,
    /// The client that published it.
    pub publisher: ClientId,
}

impl Message {
    /// A message with nothing but a topic and a payload, or `None` if the topic is invalid.
    #[must_use]
    pub fn new(topic: &str, payload: impl Into<Bytes>, qos: Qos) -> Option<Self> {
        super::codec::topic::check_name(topic).ok()?;
        Some(Self {
            topic: ByteString::from(topic),
            payload: payload.into(),
            qos,
            retain: false,
            properties: MessageProperties::default(),
            expires_at_ms: None,
            publisher: ClientId::from(""),
        })
    }

    /// The same, retained.
    #[must_use]
    pub fn retained(self) -> Self {
        Self { retain: true, ..self }
    }

    /// What a client published; the alias is resolved already.
    pub(crate) fn published(publish: Publish, publisher: &ClientId, now_ms: UnixMs) -> Self {
        let mut properties = publish.properties;
        let expires_at_ms = properties.expiry_s.take().map(|life_s| now_ms + u64::from(life_s) * 1000);
        Self {
            topic: publish.topic,
            payload: publish.payload,
            qos: publish.delivery.qos(),
            retain: publish.retain,
            properties,
            expires_at_ms,
            publisher: Arc::clone(publisher),
        }
    }

    /// What a will says once it is due; its life begins then.
    pub(crate) fn from_will(will: &Will, publisher: &ClientId) -> Self {
        Self {
            topic: will.topic.clone(),
            payload: will.payload.clone(),
            qos: will.qos,
            retain: will.retain,
            properties: will.properties.clone(),
            expires_at_ms: None,
            publisher: Arc::clone(publisher),
        }
    }

    /// Starts the life of a message whose `expiry_s` was kept, as that of a will.
    pub(crate) fn start_expiry(mut self, now_ms: UnixMs) -> Self {
        if let Some(life_s) = self.properties.expiry_s.take() {
            self.expires_at_ms = Some(now_ms + u64::from(life_s) * 1000);
        }
        self
    }

    /// Whether its life is over.
    #[must_use]
    pub fn is_expired(&self, now_ms: UnixMs) -> bool {
        self.expires_at_ms.is_some_and(|end| end <= now_ms)
    }

    /// What is left of its life in seconds, rounded up [MQTT-3.3.2-6].
    #[must_use]
    pub fn remaining_s(&self, now_ms: UnixMs) -> Option<u32> {
        let end = self.expires_at_ms?;
        Some(u32::try_from(end.saturating_sub(now_ms).div_ceil(1000)).unwrap_or(u32::MAX))
    }

    /// About what it takes to keep it.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.topic.len() + self.payload.len() + 64
    }

    /// The same without a share in the buffer it was read into: what is kept keeps nothing else alive.
    pub(crate) fn compact(&self) -> Self {
        let copy = |text: &ByteString| ByteString::from(&**text);
        let properties = MessageProperties {
            content_type: self.properties.content_type.as_ref().map(copy),
            response_topic: self.properties.response_topic.as_ref().map(copy),
            correlation_data: self.properties.correlation_data.as_ref().map(|data| Bytes::copy_from_slice(data)),
            user: self.properties.user.compact(),
            ..self.properties
        };
        Self {
            topic: copy(&self.topic),
            payload: Bytes::copy_from_slice(&self.payload),
            properties,
            publisher: Arc::clone(&self.publisher),
            ..*self
        }
    }
}

/// One replica of the broker: drawn at random when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicaId(pub u64);

impl ReplicaId {
    /// A new one.
    #[must_use]
    pub fn draw() -> Self {
        Self(random())
    }
}

impl std::fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A unique number, never zero: the hash of nothing under random keys of the operating system.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish() | 1
}
