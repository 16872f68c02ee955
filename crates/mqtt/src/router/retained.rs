//! Retained messages by topic, found by filter. Bounded in number and bytes, of each publisher and in all: what does not
//! fit is refused, not evicted, so that what was acknowledged stays. What expires goes by itself.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytestring::ByteString;

use super::super::limits::{RETAINED_BYTES_MAX, RETAINED_MAX, RETAINED_PUBLISHER_BYTES_MAX};
use super::super::message::{ClientId, Message, UnixMs};
use super::level_tree::{LevelTree, TreeValue};
use super::page::NamedPage;

impl TreeValue for Option<Arc<Message>> {
    fn is_vacant(&self) -> bool {
        self.is_none()
    }
}

/// Every retained message there is.
#[derive(Debug, Default)]
pub(crate) struct RetainedMessages {
    tree: LevelTree<Option<Arc<Message>>>,
    count: usize,
    /// Of the messages.
    bytes: usize,
    by_publisher: HashMap<ClientId, usize>,
    /// Those with an end, by when it is.
    expiring: BTreeSet<(UnixMs, ByteString)>,
}

impl RetainedMessages {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// What they take, their places in the tree included.
    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes + self.tree.size_bytes()
    }

    /// Keeps a message in place of the one before [MQTT-3.3.1-5]; an empty one clears [MQTT-3.3.1-6]. Says whether
    /// there was room.
    pub(crate) fn insert(&mut self, message: &Arc<Message>) -> bool {
        if message.payload.is_empty() {
            self.clear(&message.topic);
            return true;
        }
        let of_publisher = self.by_publisher.get(&message.publisher).copied().unwrap_or(0);
        if self.count >= RETAINED_MAX
            || self.size_bytes() + message.size_bytes() > RETAINED_BYTES_MAX
            || of_publisher + message.size_bytes() > RETAINED_PUBLISHER_BYTES_MAX
        {
            return false;
        }
        let before = self.tree.entry(&message.topic).replace(Arc::clone(message));
        if let Some(before) = before {
            self.forget(&before);
        }
        self.count += 1;
        self.bytes += message.size_bytes();
        *self.by_publisher.entry(Arc::clone(&message.publisher)).or_default() += message.size_bytes();
        if let Some(end_ms) = message.expires_at_ms {
            self.expiring.insert((end_ms, message.topic.clone()));
        }
        true
    }

    /// Forgets what is retained for a topic.
    pub(crate) fn clear(&mut self, topic: &str) {
        if let Some(gone) = self.tree.get_mut(topic).and_then(Option::take) {
            self.tree.prune(topic);
            self.forget(&gone);
        }
    }

    /// Removes a message from the counts.
    fn forget(&mut self, gone: &Message) {
        self.count -= 1;
        self.bytes -= gone.size_bytes();
        if let Some(bytes) = self.by_publisher.get_mut(&gone.publisher) {
            *bytes -= gone.size_bytes();
            if *bytes == 0 {
                self.by_publisher.remove(&gone.publisher);
            }
        }
        if let Some(end_ms) = gone.expires_at_ms {
            self.expiring.remove(&(end_ms, gone.topic.clone()));
        }
    }

    /// Whether a message has expired that is still there.
    pub(crate) fn has_expired(&self, now_ms: UnixMs) -> bool {
        self.expiring.first().is_some_and(|(end_ms, _)| *end_ms <= now_ms)
    }

    /// Removes what has expired. Returns how many messages that were.
    pub(crate) fn remove_expired(&mut self, now_ms: UnixMs) -> usize {
        let before = self.count;
        while self.has_expired(now_ms)
            && let Some((_, topic)) = self.expiring.pop_first()
        {
            self.clear(&topic);
        }
        before - self.count
    }

    /// What a new subscription to `filter` gets.
    pub(crate) fn matching(&self, filter: &str, now_ms: UnixMs) -> Vec<Arc<Message>> {
        let mut found = Vec::new();
        self.tree.match_filter(filter, &mut |message| found.extend(message.clone()));
        found.retain(|message| !message.is_expired(now_ms));
        found
    }

    /// At most `limit` of those behind the topic `after` in the order of topics, of all or of those that a filter matches.
    pub(crate) fn after(&self, filter: Option<&str>, after: Option<&str>, limit: usize) -> Vec<Arc<Message>> {
        let mut page = NamedPage::new(after, limit);
        let mut visit = |message: &Option<Arc<Message>>| {
            if let Some(message) = message {
                page.offer(&message.topic, || Arc::clone(message));
            }
        };
        match filter {
            Some(filter) => self.tree.match_filter(filter, &mut visit),
            None => self.tree.for_each(&mut visit),
        }
        page.into_items()
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<Message>> {
        let mut found = Vec::with_capacity(self.count);
        self.tree.for_each(&mut |message| found.extend(message.clone()));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::codec::Qos;
    use super::*;

    fn put(retained: &mut RetainedMessages, topic: &str, payload: &'static str) {
        let message = Message::new(topic, payload, Qos::AtMostOnce).unwrap();
        assert!(retained.insert(&Arc::new(message)));
    }

    fn topics(retained: &RetainedMessages, filter: &str) -> Vec<String> {
        let mut found: Vec<_> = retained.matching(filter, 0).iter().map(|one| one.topic.to_string()).collect();
        found.sort();
        found
    }

    #[test]
    fn filters_find_what_is_retained() {
        let mut retained = RetainedMessages::default();
        for topic in ["a", "a/b", "a/b/c", "/x", "$SYS/a"] {
            put(&mut retained, topic, "1");
        }
        assert_eq!(topics(&retained, "#"), ["/x", "a", "a/b", "a/b/c"]);
        assert_eq!(topics(&retained, "a/#"), ["a", "a/b", "a/b/c"]);
        assert_eq!(topics(&retained, "+/b"), ["a/b"]);
        assert_eq!(topics(&retained, "+/+"), ["/x", "a/b"]);
        assert_eq!(topics(&retained, "$SYS/#"), ["$SYS/a"]);
        put(&mut retained, "a/b", "");
        assert_eq!(topics(&retained, "a/#"), ["a", "a/b/c"]);
        for topic in ["a", "a/b/c", "/x", "$SYS/a"] {
            put(&mut retained, topic, "");
        }
        assert_eq!((retained.count(), retained.size_bytes()), (0, 0));
        assert!(retained.by_publisher.is_empty());
    }

    #[test]
    fn what_expires_goes_by_itself() {
        let mut retained = RetainedMessages::default();
        put(&mut retained, "a/b", "stays");
        for (topic, expires_at_ms) in [("a/c", 5), ("d", 7), ("d", 9)] {
            let message =
                Message { expires_at_ms: Some(expires_at_ms), ..Message::new(topic, "1", Qos::AtMostOnce).unwrap() };
            assert!(retained.insert(&Arc::new(message)));
        }
        assert_eq!((retained.count(), retained.remove_expired(4)), (3, 0));
        assert_eq!((retained.remove_expired(8), retained.count()), (1, 2));
        assert_eq!((retained.remove_expired(9), retained.count()), (1, 1));
        assert_eq!(topics(&retained, "#"), ["a/b"]);
    }

    #[test]
    fn one_publisher_does_not_take_all_the_room() {
        let mut retained = RetainedMessages::default();
        let insert = |retained: &mut RetainedMessages, topic: String, publisher: &str| {
            let message = Message::new(&topic, vec![0; 1 << 20], Qos::AtMostOnce).unwrap();
            retained.insert(&Arc::new(Message { publisher: publisher.into(), ..message }))
        };
        let kept = (0..1000).take_while(|n| insert(&mut retained, format!("a/{n}"), "greedy")).count();
        assert_eq!(kept, (RETAINED_PUBLISHER_BYTES_MAX - 1) >> 20);
        assert!(insert(&mut retained, "b".to_owned(), "modest"));
        retained.clear("a/0");
        assert!(insert(&mut retained, "c".to_owned(), "greedy"));
    }
}
