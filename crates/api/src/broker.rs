//! What operators see of the MQTT broker: its clients, their sessions, and retained messages.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::instant::Instant;

/// A client that the service knows: it is connected, or has subscriptions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BrokerClient {
    /// Its client identifier.
    pub id: String,
    /// Whether it is connected, here or at another replica.
    pub connected: bool,
    /// Whether its session outlives its connection.
    pub lasting: bool,
    /// How many subscriptions it has.
    pub subscriptions: usize,
    /// The replica with its connection, as that says in its log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub replica: Option<String>,
    /// Its connection, if that is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub connection: Option<BrokerConnection>,
}

/// The connection of a client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BrokerConnection {
    /// The client's address and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub address: Option<String>,
    /// The user that the client proved to be; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub user: Option<String>,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub connected_at: Instant,
    /// Messages of QoS 1 and 2 that were sent to it and not acknowledged.
    pub inflight: usize,
    /// Messages in memory that wait for it to acknowledge others.
    pub waiting: usize,
    /// About what these take.
    pub waiting_bytes: usize,
}

/// A page of clients.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BrokerClientPage {
    /// By their identifiers.
    pub items: Vec<BrokerClient>,
    /// The cursor of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
}

/// A session, as the store has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BrokerSession {
    /// The client identifier.
    pub id: String,
    /// Whether a connection holds it, here or at another replica.
    pub connected: bool,
    /// Whether it outlives its connection.
    pub lasting: bool,
    /// When it ends unless the client returns; absent while it is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Instant>,
    /// The user whose sessions it is counted with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub user: Option<String>,
    /// Messages in its queue, those that were sent and not acknowledged included.
    pub queued: usize,
    /// About what these take.
    pub queued_bytes: usize,
    /// Messages of QoS 2 that the client has received and not completed.
    pub received: usize,
    /// Messages of QoS 2 that the client has published and not released.
    pub unreleased: usize,
    /// Its subscriptions, by filter.
    #[schema(max_items = 10_000)]
    pub subscriptions: Vec<BrokerSubscription>,
}

/// A subscription, as it was granted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BrokerSubscription {
    /// The topic filter; that of a shared subscription begins with `$share/`.
    pub filter: String,
    /// The highest QoS of what is sent.
    #[schema(minimum = 0, maximum = 2)]
    pub qos: u8,
    /// Whether the client's own messages are left out.
    pub no_local: bool,
    /// Whether the retain flag of messages is passed on.
    pub retain_as_published: bool,
    /// The subscription identifier, if the client gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub subscription_id: Option<u32>,
}

/// A retained message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BrokerRetained {
    /// Its topic.
    pub topic: String,
    /// The QoS it was published with.
    #[schema(minimum = 0, maximum = 2)]
    pub qos: u8,
    /// The client that published it.
    pub publisher: String,
    /// When it expires; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Instant>,
    /// The length of its payload.
    pub payload_bytes: usize,
    /// The beginning of its payload, if all of it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 256)]
    pub text: Option<String>,
}

/// A page of retained messages.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BrokerRetainedPage {
    /// By their topics.
    pub items: Vec<BrokerRetained>,
    /// The cursor of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
}

/// How many retained messages were forgotten.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BrokerRetainedCleared {
    /// So many.
    pub cleared: usize,
}
