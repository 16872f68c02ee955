//! What operators are told about a session.

use std::sync::Arc;

use bytestring::ByteString;

use crate::codec::SubscriptionOptions;
use crate::message::{ReplicaId, UnixMs};
use crate::router::GrantedSubscription;

/// A session as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionStatus {
    /// The replica whose connection holds it.
    pub holder: Option<ReplicaId>,
    /// Whether the store keeps messages for it.
    pub lasting: bool,
    /// When it ends, unless its client returns; `None` while a connection holds it.
    pub expires_at_ms: Option<UnixMs>,
    /// The user whose sessions it is counted with.
    pub user: Option<Arc<str>>,
    /// Messages in its queue, those that are sent and not acknowledged included.
    pub queued_messages: usize,
    /// About what they take.
    pub queued_bytes: usize,
    /// Messages of QoS 2 that the client has received and not completed (between PUBREC and PUBCOMP).
    pub received: usize,
    /// Packet ids of QoS 2 messages that the client has published and not released (before PUBREL).
    pub unreleased: usize,
    /// By filter.
    pub subscriptions: Vec<SubscriptionStatus>,
}

/// A subscription as it was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionStatus {
    /// Its filter; that of a shared one begins with `$share/`.
    pub filter: ByteString,
    /// Its options, with the QoS that was granted.
    pub options: SubscriptionOptions,
    /// Its identifier (MQTT 5, 3.8.2.1.2).
    pub id: Option<u32>,
}

/// Subscriptions by filter.
pub(crate) fn subscription_statuses(
    granted: impl Iterator<Item = (ByteString, GrantedSubscription)>,
) -> Vec<SubscriptionStatus> {
    let status = |(filter, granted): (ByteString, GrantedSubscription)| SubscriptionStatus {
        filter,
        options: granted.options,
        id: granted.id,
    };
    let mut statuses: Vec<_> = granted.map(status).collect();
    statuses.sort_unstable_by(|one, other| one.filter.cmp(&other.filter));
    statuses
}
