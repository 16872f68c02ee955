//! The sections `[journal]`, `[history]` and `[link_history]`: how long is kept what no state needs any more.

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

/// How long samples of links are kept, by how far apart they are, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkHistoryConfig {
    /// Those of each minute: an hour to 31 days; absent: two days.
    pub keep_minutes_ms: Option<u64>,
    /// Those of each quarter of an hour: a day to 400 days; absent: 31 days.
    pub keep_quarter_hours_ms: Option<u64>,
    /// Those of six hours: 30 days to ten years; absent: 366 days.
    pub keep_six_hours_ms: Option<u64>,
}

/// Samples of links would be kept for too short a time to be merged, or for too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("invalid link_history.{key}: {ms} is not within {min} to {max} ms")]
pub struct LinkHistoryAgeError {
    pub key: &'static str,
    pub ms: u64,
    pub min: u64,
    pub max: u64,
}

const HOUR_MS: u64 = 60 * 60 * 1_000;
const DAY_MS: u64 = 24 * HOUR_MS;

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

impl LinkHistoryConfig {
    pub(super) fn over(self, other: Self) -> Self {
        Self {
            keep_minutes_ms: self.keep_minutes_ms.or(other.keep_minutes_ms),
            keep_quarter_hours_ms: self.keep_quarter_hours_ms.or(other.keep_quarter_hours_ms),
            keep_six_hours_ms: self.keep_six_hours_ms.or(other.keep_six_hours_ms),
        }
    }

    /// The same ages, with the defaults where there was none.
    pub(super) fn filled(self) -> Result<Self, LinkHistoryAgeError> {
        let within = |key, ms: Option<u64>, default, min, max| {
            let ms = ms.unwrap_or(default);
            if (min..=max).contains(&ms) { Ok(Some(ms)) } else { Err(LinkHistoryAgeError { key, ms, min, max }) }
        };
        let (minutes, quarters, six) = (self.keep_minutes_ms, self.keep_quarter_hours_ms, self.keep_six_hours_ms);
        Ok(Self {
            keep_minutes_ms: within("keep_minutes_ms", minutes, 2 * DAY_MS, HOUR_MS, 31 * DAY_MS)?,
            keep_quarter_hours_ms: within("keep_quarter_hours_ms", quarters, 31 * DAY_MS, DAY_MS, 400 * DAY_MS)?,
            keep_six_hours_ms: within("keep_six_hours_ms", six, 366 * DAY_MS, 30 * DAY_MS, 3_660 * DAY_MS)?,
        })
    }
}
