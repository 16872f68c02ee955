//! The subscribers of the topics that were published to last.

use std::collections::HashMap;
use std::sync::Arc;

use bytestring::ByteString;

use super::session_handle::SessionRef;
use crate::limits::CACHED_MATCHES_MAX;
use crate::router::Matches;

/// Matches that a publisher remembers.
pub(crate) struct MatchCache {
    /// Of so many topics.
    pub(super) most: usize,
    pub(super) generation: u64,
    /// The last one asked for: most publishers have one topic.
    pub(super) last: Option<(ByteString, Arc<Matches<SessionRef>>)>,
    pub(super) by_topic: HashMap<ByteString, Arc<Matches<SessionRef>>>,
    /// Levels of filters that were looked at since it was asked.
    pub(super) visited: usize,
}

impl Default for MatchCache {
    fn default() -> Self {
        Self::with_capacity(CACHED_MATCHES_MAX)
    }
}

impl MatchCache {
    pub(crate) fn with_capacity(most: usize) -> Self {
        Self { most, generation: 0, last: None, by_topic: HashMap::new(), visited: 0 }
    }

    /// How many levels of filters were looked at since the last call.
    pub(crate) fn take_visited(&mut self) -> usize {
        std::mem::take(&mut self.visited)
    }
}
