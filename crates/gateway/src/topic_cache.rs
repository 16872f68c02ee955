//! The contents that a gateway offers: the last value of each topic, served without its device, and the rate at which
//! values arrive.
//!
//! What must stay true: however many topics devices publish, memory is bounded; the topic that is silent longest is
//! forgotten.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use api::qos_level::Level;
use bytes::Bytes;

use super::buffer::SubscriptionId;
use super::clock::SinceStart;
use super::limits::{LAST_VALUES_MAX_BYTES, TOPICS_MAX};
use super::rate_meter::RateMeter;

/// A topic with its last value.
#[derive(Clone, Debug)]
pub struct CachedTopic {
    /// Its name.
    pub topic: Arc<str>,
    /// Its last value.
    pub payload: Bytes,
    /// When that arrived, in milliseconds since 1970.
    pub at_ms: u64,
    /// The number of values so far.
    pub messages: u64,
    /// The rate at which rendered values arrive.
    pub meter: RateMeter,
    /// Its subscriptions, as of `routes_revision`.
    routes: Arc<[(Level, SubscriptionId)]>,
    routes_revision: u64,
    touched: u64,
}

/// All topics.
#[derive(Clone, Debug, Default)]
pub struct TopicCache {
    topics: HashMap<Arc<str>, CachedTopic>,
    /// By their last value, the longest silent first.
    by_age: BTreeMap<u64, Arc<str>>,
    payload_bytes: usize,
    touches: u64,
    forgotten: u64,
    forgotten_names: ForgottenNames,
}

/// The topics forgotten since they were asked for: by name, unless there are too many.
#[derive(Clone, Debug)]
struct ForgottenNames(Option<Vec<Arc<str>>>);

impl Default for ForgottenNames {
    fn default() -> Self {
        Self(Some(vec![]))
    }
}

impl TopicCache {
    /// A value arrived.
    pub fn record(&mut self, at_ms: u64, topic: &str, payload: Bytes) -> Arc<str> {
        self.touches += 1;
        let touched = self.touches;
        let size = payload.len();
        let name = match self.topics.get_mut(topic) {
            Some(content) => {
                self.by_age.remove(&content.touched);
                self.payload_bytes -= content.payload.len();
                (content.payload, content.at_ms, content.touched) = (payload, at_ms, touched);
                content.messages += 1;
                Arc::clone(&content.topic)
            }
            None => {
                let name: Arc<str> = topic.into();
                let content = CachedTopic {
                    topic: Arc::clone(&name),
                    payload,
                    at_ms,
                    messages: 1,
                    meter: RateMeter::default(),
                    routes: Arc::default(),
                    routes_revision: 0,
                    touched,
                };
                self.topics.insert(Arc::clone(&name), content);
                name
            }
        };
        self.payload_bytes += size;
        self.by_age.insert(touched, Arc::clone(&name));
        self.evict(&name);
        name
    }

    /// Counts the rendered size of a value.
    pub fn measure(&mut self, now: SinceStart, topic: &str, bytes: u64) {
        if let Some(content) = self.topics.get_mut(topic) {
            content.meter.add(now, bytes);
        }
    }

    /// Forgets the longest silent topics until the limits are kept; the newest stays.
    fn evict(&mut self, newest: &str) {
        while self.topics.len() > TOPICS_MAX || self.payload_bytes > LAST_VALUES_MAX_BYTES {
            let Some((age, name)) = self.by_age.pop_first() else { return };
            if &*name == newest {
                self.by_age.insert(age, name);
                return;
            }
            if let Some(evicted) = self.topics.remove(&name) {
                self.payload_bytes -= evicted.payload.len();
                self.forgotten += 1;
                let names = self.forgotten_names.0.take().filter(|names| names.len() < TOPICS_MAX);
                self.forgotten_names.0 = names.map(|mut names| {
                    names.push(name);
                    names
                });
            }
        }
    }

    /// The subscriptions of a topic; calls `find` when they may have changed.
    pub fn routes(
        &mut self,
        topic: &str,
        revision: u64,
        find: impl FnOnce() -> Vec<(Level, SubscriptionId)>,
    ) -> Arc<[(Level, SubscriptionId)]> {
        let Some(content) = self.topics.get_mut(topic) else { return find().into() };
        if content.routes_revision != revision {
            content.routes = find().into();
            content.routes_revision = revision;
        }
        Arc::clone(&content.routes)
    }

    /// Counts every value that arrived.
    pub(super) fn touches(&self) -> u64 {
        self.touches
    }

    /// The topics with a value since then, the longest silent first.
    pub(super) fn since(&self, touches: u64) -> impl Iterator<Item = &CachedTopic> {
        self.by_age.range(touches + 1..).filter_map(|(_, name)| self.topics.get(name))
    }

    /// The topics that were forgotten since the last call; `None`: too many to tell.
    pub(super) fn take_forgotten(&mut self) -> Option<Vec<Arc<str>>> {
        std::mem::take(&mut self.forgotten_names).0
    }

    /// A value from before a restart, the longest silent topic first.
    pub(super) fn restore(&mut self, at_ms: u64, topic: &str, payload: Bytes, messages: u64) {
        let name = self.record(at_ms, topic, payload);
        if let Some(content) = self.topics.get_mut(&name) {
            content.messages = messages;
        }
    }

    /// One topic.
    pub fn get(&self, topic: &str) -> Option<&CachedTopic> {
        self.topics.get(topic)
    }

    /// All topics, the latest first.
    pub fn latest_first(&self) -> impl Iterator<Item = &CachedTopic> {
        self.by_age.values().rev().filter_map(|name| self.topics.get(name))
    }

    /// How many topics were forgotten for want of room.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silent_topic_goes() {
        let mut cache = TopicCache::default();
        for number in 0..=TOPICS_MAX {
            cache.record(0, &format!("t/{number}"), Bytes::from_static(b"x"));
            cache.record(0, "t/0", Bytes::from_static(b"yy"));
        }
        assert!(cache.get("t/0").is_some() && cache.get("t/1").is_none() && cache.get("t/2").is_some());
        assert_eq!((cache.topics.len(), cache.by_age.len(), cache.forgotten()), (TOPICS_MAX, TOPICS_MAX, 1));
        assert_eq!(cache.payload_bytes, TOPICS_MAX + 1);
    }

    #[test]
    fn last_values_are_bounded_in_bytes_too() {
        let mut cache = TopicCache::default();
        let large = Bytes::from(vec![0; LAST_VALUES_MAX_BYTES / 2]);
        for topic in ["a", "b", "c"] {
            cache.record(0, topic, large.clone());
        }
        assert!(cache.get("a").is_none() && cache.get("b").is_some() && cache.get("c").is_some());
        cache.record(0, "huge", Bytes::from(vec![0; LAST_VALUES_MAX_BYTES + 1]));
        assert_eq!(cache.latest_first().map(|content| &*content.topic).collect::<Vec<_>>(), ["huge"]);
    }
}
