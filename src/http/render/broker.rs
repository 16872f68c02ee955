//! The broker's clients, sessions and retained messages as documents.

use api::broker::{BrokerClient, BrokerConnection, BrokerRetained, BrokerSession, BrokerSubscription};
use api::instant::Instant;
use mqtt::{ClientStatus, ConnectionStatus, Message, SessionStatus, SubscriptionStatus};

/// How much of a payload is shown, in characters.
const TEXT_MAX_CHARS: usize = 256;

pub(in crate::http) fn client(status: &ClientStatus) -> BrokerClient {
    BrokerClient {
        id: status.client.to_string(),
        connected: status.connection.is_some() || status.replica.is_some(),
        lasting: status.lasting,
        subscriptions: status.subscriptions,
        replica: status.replica.map(|replica| replica.to_string()),
        connection: status.connection.as_ref().map(connection),
    }
}

fn connection(status: &ConnectionStatus) -> BrokerConnection {
    BrokerConnection {
        address: status.origin.address.map(|address| address.to_string()),
        user: status.origin.user.as_deref().map(str::to_owned),
        connected_at: Instant(status.origin.connected_at_ms),
        inflight: status.inflight,
        waiting: status.waiting_messages,
        waiting_bytes: status.waiting_bytes,
    }
}

pub(in crate::http) fn session(id: String, status: SessionStatus) -> BrokerSession {
    BrokerSession {
        id,
        connected: status.holder.is_some(),
        lasting: status.lasting,
        expires_at: status.expires_at_ms.map(Instant),
        user: status.user.as_deref().map(str::to_owned),
        queued: status.queued_messages,
        queued_bytes: status.queued_bytes,
        received: status.received,
        unreleased: status.unreleased,
        subscriptions: status.subscriptions.into_iter().map(subscription).collect(),
    }
}

fn subscription(status: SubscriptionStatus) -> BrokerSubscription {
    BrokerSubscription {
        filter: status.filter.to_string(),
        qos: status.options.qos as u8,
        no_local: status.options.no_local,
        retain_as_published: status.options.retain_as_published,
        subscription_id: status.id,
    }
}

pub(in crate::http) fn retained(message: &Message) -> BrokerRetained {
    let text = std::str::from_utf8(&message.payload).ok();
    BrokerRetained {
        topic: message.topic.to_string(),
        qos: message.qos as u8,
        publisher: message.publisher.to_string(),
        expires_at: message.expires_at_ms.map(Instant),
        payload_bytes: message.payload.len(),
        text: text.map(|text| text.chars().take(TEXT_MAX_CHARS).collect()),
    }
}
