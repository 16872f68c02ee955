//! The segments of the file: what each weighs, and what of it may still wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use super::super::message::TopicMessage;
use super::changes::MessagePlaces;

/// Segments that are written anew with one cut, at most.
const MOVED_SEGMENTS: usize = 16;
/// A message that may still wait, with its places.
pub(super) type LivingMessage = (Weak<TopicMessage>, MessagePlaces);

/// A segment of the file, with those of its messages that may still wait.
pub(super) struct SpooledSegment {
    pub(super) id: u64,
    pub(super) bytes: usize,
    pub(super) messages: Vec<LivingMessage>,
}

/// The segments of the file, the oldest first.
#[derive(Default)]
pub(super) struct SegmentIndex {
    segments: BTreeMap<u64, SpooledSegment>,
    pub(super) bytes: u64,
    pub(super) last_id: u64,
}

impl SegmentIndex {
    pub(super) fn insert(&mut self, segment: SpooledSegment) {
        self.bytes += segment.bytes as u64;
        self.last_id = self.last_id.max(segment.id);
        self.segments.insert(segment.id, segment);
    }

    pub(super) fn remove(&mut self, id: u64) {
        if let Some(segment) = self.segments.remove(&id) {
            self.bytes -= segment.bytes as u64;
        }
    }

    /// The oldest segments, if all have more than `most_bytes`: what is left of them goes into a new one.
    pub(super) fn oldest_beyond(&self, most_bytes: u64) -> MovedSegments {
        let mut excess = self.bytes.saturating_sub(most_bytes);
        let mut moved = MovedSegments::default();
        for segment in self.segments.values().take(MOVED_SEGMENTS) {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(segment.bytes as u64);
            let living = segment.messages.iter();
            let living = living.filter_map(|(message, places)| Some((message.upgrade()?, places.clone())));
            moved.messages.extend(living);
            moved.ids.push(segment.id);
        }
        moved
    }
}

/// Segments that are written anew without what is over.
#[derive(Default)]
pub(super) struct MovedSegments {
    pub(super) ids: Vec<u64>,
    pub(super) messages: Vec<(Arc<TopicMessage>, MessagePlaces)>,
}
