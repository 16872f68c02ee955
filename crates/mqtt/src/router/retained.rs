//! Retained messages by topic, found by filter. Bounded in number and bytes: what does not fit is refused, not evicted,
//! so that what was acknowledged stays.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::limits::{RETAINED_BYTES_MAX, RETAINED_MAX};
use super::super::message::{Message, UnixMs};
use super::levels;

#[derive(Debug, Default)]
struct RetainedNode {
    children: HashMap<Box<str>, RetainedNode>,
    message: Option<Arc<Message>>,
}

/// Every retained message there is.
#[derive(Debug, Default)]
pub(crate) struct RetainedMessages {
    root: RetainedNode,
    count: usize,
    bytes: usize,
}

impl RetainedMessages {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// What they take.
    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a message in place of the one before [MQTT-3.3.1-5]; an empty one clears [MQTT-3.3.1-6]. Says whether
    /// there was room.
    pub(crate) fn insert(&mut self, message: &Arc<Message>) -> bool {
        if message.payload.is_empty() {
            self.clear(&message.topic);
            return true;
        }
        if self.count >= RETAINED_MAX || self.bytes + message.size_bytes() > RETAINED_BYTES_MAX {
            return false;
        }
        let mut node = &mut self.root;
        for level in levels(&message.topic) {
            if !node.children.contains_key(level) {
                node.children.insert(level.into(), RetainedNode::default());
            }
            let Some(child) = node.children.get_mut(level) else { return false };
            node = child;
        }
        self.bytes += message.size_bytes();
        match node.message.replace(Arc::clone(message)) {
            Some(before) => self.bytes -= before.size_bytes(),
            None => self.count += 1,
        }
        true
    }

    /// Forgets what is retained for a topic.
    pub(crate) fn clear(&mut self, topic: &str) {
        if let Some(gone) = clear(&mut self.root, &mut levels(topic)) {
            self.count -= 1;
            self.bytes -= gone.size_bytes();
        }
    }

    /// What a new subscription to `filter` gets.
    pub(crate) fn matching(&self, filter: &str, now_ms: UnixMs) -> Vec<Arc<Message>> {
        let levels: Vec<&str> = levels(filter).collect();
        let mut found = Vec::new();
        walk(&self.root, &levels, true, &mut found);
        found.retain(|message| !message.is_expired(now_ms));
        found
    }
}

fn clear(node: &mut RetainedNode, rest: &mut dyn Iterator<Item = &str>) -> Option<Arc<Message>> {
    let Some(level) = rest.next() else { return node.message.take() };
    let child = node.children.get_mut(level)?;
    let gone = clear(child, rest);
    if child.message.is_none() && child.children.is_empty() {
        node.children.remove(level);
    }
    gone
}

fn walk(node: &RetainedNode, filter: &[&str], first: bool, found: &mut Vec<Arc<Message>>) {
    // A wildcard in the first level does not stand for `$SYS` and its like [MQTT-4.7.2-1].
    let open = |name: &str| !(first && name.starts_with('$'));
    match filter.split_first() {
        None => found.extend(node.message.clone()),
        Some((&"#", _)) => {
            found.extend(node.message.clone());
            for (_, child) in node.children.iter().filter(|(name, _)| open(name)) {
                walk(child, filter, false, found);
            }
        }
        Some((&"+", rest)) => {
            for (_, child) in node.children.iter().filter(|(name, _)| open(name)) {
                walk(child, rest, false, found);
            }
        }
        Some((level, rest)) => {
            if let Some(child) = node.children.get(*level) {
                walk(child, rest, false, found);
            }
        }
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
        assert_eq!((retained.count(), retained.size_bytes(), retained.root.children.len()), (0, 0, 0));
    }
}
