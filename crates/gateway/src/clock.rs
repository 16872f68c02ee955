//! Time: microseconds that only go forward, for paces and deadlines; the wall clock for what is told to others. The
//! machines of this room take time as an argument; only this file reads clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since the gateway started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct SinceStart(pub u64);

impl SinceStart {
    /// So much later.
    #[must_use]
    pub const fn after(self, us: u64) -> Self {
        Self(self.0.saturating_add(us))
    }

    /// How long ago `earlier` was; zero if it is yet to come.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A clock that started with the gateway.
#[derive(Clone, Copy, Debug)]
pub struct GatewayClock(Instant);

impl GatewayClock {
    /// Starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// What it shows.
    pub fn now(self) -> SinceStart {
        SinceStart(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// How long until `then`.
    pub fn until(self, then: SinceStart) -> Duration {
        Duration::from_micros(then.since(self.now()))
    }
}

/// Milliseconds since 1970.
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A time as it is told: RFC 3339 in UTC with milliseconds.
pub fn rfc3339(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    format!("{:.3}", jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX))
}

/// A time as it was told.
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(u64::try_from(time.as_millisecond()).unwrap_or(0))
}
