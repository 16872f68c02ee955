//! The sections `[journal]` and `[history]`: how long is kept what no state needs any more.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long events are kept. Absent keys: for ever. An event goes when it exceeds either, and a snapshot has its effects.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalConfig {
    /// How old events may become, in milliseconds.
    pub keep_ms: Option<u64>,
    /// How many of the newest events are kept.
    pub keep_events: Option<u64>,
}

/// How long ended allocations are listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryConfig {
    /// How long after their end, in milliseconds; absent: for ever.
    pub keep_ms: Option<u64>,
}

impl JournalConfig {
    pub(super) fn over(self, other: Self) -> Self {
        Self { keep_ms: self.keep_ms.or(other.keep_ms), keep_events: self.keep_events.or(other.keep_events) }
    }

    /// How old events may become.
    pub fn age(&self) -> Option<Duration> {
        self.keep_ms.map(Duration::from_millis)
    }
}

impl HistoryConfig {
    pub(super) fn over(self, other: Self) -> Self {
        Self { keep_ms: self.keep_ms.or(other.keep_ms) }
    }

    /// How long ago a listed allocation may have ended.
    pub fn age(&self) -> Option<Duration> {
        self.keep_ms.map(Duration::from_millis)
    }
}
