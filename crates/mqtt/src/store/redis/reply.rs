//! Replies of Redis, read value by value. A value that is not as expected reads as absent.

use std::sync::Arc;

use bytestring::ByteString;
use redis::Value;

use crate::codec::Qos;
use crate::message::{Message, ReplicaId};
use crate::router::GrantedSubscription;
use crate::store::{
    DeliveryOptions, DueWill, OrphanedShareMessage, Queued, RoutedSession, SessionState, SessionStatus, stored_form,
    subscription_statuses,
};

/// Statuses of the scripts, which have these names too.
pub(super) const DONE: i64 = 0;
/// Published, but there was no room to retain it.
pub(super) const NOT_RETAINED: i64 = 1;
/// Published by an earlier try of the same publication.
pub(super) const DONE_BEFORE: i64 = 2;
/// Another replica or connection holds the session.
pub(super) const FENCED: i64 = -1;
/// Published before by another publication with the same dedup key.
pub(super) const REPEATED: i64 = -2;
/// No room for another session.
pub(super) const SESSIONS_FULL: i64 = -4;
/// The session belongs to another user.
pub(super) const NOT_OWNER: i64 = -5;
/// Not published: an inbox has no room.
pub(super) const NO_ROOM: i64 = -3;

static NIL: Value = Value::Nil;

/// One value of a reply.
#[derive(Clone, Copy)]
pub(super) struct StoreReply<'a>(pub(super) &'a Value);

impl<'a> StoreReply<'a> {
    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        match self.0 {
            Value::BulkString(bytes) => Some(bytes),
            Value::SimpleString(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    pub(super) fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(super) fn signed(self) -> Option<i64> {
        match self.0 {
            Value::Int(number) => Some(*number),
            _ => self.text()?.parse().ok(),
        }
    }

    pub(super) fn number(self) -> Option<u64> {
        u64::try_from(self.signed()?).ok()
    }

    /// The values of a list; of a map, each key and its value.
    pub(super) fn items(self) -> impl Iterator<Item = StoreReply<'a>> {
        let (values, pairs): (&[Value], &[(Value, Value)]) = match self.0 {
            Value::Array(values) | Value::Set(values) => (values, &[]),
            Value::Map(pairs) => (&[], pairs),
            _ => (&[], &[]),
        };
        values.iter().chain(pairs.iter().flat_map(|(key, value)| [key, value])).map(StoreReply)
    }

    /// The value at a place of a list.
    pub(super) fn at(self, place: usize) -> StoreReply<'a> {
        match self.0 {
            Value::Array(values) => StoreReply(values.get(place).unwrap_or(&NIL)),
            _ => StoreReply(&NIL),
        }
    }
}

/// Logs the keys that a script found broken and deleted.
pub(super) fn log_broken(keys: StoreReply<'_>) {
    for key in keys.items().filter_map(StoreReply::text) {
        tracing::error!(key, "deleted a key of a wrong type from Redis; its session has lost what it held");
    }
}

/// Pairs of filter and granted subscription.
pub(super) fn subscriptions(reply: StoreReply<'_>) -> Vec<(ByteString, GrantedSubscription)> {
    let mut items = reply.items();
    let pairs = std::iter::from_fn(|| items.next().zip(items.next()));
    pairs
        .filter_map(|(filter, granted)| {
            Some((ByteString::from(filter.text()?), stored_form::read_granted(granted.bytes()?)?))
        })
        .collect()
}

/// A session with subscriptions: its owner and whether it is lasting, and its subscriptions.
pub(super) fn routed_session(client: &str, state: StoreReply<'_>, granted: StoreReply<'_>) -> Option<RoutedSession> {
    let subscriptions = subscriptions(granted);
    let owner = replica(state.at(0).text().unwrap_or_default());
    let state = SessionState { owner, lasting: state.at(1).number() == Some(1) };
    (!subscriptions.is_empty()).then(|| RoutedSession { client: client.into(), state, subscriptions })
}

/// What operators are told about a session; its fields, when it expires, its subscriptions, and the sizes of its queue and of
/// its packet ids either way.
pub(super) fn session_status(replies: [StoreReply<'_>; 6]) -> Option<SessionStatus> {
    let [fields, expiry, granted, queue, received, inbound] = replies;
    fields.at(0).text()?;
    let count = |reply: StoreReply<'_>| reply.number().and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    let holder = replica(fields.at(1).text().unwrap_or_default());
    Some(SessionStatus {
        holder,
        lasting: fields.at(2).number() == Some(1),
        expires_at_ms: expiry.number().filter(|_| holder.is_none()),
        user: fields.at(4).text().map(Arc::from),
        queued_messages: count(queue),
        queued_bytes: count(fields.at(3)),
        received: count(received),
        unreleased: count(inbound),
        subscriptions: subscription_statuses(subscriptions(granted).into_iter()),
    })
}

/// The replica of a name; an empty name stands for none.
pub(super) fn replica(name: &str) -> Option<ReplicaId> {
    u64::from_str_radix(name, 16).ok().map(ReplicaId)
}

/// An entry of a queue. One that cannot be read becomes a message that is never sent, so that its number is accounted for.
pub(super) fn queued(entry: StoreReply<'_>) -> Option<Queued> {
    let seq = entry.at(0).text()?.split('-').next()?.parse().ok()?;
    if let (Some(message), Some(options)) = message_and_options(entry.at(1)) {
        return Some(Queued { seq, message, options });
    }
    let message = Arc::new(Message::new("unreadable", "", Qos::AtMostOnce)?);
    let options = DeliveryOptions { qos: Qos::AtMostOnce, retain: false, ids: vec![], share: None };
    Some(Queued { seq, message, options })
}

fn message_and_options(fields: StoreReply<'_>) -> (Option<Arc<Message>>, Option<DeliveryOptions>) {
    let (mut message, mut options) = (None, None);
    let mut items = fields.items();
    while let (Some(name), Some(value)) = (items.next(), items.next()) {
        match name.bytes() {
            Some(b"m") => message = value.bytes().and_then(stored_form::read_message),
            Some(b"h") => options = value.bytes().and_then(stored_form::read_options),
            _ => {}
        }
    }
    (message, options)
}

/// Messages of shared subscriptions whose member has gone.
pub(super) fn orphaned(reply: StoreReply<'_>) -> Vec<OrphanedShareMessage> {
    let read = |entry: StoreReply<'_>| {
        let id = entry.at(0).text()?.to_owned();
        let (message, options) = message_and_options(entry.at(1));
        Some(OrphanedShareMessage { id, message: message?, share: options?.share? })
    };
    reply.items().filter_map(read).collect()
}

/// Triples of client, epoch and message.
pub(super) fn due_wills(reply: StoreReply<'_>) -> Vec<DueWill> {
    let mut items = reply.items();
    let mut due = Vec::new();
    while let (Some(client), Some(epoch), Some(message)) = (items.next(), items.next(), items.next()) {
        let message = message.bytes().and_then(stored_form::read_message);
        if let (Some(client), Some(epoch), Some(message)) = (client.text(), epoch.number(), message) {
            due.push(DueWill { client: Arc::from(client), epoch, message });
        }
    }
    due
}
