//! What a gateway offers: the last value of each topic, served without touching the device, and how much of it arrives.
//!
//! What must stay true: however many topics devices make up, memory is bounded; the one that is silent longest goes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::buffer::SubscriptionId;
use super::clock::SinceStart;
use super::limits::{LAST_VALUES_MAX_BYTES, TOPICS_MAX};
use super::qos_level::Level;
use super::rate_meter::RateMeter;

/// What is known of a topic.
#[derive(Clone, Debug)]
pub struct Content {
    /// Its name.
    pub topic: Arc<str>,
    /// Its last value.
    pub payload: Bytes,
    /// When that arrived, in milliseconds since 1970.
    pub at_ms: u64,
    /// How many values there were since the gateway knows of it.
    pub messages: u64,
    /// How much arrives, as messages are rendered.
    pub meter: RateMeter,
    /// Who wants it, as of a revision of the subscriptions.
    routes: Arc<[(Level, SubscriptionId)]>,
    routes_revision: u64,
    touched: u64,
}

/// All topics.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    topics: HashMap<Arc<str>, Content>,
    /// By when they were touched, the longest silent first.
    by_age: BTreeMap<u64, Arc<str>>,
    payload_bytes: usize,
    touches: u64,
    forgotten: u64,
}

impl Contents {
    /// A value arrived.
    pub fn note(&mut self, at_ms: u64, topic: &str, payload: Bytes) -> Arc<str> {
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
                let content = Content {
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
        self.forget(&name);
        name
    }

    /// What a value of a topic takes, as it is rendered.
    pub fn measure(&mut self, now: SinceStart, topic: &str, bytes: u64) {
        if let Some(content) = self.topics.get_mut(topic) {
            content.meter.add(now, bytes);
        }
    }

    /// The longest silent go until the limits are kept; the newest stays.
    fn forget(&mut self, newest: &str) {
        while self.topics.len() > TOPICS_MAX || self.payload_bytes > LAST_VALUES_MAX_BYTES {
            let Some((age, name)) = self.by_age.pop_first() else { return };
            if &*name == newest {
                self.by_age.insert(age, name);
                return;
            }
            if let Some(gone) = self.topics.remove(&name) {
                self.payload_bytes -= gone.payload.len();
                self.forgotten += 1;
            }
        }
    }

    /// Who wants a topic; asks `find` when the subscriptions have changed since.
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

    /// What is known of a topic.
    pub fn get(&self, topic: &str) -> Option<&Content> {
        self.topics.get(topic)
    }

    /// Everything, who spoke last first.
    pub fn latest_first(&self) -> impl Iterator<Item = &Content> {
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
        let mut contents = Contents::default();
        for number in 0..=TOPICS_MAX {
            contents.note(0, &format!("t/{number}"), Bytes::from_static(b"x"));
            contents.note(0, "t/0", Bytes::from_static(b"yy"));
        }
        assert!(contents.get("t/0").is_some() && contents.get("t/1").is_none() && contents.get("t/2").is_some());
        assert_eq!((contents.topics.len(), contents.by_age.len(), contents.forgotten()), (TOPICS_MAX, TOPICS_MAX, 1));
        assert_eq!(contents.payload_bytes, TOPICS_MAX + 1);
    }

    #[test]
    fn last_values_are_bounded_in_bytes_too() {
        let mut contents = Contents::default();
        let large = Bytes::from(vec![0; LAST_VALUES_MAX_BYTES / 2]);
        for topic in ["a", "b", "c"] {
            contents.note(0, topic, large.clone());
        }
        assert!(contents.get("a").is_none() && contents.get("b").is_some() && contents.get("c").is_some());
        contents.note(0, "huge", Bytes::from(vec![0; LAST_VALUES_MAX_BYTES + 1]));
        assert_eq!(contents.latest_first().map(|content| &*content.topic).collect::<Vec<_>>(), ["huge"]);
    }
}
