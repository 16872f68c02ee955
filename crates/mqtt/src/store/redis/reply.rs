//! What Redis answers, taken apart value by value; what is not as it should be is left out.

use std::sync::Arc;

use bytestring::ByteString;
use redis::Value;

use super::stored_form;
use crate::codec::Qos;
use crate::message::{Message, ReplicaId};
use crate::router::GrantedSubscription;
use crate::store::{DeliveryOptions, DueWill, OrphanedShareMessage, Queued, RoutedSession, SessionState};

/// The number at a place of a list.
pub(super) fn number_at(list: &Value, at: usize) -> Option<i64> {
    match list {
        Value::Array(values) => match values.get(at)? {
            Value::Int(number) => Some(*number),
            Value::BulkString(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

/// One value.
pub(super) struct One(Value);

impl One {
    pub(super) fn bytes(self) -> Option<Vec<u8>> {
        match self.0 {
            Value::BulkString(bytes) => Some(bytes),
            Value::SimpleString(text) => Some(text.into_bytes()),
            _ => None,
        }
    }

    fn text(self) -> Option<String> {
        String::from_utf8(self.bytes()?).ok()
    }

    fn signed(self) -> Option<i64> {
        match self.0 {
            Value::Int(number) => Some(number),
            _ => self.text()?.parse().ok(),
        }
    }

    fn list(self) -> Values {
        match self.0 {
            Value::Array(values) | Value::Set(values) => Values::new(values),
            Value::Map(pairs) => Values::new(pairs.into_iter().flat_map(|(a, b)| [a, b]).collect()),
            _ => Values::new(Vec::new()),
        }
    }
}

/// Values, one after another.
pub(super) struct Values(std::vec::IntoIter<Value>);

impl Iterator for Values {
    type Item = One;

    fn next(&mut self) -> Option<One> {
        self.0.next().map(One)
    }
}

impl Values {
    pub(super) fn new(values: Vec<Value>) -> Self {
        Self(values.into_iter())
    }

    /// Without the first ones.
    pub(super) fn skip(mut self, count: usize) -> Self {
        self.0.by_ref().take(count).for_each(drop);
        self
    }

    pub(super) fn next_list(&mut self) -> Values {
        self.next().map_or_else(|| Values::new(Vec::new()), One::list)
    }

    pub(super) fn list(&mut self) -> Values {
        self.next_list()
    }

    pub(super) fn bytes(&mut self) -> Option<Vec<u8>> {
        self.next()?.bytes()
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        self.next()?.signed()
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        self.signed().and_then(|number| u64::try_from(number).ok())
    }

    pub(super) fn texts(&mut self) -> Vec<String> {
        self.next_list().filter_map(One::text).collect()
    }

    pub(super) fn numbers(self) -> Vec<u64> {
        self.filter_map(|value| value.signed().and_then(|number| u64::try_from(number).ok())).collect()
    }
}

/// Pairs of filter and what was granted.
pub(super) fn subscriptions(values: &mut Values) -> Vec<(ByteString, GrantedSubscription)> {
    let mut found = Vec::new();
    while let Some(filter) = values.next() {
        let granted = values.bytes().and_then(|bytes| stored_form::read_granted(&bytes));
        if let (Some(filter), Some(granted)) = (filter.text(), granted) {
            found.push((ByteString::from(filter), granted));
        }
    }
    found
}

/// A session that has subscriptions.
pub(super) fn session_picture(client: &str, values: &mut Values) -> Option<RoutedSession> {
    let mut state = values.next_list();
    let subscriptions = subscriptions(&mut values.next_list());
    let owner = replica(&state.next()?.text().unwrap_or_default());
    let lasting = state.number() == Some(1);
    (!subscriptions.is_empty()).then(|| RoutedSession {
        client: client.into(),
        state: SessionState { owner, lasting },
        subscriptions,
    })
}

/// The replica of a name; an empty one is nobody's.
pub(super) fn replica(name: &str) -> Option<ReplicaId> {
    u64::from_str_radix(name, 16).ok().map(ReplicaId)
}

/// An entry of a queue. One that cannot be read is passed over like one that nobody waits for, so that its number is
/// accounted for.
pub(super) fn queued(entry: One) -> Option<Queued> {
    let mut entry = entry.list();
    let seq = entry.next()?.text()?.split('-').next()?.parse().ok()?;
    if let (Some(message), Some(options)) = message_and_how(entry.next_list()) {
        return Some(Queued { seq, message, options });
    }
    let message = Arc::new(Message::new("unreadable", "", Qos::AtMostOnce)?);
    Some(Queued {
        seq,
        message,
        options: DeliveryOptions { qos: Qos::AtMostOnce, retain: false, ids: vec![], share: None },
    })
}

fn message_and_how(mut fields: Values) -> (Option<Arc<Message>>, Option<DeliveryOptions>) {
    let (mut message, mut options) = (None, None);
    while let (Some(name), Some(value)) = (fields.bytes(), fields.bytes()) {
        match name.as_slice() {
            b"m" => message = stored_form::read_message(value),
            b"h" => options = stored_form::read_options(&value),
            _ => {}
        }
    }
    (message, options)
}

/// Messages that members of shared subscriptions left.
pub(super) fn left(values: Values) -> Vec<OrphanedShareMessage> {
    let read = |entry: One| {
        let mut entry = entry.list();
        let id = entry.next()?.text()?;
        let (message, options) = message_and_how(entry.next_list());
        Some(OrphanedShareMessage { id, message: message?, share: options?.share? })
    };
    values.filter_map(read).collect()
}

/// Triples of client, epoch and message.
pub(super) fn due_wills(values: &mut Values) -> Vec<DueWill> {
    let mut due = Vec::new();
    while let Some(client) = values.next() {
        let (epoch, message) = (values.number(), values.bytes().and_then(stored_form::read_message));
        if let (Some(client), Some(epoch), Some(message)) = (client.text(), epoch, message) {
            due.push(DueWill { client: Arc::from(client), epoch, message });
        }
    }
    due
}
